"""What each partition of the log is now: how many events it holds, who appends, in which form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from redis import Redis

from constellation_ws.cli.deployment import Pod
from constellation_ws.cli.redis_connection import Reach, RedisFailed, required
from constellation_ws.cli.refusal import refusal
from constellation_ws.log import packing, seats
from constellation_ws.redis_io.names import Names

_STATE = (
    "holder", "until", "epoch", "begun", "reason", "packs", "extra", "listeners", "partitions",
)  # fmt: skip
"""Fields of the log's state. Read with HMGET, which a gateway's own user may do."""
_PAGE, _PAGES = 100, 100
"""So many plain entries are looked through for the first packed one."""


class Packing(StrEnum):
    """Whether events that are appended together are one entry, as the recorder last asked."""

    NOW = "now"
    OFF = "off"
    WAITS = "waits"
    """Not while a pod lives that cannot read it, nor in the seconds after."""
    UNKNOWN = "unknown"
    """No pod records, or the one that does has not asked yet."""


@dataclass(frozen=True, slots=True)
class Log:
    """The log, and who appends to it."""

    events: int
    is_least: bool
    """Whether there may be more: the first packed entry was not found."""
    entries: int
    """Of the stream; each holds one event, or many."""
    newest_seconds: float | None
    """How long ago the newest event was appended; None where there is none."""
    reaches_back_seconds: float | None
    recorder: str
    """Instance of the pod that records; empty where there is none."""
    listeners: Sequence[str]
    """Instances of the pods that receive events from Pub/Sub. Pods of earlier releases, which all
    do, are not named."""
    packing: Packing
    epoch: str
    epoch_seconds: float
    epoch_reason: str
    """Why it began: what was lost before."""
    partition: int
    partitions: int
    """How many are in use, as the state of the first one has it."""
    refusal: str = ""
    """Why its Redis accepts no writes; empty where it does."""


@dataclass(frozen=True, slots=True)
class UnreadLog:
    """A further partition of the log that cannot be read: its node of a Cluster is away, say."""

    partition: int
    error: str
    """Which node it is, and why."""


def inspect_further(
    redis: Redis, names: Names, first: Log, pods: Sequence[Pod], reach: Reach
) -> Iterator[Log | UnreadLog]:
    """Read the other partitions that are in use; one that is away does not hide the others."""
    for number in range(1, first.partitions):
        others = names.of_partition(number)
        try:
            with reach(redis, others) as other:
                log = inspect(other, others, pods)
                yield replace(log, refusal=refusal(other, others))
        except RedisFailed as error:
            yield UnreadLog(number, error.reason)


def inspect(redis: Any, names: Names, pods: Sequence[Pod]) -> Log:
    """Read it; `pods` are those that live. Raises RedisFailed."""
    with required("The log cannot be read"):
        seconds, microseconds = redis.time()
        now = seconds + microseconds / 1e6
        newest, oldest = redis.xrevrange(names.log, count=1), redis.xrange(names.log, count=1)
        values = redis.hmget(names.state, _STATE)
        state = {name: value.decode() for name, value in zip(_STATE, values, strict=True) if value}
        entries = redis.xinfo_stream(names.log)["length"] if newest else 0
        more = _beyond_entries(redis, names, oldest, state) if newest else 0
    is_held = float(state.get("until", 0)) / 1000 > now
    recorder = state.get("holder", "").rpartition(".")[0] if is_held else ""
    return Log(
        events=entries + (more or 0),
        is_least=more is None,
        entries=entries,
        newest_seconds=_age(newest, now),
        reaches_back_seconds=_age(oldest, now),
        recorder=recorder,
        listeners=seats.listeners(state.get("listeners", ""), now * 1000),
        packing=_packing(state.get("packs", ""), recorder, pods),
        epoch=state.get("epoch", ""),
        epoch_seconds=max(0.0, now - float(state.get("begun", now * 1000)) / 1000),
        epoch_reason=state.get("reason", ""),
        partition=names.partition,
        partitions=int(state.get("partitions", 1)),
    )


def _beyond_entries(redis: Any, names: Names, oldest: Any, state: Mapping[str, str]) -> int | None:
    """Count the events beyond one for each entry of the log; None where that is not known.

    Each packed entry has how many there had been before it, since Redis began to count.
    """
    extra, page = int(state.get("extra", 0)), oldest
    for _ in range(_PAGES):
        for _, fields in page:
            if packing.FIELD in fields:
                before = int(fields.get(packing.BEFORE, 0))
                return extra - before if extra >= before else None
        if not extra:
            return 0
        page = redis.xrange(names.log, b"(" + page[-1][0], count=_PAGE)
        if not page:
            return 0
    return None


def _packing(packs: str, recorder: str, pods: Sequence[Pod]) -> Packing:
    """Read the answer to the recorder. One of an earlier release does not ask."""
    if not recorder or not packs:
        return Packing.UNKNOWN
    found = Packing(packs)
    can_read = all(pod.reads_packed for pod in pods)
    return found if found is not Packing.NOW or can_read else Packing.WAITS


def _age(entries: Any, now: float) -> float | None:
    """Give the age of the first entry of a reply, by Redis' clock."""
    if not entries:
        return None
    return max(0.0, now - int(entries[0][0].partition(b"-")[0]) / 1000)
