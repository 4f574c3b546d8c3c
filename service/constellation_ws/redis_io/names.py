"""The names of all keys and channels of the gateway in Redis, under one prefix.

The log may be several streams, its partitions, each in a hash slot of its own. Pub/Sub knows no
database number, so the prefix is what keeps two deployments on one Redis apart. Event channels and
the emitters' channels belong to publishers and carry no prefix.
"""

from __future__ import annotations

import itertools
from binascii import crc_hqx
from dataclasses import dataclass, field
from functools import lru_cache

DEFAULT_PREFIX = "constellation"
_SLOTS = 16_384
"""Of a Redis Cluster."""


@dataclass(frozen=True, slots=True)
class Names:
    """Keys and channels of one deployment, as one partition of its log uses them.

    All keys but those of the further partitions lie in one hash slot of a Redis Cluster: the name
    of the log is the hash tag of the others. A script may therefore use several of them. What
    belongs to a further partition alone is its log, and what has the log's name as hash tag.
    """

    prefix: str = DEFAULT_PREFIX
    partition: int = 0
    """Of the log. The first one is 0, and the only one unless a deployment has several."""
    log: str = field(init=False)
    """The stream of events. Producers write to it: part of the contract."""
    log_slot: str = field(init=False)
    """What the keys that a script uses together with the log begin with."""
    slot: str = field(init=False)
    """What every key begins with that belongs to no log: the same for all partitions."""
    commands: str = field(init=False)
    """Channel of commands to all pods."""
    ticks: str = field(init=False)
    """Channel of the marks that give each Pub/Sub message a position."""

    def __post_init__(self) -> None:
        first = f"{self.prefix}:events"
        log, ticks = first, f"{self.prefix}:ticks"
        if self.partition:
            log, ticks = _log_of(first, self.partition), f"{ticks}:{self.partition}"
        for name, value in (
            ("log", log),
            ("log_slot", f"{{{log}}}"),
            ("slot", f"{{{first}}}"),
            ("commands", f"{self.prefix}:commands"),
            ("ticks", ticks),
        ):
            object.__setattr__(self, name, value)

    def of_partition(self, number: int) -> Names:
        """Return the names of another partition of the same deployment's log."""
        return Names(self.prefix, number)

    def ticks_of(self, partitions: int) -> list[str]:
        """Return the channels on which the recorders of so many partitions publish ticks."""
        return [self.of_partition(number).ticks for number in range(partitions)]

    @property
    def state(self) -> str:
        """The hash that holds the log's epoch and the recorder's lease."""
        return f"{self.log_slot}:state"

    @property
    def meeting(self) -> str:
        """The ID of the node of a Cluster on which all pods subscribe."""
        return f"{self.slot}:meeting"

    @property
    def pods(self) -> str:
        """The sorted set of pods that are alive."""
        return f"{self.slot}:presence:pods"

    @property
    def readers(self) -> str:
        """The sorted set of pods that can read packed entries of the log."""
        return f"{self.slot}:presence:readers"

    @property
    def followers(self) -> str:
        """The sorted set of pods, each with how many partitions of the log it follows."""
        return f"{self.slot}:presence:followers"

    @property
    def peers(self) -> str:
        """The sorted set of pods that accept each other's requests, with their addresses."""
        return f"{self.slot}:peers"

    def peer_key(self, period: int) -> str:
        """Return the key of what pods sign with in one period of time."""
        return f"{self.slot}:peer-key:{period}"

    def users(self, instance: str) -> str:
        """Return the key of one pod's online users."""
        return f"{self.slot}:presence:users:{instance}"

    def users_version(self, instance: str) -> str:
        """Return the key of how often one pod has written its online users."""
        return f"{self.slot}:presence:version:{instance}"

    @property
    def announced(self) -> str:
        """The hash of users who were announced as online, with the pods that have them."""
        return f"{self.slot}:presence:announced"

    @property
    def shares(self) -> str:
        """The sorted set of the pods' shares of it, by when they expire."""
        return f"{self.slot}:presence:shares"

    @property
    def presence_state(self) -> str:
        """The hash that holds the epoch and the counts of the announcements."""
        return f"{self.slot}:presence:state"

    @property
    def presence_events(self) -> str:
        """The stream of who came online and who went offline. Backends read it: an interface."""
        return f"{self.slot}:presence:events"

    @property
    def presence_channel(self) -> str:
        """The channel on which the same is published: an interface too."""
        return f"{self.prefix}:presence"

    @property
    def posting(self) -> str:
        """The hash of which pod posts that stream to the backend, and how far it has come."""
        return f"{self.slot}:presence:posting"

    def share(self, share: str) -> str:
        """Give the key of the users of one share."""
        return f"{self.slot}:presence:share:{share}"

    def session(self, pid: str) -> str:
        """Return the key of a session record."""
        return f"{self.slot}:session:{pid}"

    def once(self, request: str) -> str:
        """Return the key of what a request that may be repeated was answered."""
        return f"{self.log_slot}:once:{request}"

    def heartbeat(self, instance: str) -> str:
        """Return the channel of one pod's heartbeat."""
        return f"{self.prefix}:heartbeat:{instance}"

    def reply(self, instance: str) -> str:
        """Return the channel on which one pod receives answers."""
        return f"{self.prefix}:reply:{instance}"


def slot_of(key: str) -> int:
    """Return the hash slot of a key without a hash tag."""
    return crc_hqx(key.encode(), 0) % _SLOTS


@lru_cache(maxsize=256)
def _log_of(first: str, partition: int) -> str:
    """Name the log of a further partition so that it lies in the slot that is meant for it.

    The number behind the last dot is the lowest that brings it there: a slot is the checksum of a
    name, and cannot be chosen otherwise. It takes some milliseconds.
    """
    slot = (slot_of(first) + round(_SLOTS * _share_before(partition))) % _SLOTS
    head = f"{first}:{partition}."
    begun = crc_hqx(head.encode(), 0)
    for number in itertools.count():
        if crc_hqx(b"%d" % number, begun) % _SLOTS == slot:
            return f"{head}{number}"
    raise AssertionError("endless")


def _share_before(partition: int) -> float:
    """Return how far a partition lies behind the first one, as a share of all slots.

    The first three are thirds of the ring, the next three halve these, the next six quarter them,
    and so on. So they spread over the nodes of a Cluster however many there are, and none moves
    when there are more: most Clusters have three primaries, each with a third of the slots.
    """
    half, third = divmod(partition, 3)
    share, step = third / 3, 1 / 6
    while half:
        share += step * (half & 1)
        half, step = half >> 1, step / 2
    return share


DEFAULT = Names()
"""The names of a deployment that has chosen no prefix."""
