"""`status`: what a deployment is now, as Redis shows it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from constellation_ws.cli import deployment, log_status
from constellation_ws.cli.deployment import Pod
from constellation_ws.cli.log_status import Log, Packing, UnreadLog
from constellation_ws.cli.redis_connection import Reach, same_redis
from constellation_ws.cli.refusal import FULL, refusal
from constellation_ws.cli.reporting import to_table
from constellation_ws.redis_io.names import Names

_FRESH_EPOCH_SECONDS = 600.0
_PACKING = {
    Packing.NOW: "now: events that are appended together are one entry",
    Packing.OFF: "off: each event is an entry (CONSTELLATION_LOG_PACKING)",
    Packing.WAITS: "begins in some seconds: all pods can read packed entries",
    Packing.UNKNOWN: "not known: no pod records, or it has not asked yet",
}


@dataclass(frozen=True, slots=True)
class Memory:
    """What Redis uses."""

    used_bytes: int
    max_bytes: int
    """0 for no limit."""
    policy: str

    @property
    def is_full(self) -> bool:
        is_above = 0 < self.max_bytes <= self.used_bytes
        return is_above and self.policy == "noeviction"


@dataclass(frozen=True, slots=True)
class Widening:
    """More partitions of the log than are in use, which are used once all pods follow them."""

    partitions: int
    waits_for: Sequence[str]
    """Instances of the pods that follow fewer; empty where it takes some seconds only."""


@dataclass(frozen=True, slots=True)
class Status:
    """All of it."""

    delivery: str
    pods: Sequence[Pod]
    log: Log | None
    memory: Memory | None
    """None where the user may not ask."""
    further: Sequence[Log | UnreadLog] = ()
    """The log's other partitions."""
    refusal: str = ""
    """Why Redis accepts no writes: then it is not known which pods live."""

    @property
    def partitions(self) -> Sequence[Log]:
        """All that can be read; none with live delivery."""
        further = (one for one in self.further if isinstance(one, Log))
        return () if self.log is None else (self.log, *further)

    @property
    def widening(self) -> Widening | None:
        """None where no pod follows more than are in use, or where it is not known which live."""
        most = max((pod.partitions for pod in self.pods), default=1)
        if self.log is None or self.refusal or most <= self.log.partitions:
            return None
        return Widening(most, [pod.instance for pod in self.pods if pod.partitions < most])

    def problems(self) -> Iterator[str]:
        """Say in a sentence each what keeps events from being delivered, and what to do."""
        yield from self._refusals()
        for one in self.further:
            if isinstance(one, UnreadLog):
                yield (
                    f"partition {one.partition} of the log: {one.error}; its events wait, those of "
                    "the other partitions do not"
                )
        if self.refusal:
            yield (
                "which pods live is not known: they cannot show it. Clients stay connected, and "
                "get what is retained once Redis accepts writes"
            )
            return
        living = [pod for pod in self.pods if not pod.is_leaving]
        if not living:
            yield (
                "no pod is registered: start one, or compare REDIS_URL and "
                "CONSTELLATION_REDIS_PREFIX with the pods'"
            )
        for log in self.partitions:
            if living and not log.recorder and not log.refusal:
                alert = "ConstellationRecorderMissing in docs/operations.md"
                which = f" of partition {log.partition}" if self.further else ""
                yield f"no pod records PUBLISHed events{which}: see {alert}"

    def _refusals(self) -> Iterator[str]:
        """Say once what is so everywhere, else of which partition it is so."""
        refusals = {log.partition: log.refusal for log in self.partitions} or {0: self.refusal}
        if len(set(refusals.values())) == 1:
            yield from filter(None, [self.refusal])
            return
        for partition, reason in refusals.items():
            if reason:
                yield f"partition {partition} of the log: {reason}"

    def facts(self) -> Mapping[str, Any]:
        """Give all of it for programs."""
        return {
            "delivery": self.delivery,
            "pods": [asdict(pod) | {"is_leaving": self._is_leaving(pod)} for pod in self.pods],
            "log": None if self.log is None else asdict(self.log),
            "partitions": [asdict(log) for log in self.further],
            "widening": None if self.widening is None else asdict(self.widening),
            "memory": None if self.memory is None else asdict(self.memory),
            "problems": list(self.problems()),
        }

    def to_text(self) -> str:
        """Write it for people."""
        rows = [("pod", "users", "seen", "address", "")]
        for pod in self.pods:
            seen = f"{pod.seen_seconds:.0f} s ago"
            row = (pod.instance, f"{pod.users:,}", seen, pod.address or "-", self._part(pod))
            rows.append(row)
        facts = [("delivery", self.delivery), *self._log_rows(), *self._memory_rows()]
        return f"{to_table(rows)}\n\n{to_table(facts)}"

    def _is_leaving(self, pod: Pod) -> bool | None:
        """Return whether a pod stops or is gone; None where it may live and cannot show it."""
        return None if self.refusal and pod.is_leaving else pod.is_leaving

    def _part(self, pod: Pod) -> str:
        if pod.is_leaving:
            return "not known" if self.refusal else "stopping or gone"
        if self.log is None:
            return ""
        if pod.instance in (log.recorder for log in self.partitions):
            return "recorder"
        return "listener" if pod.instance in self.log.listeners else ""

    def _log_rows(self) -> Iterator[tuple[str, str]]:
        if self.log is not None and (widening := self.widening):
            yield "partitions", f"{self.log.partitions} in use; {_announce(widening)}"
        for log in () if self.log is None else (self.log, *self.further):
            of = f" {log.partition}" if self.further else ""
            if isinstance(log, UnreadLog):
                yield f"log{of}", "cannot be read, see below"
                continue
            if self.further:
                nobody = "not known" if log.refusal else "(none)"
                yield f"recorder{of}", log.recorder or nobody
            yield from ((f"{name}{of}", text) for name, text in self._rows_of(log))

    def _rows_of(self, log: Log) -> Iterator[tuple[str, str]]:
        text = f"{'at least ' * log.is_least}{log.events:,} events"
        if log.events != log.entries:
            text += f" in {log.entries:,} entries"
        if log.newest_seconds is not None:
            text += f", the newest {log.newest_seconds:.1f} s old"
            text += f", reaching back {log.reaches_back_seconds:.0f} s"
        yield "log", text
        yield "packing", self._packing(log.packing)
        yield "epoch", f"{log.epoch or '(none)'}, {log.epoch_seconds:,.0f} s old{_told(log)}"

    def _packing(self, packing: Packing) -> str:
        if packing is Packing.WAITS:
            unable = [pod.instance for pod in self.pods if not pod.reads_packed]
            if unable:
                return f"waits: the release of {', '.join(unable)} cannot read packed entries"
        return _PACKING[packing]

    def _memory_rows(self) -> Iterator[tuple[str, str]]:
        if self.memory is None:
            return
        most = f"{self.memory.max_bytes:,}" if self.memory.max_bytes else "no limit"
        used = f"{self.memory.used_bytes:,} bytes of {most}"
        yield "memory", f"{used}, {self.memory.policy}"


def _announce(widening: Widening) -> str:
    if not widening.waits_for:
        return f"{widening.partitions} in some seconds: all pods follow them"
    fewer = ", ".join(widening.waits_for)
    return (
        f"{widening.partitions} once these pods, which follow fewer, are gone: {fewer} "
        "(CONSTELLATION_LOG_PARTITIONS)"
    )


def _told(log: Log) -> str:
    """Say why an epoch began that is recent, and what clients noticed."""
    is_first = log.epoch_reason in ("", "founded")
    if is_first or log.epoch_seconds > _FRESH_EPOCH_SECONDS:
        return ""
    return f", because of {log.epoch_reason}: clients got new sessions"


def inspect(redis: Redis, names: Names, delivery: str, reach: Reach = same_redis) -> Status:
    """Read it. Raises RedisFailed."""
    found, memory = deployment.pods(redis, names), _memory(redis)
    reason = refusal(redis, names) or (FULL if memory is not None and memory.is_full else "")
    if delivery != "durable":
        return Status(delivery, found, None, memory, refusal=reason)
    first = replace(log_status.inspect(redis, names, found), refusal=reason)
    further = list(log_status.inspect_further(redis, names, first, found, reach))
    return Status(delivery, found, first, memory, further, reason)


def _memory(redis: Any) -> Memory | None:
    try:
        info = redis.info("memory")
        return Memory(info["used_memory"], info["maxmemory"], info["maxmemory_policy"])
    except (RedisError, KeyError):
        return None
