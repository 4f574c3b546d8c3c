"""What the project promises of its speed and size, and whether a session's rows keep it. Pure.

The bounds are ratios to a peer or to another mode of ours, a figure of its own, or a ratio to
another workload of ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.results import Row, Verdict
from benchmarks.servers import NODE_TITLE, PYTHON_TITLE

_Rows = dict[tuple[str, str], Row]
_LIVE = "live"
_DURABLE = "durable"
_TITLES = {
    "live": "live delivery",
    "durable": "no offsets",
    "uncounted": "no metrics",
    "node": NODE_TITLE,
    "python": PYTHON_TITLE,
}


@dataclass(frozen=True, slots=True)
class _Target:
    """`reached` returns None when the session did not measure it."""

    name: str
    bound: float
    at_least: bool
    unit: str
    reached: Callable[[_Rows], float | None]

    def verdict(self, rows: _Rows) -> Verdict | None:
        figure = self.reached(rows)
        if figure is None:
            return None
        met = figure >= self.bound if self.at_least else figure < self.bound
        word = "at least" if self.at_least else "under"
        text = f"{self.name}: {figure:.2f}{self.unit} ({word} {self.bound:g}{self.unit})"
        return Verdict(text, met)


def _against(
    peer: str,
    workload: str,
    metric: str,
    bound: float,
    *,
    subject: str = _LIVE,
    at_least: bool = True,
) -> _Target:
    def reached(rows: _Rows) -> float | None:
        row = rows.get((workload, metric))
        if row is None or not {subject, peer} <= row.figures.keys():
            return None
        return row.figures[subject].median / row.figures[peer].median

    name = f"{workload}, {subject}, against {_TITLES[peer]}"
    return _Target(name, bound, at_least, "x", reached)


def _own_memory(workload: str, bound_kib: float) -> _Target:
    def reached(rows: _Rows) -> float | None:
        row = rows.get((workload, "memory"))
        return row.figures[_DURABLE].median if row and _DURABLE in row.figures else None

    return _Target(f"{workload}, durable, a connection", bound_kib, False, " KiB", reached)


def _dropped_against_unicast(bound: float) -> _Target:
    def reached(rows: _Rows) -> float | None:
        dropped, unicast = rows.get(("dropped", "dropped")), rows.get(("unicast", "deliveries"))
        if not dropped or not unicast or _LIVE not in dropped.figures.keys() & unicast.figures:
            return None
        return dropped.figures[_LIVE].median / unicast.figures[_LIVE].median

    return _Target("dropped against own unicast, live", bound, True, "x", reached)


# Speed is compared with what does the same: the peers keep no log. Size is that of the default.
_TARGETS = (
    _against("node", "fanout-1", "deliveries", 1.3),
    _against("python", "fanout-1", "deliveries", 10),
    _against("node", "fanout-8", "deliveries", 6),
    _against("python", "fanout-8", "deliveries", 40),
    _against("node", "unicast", "deliveries", 2.2),
    _against("python", "unicast", "deliveries", 15),
    _against("node", "requests", "requests", 1.5),
    _against("node", "idle-2000", "memory", 0.45, subject=_DURABLE, at_least=False),
    _own_memory("idle-2000", 8),
    _against("node", "idle-10000", "memory", 0.45, subject=_DURABLE, at_least=False),
    _own_memory("idle-10000", 8),
    _against("node", "storm", "connects", 2),
    _against("node", "latency", "p99", 0.7, at_least=False),
    _dropped_against_unicast(4),
    _against("live", "fanout-8", "deliveries", 0.9, subject=_DURABLE),
    _against("live", "unicast-paced", "deliveries", 0.6, subject=_DURABLE),
    _against("live", "latency", "p99", 2, subject=_DURABLE, at_least=False),
    _against("durable", "fanout-8", "deliveries", 0.9, subject="offsets"),
    _against("durable", "unicast-paced", "deliveries", 0.9, subject="offsets"),
    # What being looked at costs: metrics 3 %, with a hundredth of the traces 5 %.
    _against("uncounted", "fanout-1", "deliveries", 0.97, subject=_DURABLE),
    _against("uncounted", "fanout-8", "deliveries", 0.97, subject=_DURABLE),
    _against("uncounted", "unicast-paced", "deliveries", 0.97, subject=_DURABLE),
    _against("uncounted", "fanout-1", "deliveries", 0.95, subject="sampled"),
    _against("uncounted", "fanout-8", "deliveries", 0.95, subject="sampled"),
    _against("uncounted", "unicast-paced", "deliveries", 0.95, subject="sampled"),
)


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """One for each target that these rows can answer."""
    found = {(row.workload, row.metric): row for row in rows}
    judged = (target.verdict(found) for target in _TARGETS)
    return [verdict for verdict in judged if verdict is not None]
