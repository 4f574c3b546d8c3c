"""What a real Prometheus answers to the panels of the dashboards, as the chart has them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.observe.prometheus import Prometheus, Span, filled

FOLDER = Path(__file__).resolve().parents[2] / "helm" / "constellation-ws" / "dashboards"

Point = tuple[float, float]
"""Seconds since the beginning, value."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a panel."""

    legend: str
    labels: Mapping[str, str]
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Answer:
    """A panel and what there is to draw in it."""

    dashboard: str
    panel: Mapping[str, Any]
    lines: list[Line]
    exemplars: list[Point]

    @property
    def lacks_data(self) -> bool:
        """Whether a query of it gave nothing that can be drawn."""
        targets = len(self.panel["targets"])
        return not any(line.points for line in self.lines) or len(self.lines) < targets


def dashboards() -> list[dict[str, Any]]:
    """Give the dashboards of the chart, in the order in which one asks at night."""
    names = ("health", "delivery", "slow", "roll")
    return [json.loads((FOLDER / f"{name}.json").read_text("utf-8")) for name in names]


async def answers(prometheus: Prometheus, span: Span) -> list[Answer]:
    """Ask all of it. Raises QueryRefused."""
    return [
        await _answer(prometheus, dashboard["title"], panel, span)
        for dashboard in dashboards()
        for panel in dashboard["panels"]
    ]


async def _answer(
    prometheus: Prometheus, dashboard: str, panel: Mapping[str, Any], span: Span
) -> Answer:
    lines: list[Line] = []
    exemplars: list[Point] = []
    for target in panel["targets"]:
        expr = filled(target["expr"], span.end - span.start)
        found = await prometheus.series(expr, span)
        lines += (_line(target["legendFormat"], series, span) for series in found)
        if target.get("exemplar") and not exemplars:
            seen = await prometheus.exemplars(expr, span)
            exemplars = [(one["timestamp"] - span.start, float(one["value"])) for one in seen]
    return Answer(dashboard, panel, lines, exemplars)


def _line(legend: str, series: Mapping[str, Any], span: Span) -> Line:
    labels = series["metric"]
    for name, value in labels.items():
        legend = legend.replace(f"{{{{{name}}}}}", value)
    return Line(legend, labels, list(_points(series["values"], span)))


def _points(values: Iterable[tuple[float, str]], span: Span) -> Iterator[Point]:
    """Leave out what is no number: the quantile of nothing."""
    for at, text in values:
        value = float(text)
        if math.isfinite(value):
            yield at - span.start, value
