"""The names of all keys and channels of the gateway in Redis, under one prefix.

Pub/Sub knows no database number, so the prefix is what keeps two deployments on one Redis apart.
Event channels and the emitters' channels belong to publishers and carry no prefix.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DEFAULT_PREFIX = "constellation"


@dataclass(frozen=True, slots=True)
class Names:
    """Keys and channels of one deployment.

    All keys lie in one hash slot of a Redis Cluster: the log's own name is the hash tag of the
    others. A script may therefore use several of them.
    """

    prefix: str = DEFAULT_PREFIX
    log: str = field(init=False)
    """The stream of events. Producers write to it: part of the contract."""
    slot: str = field(init=False)
    """What every key but the log's own begins with."""
    commands: str = field(init=False)
    """Channel of commands to all pods."""
    ticks: str = field(init=False)
    """Channel of the marks that give each Pub/Sub message a position."""

    def __post_init__(self) -> None:
        for name, value in (
            ("log", f"{self.prefix}:events"),
            ("slot", f"{{{self.prefix}:events}}"),
            ("commands", f"{self.prefix}:commands"),
            ("ticks", f"{self.prefix}:ticks"),
        ):
            object.__setattr__(self, name, value)

    @property
    def state(self) -> str:
        """The hash that holds the log's epoch and the recorder's lease."""
        return f"{self.slot}:state"

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
        return f"{self.slot}:once:{request}"

    def heartbeat(self, instance: str) -> str:
        """Return the channel of one pod's heartbeat."""
        return f"{self.prefix}:heartbeat:{instance}"

    def reply(self, instance: str) -> str:
        """Return the channel on which one pod receives answers."""
        return f"{self.prefix}:reply:{instance}"


DEFAULT = Names()
"""The names of a deployment that has chosen no prefix."""
