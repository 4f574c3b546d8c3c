"""A deployment as its pods leave it in Redis, and the connection of a command to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis

from constellation_ws.cli.redis_connection import connected
from constellation_ws.redis_io.names import Names
from tests.processes import Valkey

NAMES = Names("trial")


class Deployment:
    """Pods that have registered."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def pod(
        self,
        instance: str,
        *users: str,
        lives_seconds: float = 20.0,
        host: str = "",
        reads_packed: bool = True,
        partitions: int = 1,
    ) -> None:
        """Register a pod, as presence and the directory of peers do."""
        seconds, _ = self.redis.time()
        self.redis.zadd(NAMES.pods, {instance: seconds + lives_seconds})
        if reads_packed:
            self.redis.zadd(NAMES.readers, {instance: seconds + 60})
        if partitions > 1:
            self.redis.zadd(NAMES.followers, {f"{partitions} {instance}": seconds + 60})
        if users:
            self.redis.zadd(NAMES.users(instance), dict.fromkeys(users, 0))
        if host:
            self.redis.zadd(NAMES.peers, {f"{instance} 1 {host} 7757": seconds + 15})

    def records(
        self, instance: str, reason: str = "", packs: str = "off", names: Names = NAMES
    ) -> None:
        """Let a pod hold the recorder's lease, and have been answered whether it may pack."""
        seconds, _ = self.redis.time()
        fields: Any = {"holder": f"{instance}.3", "until": (seconds + 30) * 1000, "epoch": "e1"}
        since = {"reason": reason, "begun": (seconds - 5) * 1000, "packs": packs}
        self.redis.hset(names.state, mapping=fields | since)

    def listens(self, *instances: str, since_seconds: float = 0) -> None:
        """Let pods have seats since so long ago."""
        seconds, _ = self.redis.time()
        ends = int((seconds - since_seconds + 2) * 1000)
        seats = " ".join(f"{instance} {ends} 1 1 0 0" for instance in instances)
        self.redis.hset(NAMES.state, "listeners", seats)


@contextmanager
def full(redis: Redis) -> Iterator[None]:
    """Let Redis refuse writes, as for lack of memory."""
    redis.config_set("maxmemory", "1")
    try:
        yield
    finally:
        redis.config_set("maxmemory", "0")


@pytest.fixture
def deployment(valkey: Valkey) -> Iterator[Deployment]:
    """An empty one."""
    with connected(valkey.url, NAMES) as redis:
        redis.flushall()
        yield Deployment(redis)
