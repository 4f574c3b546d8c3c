"""Parts of a pod for tests, made with as little as each of them needs.

Lives here: who consumes a log or a subscription, recording what it was given.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from redis.asyncio import Redis

from constellation_ws.delivery.partitioning import Partitioning
from constellation_ws.log.ids import LogId
from constellation_ws.log.layout import Logged
from constellation_ws.log.producer import Producer
from constellation_ws.log.pubsub_positions import Run, parse_position
from constellation_ws.log.redis_log import RedisLog
from constellation_ws.log.session_mark import SessionMark
from constellation_ws.log.state import Candidacy
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.bus import Published
from constellation_ws.redis_io.names import DEFAULT, Names

PLENTY_OF_BYTES = 1 << 30
_numbers = itertools.count()


def make_log(
    redis: Redis,
    metrics: Metrics | None = None,
    unrecorded: Unrecorded | None = None,
    names: Names = DEFAULT,
    *,
    is_divided: bool = False,
) -> RedisLog:
    """A log that one client serves for all purposes."""
    return RedisLog(
        redis,
        redis,
        names,
        unrecorded or Unrecorded(b"pod", PLENTY_OF_BYTES),
        SessionMark(f"pod-{next(_numbers)}"),
        metrics or Metrics(),
        is_divided=is_divided,
    )


def runs_at(positions: Iterable[bytes]) -> list[Run]:
    """Give positions as entries of the log have them: those that follow each other together."""
    runs: list[Run] = []
    for tick, index in map(parse_position, positions):
        if runs and (runs[-1].tick, runs[-1].end) == (tick, index):
            runs[-1] = Run(tick, runs[-1].first, runs[-1].length + 1)
        else:
            runs.append(Run(tick, index, 1))
    return runs


def producer(redis: Redis, volatile: frozenset[str] = frozenset()) -> Producer:
    """A producer for a log of one partition."""
    return Producer([(redis, DEFAULT)], Partitioning().find, volatile)


async def produce(redis: Redis, channel: str, data: bytes) -> None:
    """Append one message as a producer does."""
    (log_id,) = await producer(redis).append_all([(channel, data)])
    assert isinstance(log_id, str)


async def trim(log: RedisLog, window_seconds: float, max_events: int) -> None:
    """Remove entries as the recorder does."""
    asked = Candidacy("trimmer.1", "trimmer", 0, 0)
    assert (await log.state.request_lease(asked, 5)).is_granted
    async with log.open_appender("trimmer.1") as appender:
        appender.trim(window_seconds, max_events)
        await appender.renewed(5, b"")
    await log.state.release("trimmer.1")


class Follower:
    """Consumes a log."""

    def __init__(self) -> None:
        self.batches: list[list[Logged]] = []
        self.starts: list[LogId] = []
        self.gaps: list[str] = []

    @property
    def payloads(self) -> list[bytes]:
        return [data for batch in self.batches for _, _, data in batch]

    def deliver(self, batch: list[Logged]) -> None:
        self.batches.append(batch)

    def begin_after(self, after: LogId) -> None:
        self.starts.append(after)

    def report_gap(self, reason: str) -> None:
        self.gaps.append(reason)


class Listener:
    """Consumes a subscription."""

    def __init__(self) -> None:
        self.batches: list[list[Published]] = []
        self.interruptions: list[bool] = []
        """Whether each was lossy."""
        self.changes: list[tuple[int, bool]] = []
        """After how many batches the channels were changed, and whether events are among them."""

    def receive(self, batch: list[Published]) -> None:
        without_ticks = [one for one in batch if one[0] != DEFAULT.ticks.encode()]
        if without_ticks:
            self.batches.append(without_ticks)

    def interrupted(self, *, is_lossy: bool) -> None:
        self.interruptions.append(is_lossy)

    def change(self, *, listens: bool) -> None:
        self.changes.append((len(self.batches), listens))
