"""What is said of a run: a row for each disaster, and the story of a client wronged by each.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby

from tests.chaos.ledger import Event, Ledger
from tests.chaos.losses import Counts, unreported
from tests.chaos.story import Entry
from tests.chaos.timeline import CALM, Timeline
from tests.chaos.verdict import Fault, Finding, Verdict

_SHOWN_FINDINGS = 6
_STORY_MS = 60_000


@dataclass(slots=True)
class Row:
    """What happened from one disaster to the next, over all clients."""

    world: str
    published: int = 0
    acknowledged: int = 0
    delivered: int = 0
    recovered: int = 0
    new_sessions: int = 0
    missing: int = 0
    doubled: int = 0
    disordered: int = 0
    stray: int = 0
    needless: int = 0
    """New sessions for which there was no reason."""
    lost: int = 0
    """Events that steady connections did not get, whether that was reported or not."""
    unreported: int = 0
    """Events that were lost, and no pod counted a loss."""
    away: int = 0
    """Clients that are not back, or get no new events, long after the last disaster."""
    troubles: list[str] = field(default_factory=list)
    """What went wrong with the pods."""

    @property
    def faults(self) -> int:
        return sum((
            self.missing, self.doubled, self.disordered, self.stray, self.needless,
            self.unreported, self.away, len(self.troubles),
        ))  # fmt: skip

    def add(self, other: Row) -> None:
        """Count another row of the same world in."""
        for name in _COUNTED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.troubles += other.troubles


_COUNTED = [name for name in Row.__dataclass_fields__ if name not in ("world", "troubles")]
_OF_FAULT = {
    Fault.MISSING: "missing",
    Fault.DOUBLED: "doubled",
    Fault.DISORDERED: "disordered",
    Fault.STRAY: "stray",
    Fault.NEEDLESS: "needless",
}


def sum_up(
    ledger: Ledger,
    verdicts: Sequence[Verdict],
    timeline: Timeline,
    counts: Counts,
    away: Sequence[str],
) -> list[Row]:
    """Put down everything to the disaster that had struck last; one row for each, in order."""
    names = [CALM, *timeline.names()]
    rows = {name: Row(name) for name in names}

    def count(name: str, moments: Iterable[float]) -> None:
        for world, number in Counter(map(timeline.name_at, moments)).items():
            setattr(rows[world], name, getattr(rows[world], name) + number)

    events = list(ledger.events.values())
    count("published", (event.sent_ms for event in events))
    count("acknowledged", (event.sent_ms for event in events if event.is_accepted))
    for verdict in verdicts:
        count("delivered", verdict.received_ms)
        count("recovered", verdict.recovered_ms)
        count("new_sessions", verdict.new_sessions_ms)
        for finding in verdict.findings:
            count(_OF_FAULT[finding.fault], [finding.ms])
    lost = [event for verdict in verdicts for event in verdict.lost]
    numbers = {event.number: event for event in lost}
    count("lost", (event.sent_ms for event in numbers.values()))
    count("unreported", (event.sent_ms for event in unreported(lost, counts, timeline)))
    rows[names[-1]].away += len(away)
    return list(rows.values())


_HEADS = {
    "world": "world", "published": "published", "acknowledged": "acked", "delivered": "delivered",
    "recovered": "recovered", "new_sessions": "new", "missing": "missing", "doubled": "doubled",
    "disordered": "disorder", "stray": "stray", "needless": "needless",
    "lost": "lost",
    "unreported": "unreported", "away": "away",
}  # fmt: skip


def table(rows: Iterable[Row]) -> str:
    """Lay the rows out as text; the last column says whether each is right."""
    cells = [[*_HEADS.values(), "verdict"]]
    for row in rows:
        values = asdict(row)
        verdict = "FAILED" if row.faults else "ok"
        cells.append([*(str(values[name]) for name in _HEADS), verdict])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for line in cells:
        first, *others = (
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def stories(ledger: Ledger, verdicts: Sequence[Verdict], timeline: Timeline) -> str:
    """Tell what the client went through whose promise was broken first, for each disaster."""
    wronged = [verdict for verdict in verdicts if verdict.findings]
    # What was missed or doubled says more than a session that was not resumed.
    wronged.sort(key=lambda one: (_weight(one.findings[0]), one.findings[0].ms))
    firsts: dict[str, Verdict] = {}
    for verdict in wronged:
        for finding in verdict.findings:
            firsts.setdefault(timeline.name_at(finding.ms), verdict)
    told = dict.fromkeys(map(id, firsts.values()))
    chosen = [verdict for verdict in wronged if id(verdict) in told]
    return "\n".join(_story(ledger, verdict, timeline) for verdict in chosen)


def _story(ledger: Ledger, verdict: Verdict, timeline: Timeline) -> str:
    begin = verdict.story.entries[0][1]
    story = verdict.story
    lines = [f"{story.name} ({story.kind}), user {story.user}, link {story.group or 'good'}:"]
    lines += _told(verdict, timeline, begin, around=verdict.findings[0].ms)
    lines.append("what is wrong:")
    for fault in Fault:
        found = [one for one in verdict.findings if one.fault is fault]
        lines += [_said(finding, ledger, begin) for finding in found[:_SHOWN_FINDINGS]]
        if len(found) > _SHOWN_FINDINGS:
            lines.append(f"              and {len(found) - _SHOWN_FINDINGS} more {fault.value}")
    return "\n".join(lines)


def _said(finding: Finding, ledger: Ledger, begin: float) -> str:
    event = ledger.events.get(finding.number or 0)
    reason = f" ({finding.reason})" if finding.reason else ""
    about = f": {_described(event, begin)}" if event else ""
    return f"  {_at(finding.ms, begin)}  {finding.fault.value}{reason}{about}"


def _weight(finding: Finding) -> int:
    return finding.fault is Fault.NEEDLESS


def _told(verdict: Verdict, timeline: Timeline, begin: float, around: float) -> list[str]:
    """Give its entries and the disasters in the order of time; events in a row as one line."""
    moments: list[tuple[float, str]] = []
    for strike in timeline.strikes:
        if strike.group in (None, verdict.story.group):
            moments.append((strike.start_ms, f"*** {strike.name}"))
            if strike.end_ms is not None and strike.end_ms - strike.start_ms > 1:
                moments.append((strike.end_ms, f"*** {strike.name} is over"))
    for what, entries in groupby(verdict.story.entries, lambda entry: entry[0]):
        run = list(entries)
        if what == "event":
            numbers = f"{run[0][2]} to {run[-1][2]}" if len(run) > 1 else f"{run[0][2]}"
            moments.append((run[0][1], f"{len(run)} events, {numbers}"))
        else:
            moments += [(entry[1], _words(entry)) for entry in run]
    return [
        f"  {_at(ms, begin)}  {what}"
        for ms, what in sorted(moments, key=lambda one: one[0])
        if abs(ms - around) < _STORY_MS
    ]


def _words(entry: Entry) -> str:
    if entry[0] == "connect":
        _, _, sid, pid, is_recovered = entry
        return f"connect, {'recovered' if is_recovered else 'NEW session'}, sid {sid}, pid {pid}"
    return " ".join(map(str, (entry[0], *entry[2:])))


def _described(event: Event, begin: float) -> str:
    address = ", ".join([*sorted(event.users)[:3], *sorted(event.rooms)])
    return (
        f"event {event.number} to {address}, {event.way.value}, sent {_at(event.sent_ms, begin)}, "
        f"{event.outcome.value} {_at(event.settled_ms, begin)}: {event.answer[:80]}"
    )


def _at(ms: float, begin: float) -> str:
    return f"{(ms - begin) / 1_000:8.3f} s"
