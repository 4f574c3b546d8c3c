"""One page about one run: what was lost, doubled or disordered, where and when."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tests.chaos.publishing import Books, Way
from tests.chaos.verdict import Log, Verdict

Timeline = Sequence[tuple[int, str]]
_PUBSUB_AWAY_MS = 3_000


@dataclass(frozen=True, slots=True)
class Recording:
    """How one publisher's events stand in the log."""

    way: str
    accepted: int
    lacking: list[int]
    """Accepted, and not in the log."""
    lacking_at_restart: list[int]
    """Of these, published while Redis was restarted: Pub/Sub promises nothing then."""
    doubled: list[int]
    disordered: list[int]


@dataclass(frozen=True, slots=True)
class Group:
    """Clients of one kind."""

    kind: str
    clients: int
    deliveries: int
    recovered: int
    told: dict[str, int]
    """Times that a client was told that it was not recovered, by what had just happened."""
    missing: int
    doubled: int
    disordered: int
    unexpected: int
    extra_arguments: int
    away_ms_median: float
    away_ms_max: int


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on one run."""

    seconds: float
    log_entries: int
    unknown: int
    """Events whose publisher never learned whether they were accepted."""
    recordings: list[Recording]
    groups: list[Group]
    lacking_last: list[str]
    """Clients that never got the last event."""
    worst: list[dict[str, Any]]
    timeline: list[tuple[float, str]]

    @property
    def deliveries(self) -> int:
        return sum(group.deliveries for group in self.groups)

    def faults(self) -> list[str]:
        """What breaks a promise, as sentences; empty when all is well."""
        said = [f"{len(self.lacking_last)} clients never got the last event"]
        wrong = [bool(self.lacking_last)]
        for one in self.recordings:
            lost = len(one.lacking) - len(one.lacking_at_restart)
            for count, word in ((lost, "lost"), (len(one.doubled), "doubled"),
                                (len(one.disordered), "disordered")):  # fmt: skip
                said.append(f"{one.way}: {count} {word} on the way into the log")
                wrong.append(count > 0)
        for group in self.groups:
            for word in ("missing", "doubled", "disordered", "unexpected", "extra_arguments"):
                said.append(f"{group.kind}: {getattr(group, word)} {word}")
                wrong.append(getattr(group, word) > 0)
        return [sentence for sentence, is_wrong in zip(said, wrong, strict=True) if is_wrong]

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    def to_text(self) -> str:
        """The page."""
        verdict = self.faults() or ["nothing missing, doubled or out of order"]
        lines = [
            f"{self.seconds:.0f} s, {self.log_entries} events, {self.deliveries} deliveries: "
            + "; ".join(verdict),
            "",
            f"{'clients':<30} {'n':>4} {'deliv.':>7} {'recov.':>6} {'told':>5} {'miss':>5} "
            f"{'doub.':>5} {'order':>5} {'unexp':>5} {'away ms, max':>14}",
        ]
        for g in self.groups:
            lines.append(
                f"{g.kind:<30} {g.clients:>4} {g.deliveries:>7} {g.recovered:>6} "
                f"{sum(g.told.values()):>5} {g.missing:>5} {g.doubled:>5} {g.disordered:>5} "
                f"{g.unexpected:>5} {g.away_ms_median:>7.0f} {g.away_ms_max:>6}"
            )
        told = {f"{g.kind}: {what}": n for g in self.groups for what, n in g.told.items()}
        lines += ["", "told that they were not recovered, after:"]
        lines += [f"  {what}: {count}" for what, count in told.items()] or ["  nobody"]
        lines += ["", f"{'publisher':<10} {'accepted':>8} {'lost':>5} {'at restart':>10} "
                  f"{'doubled':>7} {'order':>5}"]  # fmt: skip
        for r in self.recordings:
            lines.append(
                f"{r.way:<10} {r.accepted:>8} {len(r.lacking) - len(r.lacking_at_restart):>5} "
                f"{len(r.lacking_at_restart):>10} {len(r.doubled):>7} {len(r.disordered):>5}"
            )
        lines += [f"unknown to the publisher: {self.unknown}", "", "timeline:"]
        lines += [f"  {seconds:6.1f} s  {what}" for seconds, what in self.timeline]
        return "\n".join(lines)


def sum_up(
    log: Log, books: Books, verdicts: Sequence[Verdict], timeline: Timeline, lacking: list[str]
) -> Report:
    """Make the report of one run."""
    begin, end = timeline[0][0], log.entries[-1].logged_ms
    kinds = dict.fromkeys(verdict.kind for verdict in verdicts)
    groups = [_group([one for one in verdicts if one.kind == kind], timeline) for kind in kinds]
    recordings = [_recording(log, books, way, timeline) for way in Way]
    return Report(
        (end - begin) / 1000,
        len(log.entries),
        len(books.unknown),
        recordings,
        groups,
        lacking,
        [asdict(one) for one in verdicts if not one.is_clean][:20],
        [((at - begin) / 1000, what) for at, what in timeline],
    )


def _group(verdicts: Sequence[Verdict], timeline: Timeline) -> Group:
    told = Counter(_before(timeline, at) for one in verdicts for at in one.told_ms)
    away = [ms for one in verdicts for ms in one.away_ms] or [0]
    return Group(
        verdicts[0].kind,
        len(verdicts),
        _total(one.deliveries for one in verdicts),
        _total(one.recovered for one in verdicts),
        dict(told),
        _total(len(one.missing) for one in verdicts),
        _total(len(one.doubled) for one in verdicts),
        _total(len(one.disordered) for one in verdicts),
        _total(len(one.unexpected) for one in verdicts),
        _total(one.extra_arguments for one in verdicts),
        median(away),
        max(away),
    )


def _recording(log: Log, books: Books, way: Way, timeline: Timeline) -> Recording:
    accepted = books.accepted[way]
    times = Counter(entry.number for entry in log.entries)
    places = [(log.place[number], number) for number in accepted if number in log.place]
    pairs = zip(places, places[1:], strict=False)
    lacking = [number for number in accepted if number not in log.place]
    return Recording(
        way.value,
        len(accepted),
        lacking,
        [n for n in lacking if way is Way.PUBLISH and _is_at_restart(books.accepted_ms[n], timeline)],
        [number for number in accepted if times[number] > 1],
        [number for (place, _), (after, number) in pairs if after < place],
    )


def _is_at_restart(moment_ms: int, timeline: Timeline) -> bool:
    away = [at for at, what in timeline if what == "restart redis"]
    back = [at for at, what in timeline if what == "redis is back"]
    return any(
        start - 1_000 < moment_ms < end + _PUBSUB_AWAY_MS
        for start, end in zip(away, back, strict=True)
    )


def _before(timeline: Timeline, moment_ms: int) -> str:
    """Name the latest disaster before a moment."""
    return [what for at, what in timeline if at <= moment_ms][-1]


def _total(counts: Iterable[int]) -> int:
    return sum(counts)
