"""One partition of the log, as this pod follows it."""

from __future__ import annotations

from redis.asyncio import Redis

from constellation_ws.log.redis_log import RedisLog
from constellation_ws.log.session_mark import SessionMark
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.names import Names
from constellation_ws.wiring.redis_clients import RedisClients

_UNRECORDED_BYTES = 64 * 1024 * 1024
"""What Redis refuses to record is retained up to this: a minute of a thousand events a second."""
_LEAST_UNRECORDED_BYTES = 4 * 1024 * 1024
"""Of one partition. Its share has the same minute; above 16 partitions it would be too little for a
burst in one chat."""


def part_name(part: str, partition: int) -> str:
    """Name a part of one partition; that of the first has the name that it has alone."""
    return f"{part} {partition}" if partition else part


class Partition:
    """Its log, what this pod has received for it, and the clients that reach it."""

    def __init__(
        self, number: int, count: int, redis: RedisClients, names: Names, instance: str,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        """It is one of `count`; `redis` and `names` are those of any of them."""
        self.number = number
        self.names = names.of_partition(number)
        self._redis = redis.of_partition(number)
        most_bytes = max(
            _UNRECORDED_BYTES // count, min(_UNRECORDED_BYTES, _LEAST_UNRECORDED_BYTES)
        )
        self.unrecorded = Unrecorded(instance.encode(), most_bytes)
        self.mark = SessionMark(instance)
        """Sessions are in the first partition alone: of the others none is ever confirmed."""
        vital, requests = self._redis.vital, self._redis.requests
        self.log = RedisLog(
            vital, requests, self.names, self.unrecorded, self.mark, metrics, is_divided=count > 1
        )

    @property
    def for_events(self) -> tuple[Redis, Names]:
        """How an event is appended that must not be appended twice."""
        return self._redis.once, self.names

    @property
    def for_requests(self) -> tuple[Redis, Names]:
        """How something is written that may be tried again."""
        return self._redis.requests, self.names
