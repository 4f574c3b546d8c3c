"""What the project promises of its speed and size, and whether a session's rows keep it. Pure.

The bounds are ratios to a peer, a figure of its own, or a ratio to another workload of our own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.results import Row, Verdict
from benchmarks.servers import NODE_TITLE, PYTHON_TITLE

_Rows = dict[tuple[str, str], Row]
_SUBJECT = "ours"
_TITLES = {"node": NODE_TITLE, "python": PYTHON_TITLE}


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
    workload: str, metric: str, peer: str, bound: float, *, at_least: bool = True
) -> _Target:
    def reached(rows: _Rows) -> float | None:
        row = rows.get((workload, metric))
        return row.ratios[peer].median if row and peer in row.ratios else None

    return _Target(f"{workload} against {_TITLES[peer]}", bound, at_least, "x", reached)


def _own_memory(workload: str, bound_kib: float) -> _Target:
    def reached(rows: _Rows) -> float | None:
        row = rows.get((workload, "memory"))
        return row.figures[_SUBJECT].median if row else None

    return _Target(f"{workload}, a connection", bound_kib, False, " KiB", reached)


def _dropped_against_unicast(bound: float) -> _Target:
    def reached(rows: _Rows) -> float | None:
        dropped, unicast = rows.get(("dropped", "dropped")), rows.get(("unicast", "deliveries"))
        if not dropped or not unicast:
            return None
        return dropped.figures[_SUBJECT].median / unicast.figures[_SUBJECT].median

    return _Target("dropped against own unicast", bound, True, "x", reached)


_TARGETS = (
    _against("fanout-1", "deliveries", "node", 1.3),
    _against("fanout-1", "deliveries", "python", 10),
    _against("fanout-8", "deliveries", "node", 6),
    _against("fanout-8", "deliveries", "python", 40),
    _against("unicast", "deliveries", "node", 2.2),
    _against("unicast", "deliveries", "python", 15),
    _against("idle-2000", "memory", "node", 0.45, at_least=False),
    _own_memory("idle-2000", 8),
    _against("idle-10000", "memory", "node", 0.45, at_least=False),
    _own_memory("idle-10000", 8),
    _against("storm", "connects", "node", 2),
    _against("latency", "p99", "node", 0.7, at_least=False),
    _dropped_against_unicast(4),
)


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """One for each target that these rows can answer."""
    found = {(row.workload, row.metric): row for row in rows if _SUBJECT in row.figures}
    judged = (target.verdict(found) for target in _TARGETS)
    return [verdict for verdict in judged if verdict is not None]
