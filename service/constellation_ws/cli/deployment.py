"""What the pods of a deployment keep in Redis: which pods live, and who is online through which.

Redis' own clock judges who lives, as between pods. Everything here only reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from constellation_ws.chats.life_signs import LIFETIME_SECONDS
from constellation_ws.chats.presence import REFRESH_SECONDS
from constellation_ws.cli.redis_connection import required
from constellation_ws.messages.events import UserId
from constellation_ws.peers.directory import read_entry
from constellation_ws.redis_io.names import Names

_PAGE = 1_000
_LATELY_SECONDS = 2 * REFRESH_SECONDS
"""A pod that lives has refreshed within this time, as for `Presence.pods`."""
_NOT_READ = "The pods cannot be read"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that lives, as it has registered itself."""

    instance: str
    seen_seconds: float
    """How long ago it last showed that it lives."""
    users: int
    address: str
    """Where other pods reach it; empty where it has no peer port, or has just left."""
    reads_packed: bool
    """Whether it can read packed entries of the log; pods of earlier releases cannot."""
    partitions: int = 1
    """How many partitions of the log it follows."""

    @property
    def is_leaving(self) -> bool:
        """Whether it has registered a shorter life because it stops, or was killed."""
        return self.seen_seconds > _LATELY_SECONDS


@dataclass(frozen=True, slots=True)
class OnlineUser:
    """A user, and the instances of the pods that hold its sockets."""

    user: UserId
    pods: Sequence[str]


def pods(redis: Redis, names: Names) -> list[Pod]:
    """List the pods that live, in the order of their instances. Raises RedisFailed."""
    asked: Any = redis
    with required(_NOT_READ):
        seconds, microseconds = asked.time()
        now = seconds + microseconds / 1e6
        alive = asked.zrangebyscore(names.pods, now, "+inf", withscores=True)
        entries = asked.zrangebyscore(names.peers, now, "+inf")
        followers = asked.zrangebyscore(names.followers, "-inf", "+inf")
        with asked.pipeline(transaction=False) as pipe:
            for instance, _ in alive:
                pipe.zcard(names.users(instance.decode()))
                pipe.zscore(names.readers, instance)
            replies = pipe.execute()
    follows = _follows(followers)
    peers = {peer.instance: peer for peer in map(read_entry, entries) if peer is not None}
    found = [
        Pod(
            instance=(name := instance.decode()),
            seen_seconds=now + LIFETIME_SECONDS - until,
            users=int(count),
            address=f"{peers[name].host}:{peers[name].port}" if name in peers else "",
            reads_packed=reader is not None,
            partitions=follows.get(name, 1),
        )
        for (instance, until), count, reader in zip(alive, replies[::2], replies[1::2], strict=True)
    ]
    return sorted(found, key=lambda pod: pod.instance)


def _follows(followers: Iterable[bytes]) -> Mapping[str, int]:
    """Read how many partitions pods follow; one that does not say so follows one."""
    parts = (one.decode().partition(" ") for one in followers)
    return {instance: int(count) for count, _, instance in parts}


def users(redis: Redis, names: Names, after: str = "") -> Iterator[OnlineUser]:
    """Yield the cluster's online users after one, in the order of their ids, a page at a time.

    Users that connect or disconnect meanwhile may be missing. Raises RedisFailed.
    """
    instances = [pod.instance for pod in pods(redis, names)]
    while page := _page(redis, names, instances, after):
        yield from page
        after = page[-1].user


def whereabouts(redis: Redis, names: Names, user: UserId) -> list[Pod]:
    """List the pods through which a user is online. Raises RedisFailed."""
    found = pods(redis, names)
    with required(_NOT_READ), redis.pipeline(transaction=False) as pipe:
        for pod in found:
            pipe.zscore(names.users(pod.instance), user)
        scores = pipe.execute()
    return [pod for pod, score in zip(found, scores, strict=True) if score is not None]


def _page(redis: Redis, names: Names, instances: Sequence[str], after: str) -> list[OnlineUser]:
    """Read the next users of all pods; every pod's page reaches as far as what is given."""
    start = f"({after}" if after else "-"
    with required(_NOT_READ), redis.pipeline(transaction=False) as pipe:
        for instance in instances:
            pipe.zrangebylex(names.users(instance), start, "+", start=0, num=_PAGE)
        pages: list[list[bytes]] = pipe.execute()
    ends = [page[-1] for page in pages if len(page) == _PAGE]
    found: dict[bytes, list[str]] = {}
    for instance, page in zip(instances, pages, strict=True):
        for user in page:
            if not ends or user <= min(ends):
                found.setdefault(user, []).append(instance)
    return [OnlineUser(UserId(user.decode()), found[user]) for user in sorted(found)]
