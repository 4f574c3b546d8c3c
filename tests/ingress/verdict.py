"""Whether a client has noticed that there is more than one pod, by what it wrote down.

Pure. While all pods live, it notices nothing at all. Once pods are replaced or killed it may lose
its connection, and even its session; but then it is connected again, and within a session nothing
is missing, doubled or out of order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.crowd import Record
from tests.chaos.ledger import Ledger
from tests.chaos.timeline import Timeline
from tests.chaos.verdict import Fault, Verdict, judge

WEBSOCKET = "websocket"
_SHOWN_TRANSPORTS = 3


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is allowed, and from when on."""

    disturbed_ms: float = float("inf")
    """When the first pod was replaced or killed."""
    upgrade_seconds: float = float("inf")
    """Within which a default client is on a WebSocket."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a crowd has gone through behind a proxy."""

    faults: list[str]
    connected: int
    upgrade_seconds: list[float]
    """Of those that were upgraded, from their start."""
    received: int
    errors: int
    losses: int
    recovered: int
    new_sessions: int

    def lines(self) -> Iterator[str]:
        """Say it to people, one line after the other."""
        upgraded = sorted(self.upgrade_seconds) or [float("nan")]
        yield (
            f"{self.connected} connected; {len(self.upgrade_seconds)} upgraded, after "
            f"{upgraded[len(upgraded) // 2]:.2f} s (median) and {upgraded[-1]:.2f} s (last)"
        )
        yield (
            f"{self.received} events received; {self.errors} times connect_error, "
            f"{self.losses} times disconnect; {self.recovered} recovered, "
            f"{self.new_sessions} new sessions"
        )


def report(ledger: Ledger, records: Sequence[Record], bounds: Bounds) -> Report:
    """Judge everybody."""
    judged = [(record, judge(ledger, record.story, Timeline())) for record in records]
    verdicts = [verdict for _, verdict in judged]
    upgrades = [_upgraded_ms(record) for record in records]
    return Report(
        faults=_grouped(
            (fault, f"{record.client.name}{detail}")
            for record, verdict in judged
            for fault, detail in _faults(record, verdict, bounds)
        ),
        connected=sum(one.is_connected for one in verdicts),
        upgrade_seconds=[
            (ms - record.opened) / 1000
            for ms, record in zip(upgrades, records, strict=True)
            if ms is not None
        ],
        received=sum(len(one.received_ms) for one in verdicts),
        errors=sum(len(record.errors) for record in records),
        losses=sum(len(_losses(record)) for record in records),
        recovered=sum(len(one.recovered_ms) for one in verdicts),
        new_sessions=sum(len(one.new_sessions_ms) for one in verdicts),
    )


def _grouped(found: Iterable[tuple[str, str]]) -> list[str]:
    """Say each fault once, how often it was found, and where first."""
    places: dict[str, list[str]] = {}
    for fault, place in found:
        places.setdefault(fault, []).append(place)
    return [f"{fault}: {len(them)} times, first: {them[0]}" for fault, them in places.items()]


def _faults(record: Record, verdict: Verdict, bounds: Bounds) -> Iterator[tuple[str, str]]:
    """Give each fault, and what it says beside the client's name."""
    for ms, message in record.errors:
        if ms < bounds.disturbed_ms:
            yield "connect_error", f", {message}"
    for ms, reason in _losses(record):
        if ms < bounds.disturbed_ms:
            yield "disconnect", f", {reason}"
    if not verdict.is_connected:
        yield "not connected at the end", ""
    if record.client.kind.transport == "upgrading":
        yield from _slow(record, bounds)
    for one in verdict.findings:
        if one.fault is Fault.NEEDLESS and one.ms > bounds.disturbed_ms:
            continue  # a pod that is killed takes along what only it knew
        number = "" if one.number is None else f", event {one.number}"
        yield one.fault.value, number + (f", {one.reason}" if one.reason else "")


def _slow(record: Record, bounds: Bounds) -> Iterator[tuple[str, str]]:
    upgraded_ms = _upgraded_ms(record)
    if upgraded_ms is None:
        used = "; ".join(name for _, name in record.transports[:_SHOWN_TRANSPORTS])
        yield "never on a WebSocket", f", only: {used or 'nothing'}"
    elif upgraded_ms - record.opened > bounds.upgrade_seconds * 1000:
        yield "on a WebSocket too late", f", after {(upgraded_ms - record.opened) / 1000:.1f} s"


def _upgraded_ms(record: Record) -> int | None:
    """When it first was on a WebSocket."""
    return next((ms for ms, name in record.transports if name == WEBSOCKET), None)


def _losses(record: Record) -> list[tuple[int, str]]:
    return [(entry[1], entry[2]) for entry in record.entries if entry[0] == "lost"]
