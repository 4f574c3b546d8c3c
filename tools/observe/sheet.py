"""The contact sheet: every panel of every dashboard with what a real Prometheus answered, as a PNG.

For where there is no Grafana. What is asked is the dashboards' own business.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, MultipleLocator
from PIL import Image

from constellation_ws.cli import local
from tools.observe.panels import Answer, Line, answers
from tools.observe.prometheus import Span
from tools.observe.world import World

_WARM_SECONDS, _BEFORE_SECONDS, _AFTER_SECONDS = 10.0, 40.0, 20.0
_WIDTH_INCHES = 16.2
_STATS, _GRAPHS = 6, 3
"""Panels in a row."""
_TITLE_INCHES, _STAT_INCHES, _GRAPH_INCHES = 0.75, 0.75, 2.1
_GRAPH_MARGINS = (0.55, 0.3, 0.15, 0.5)
"""Left for the scale, above for the title, right, below for the legend."""
_INK, _SOFT, _GRID, _PAPER = "#1f2328", "#59636e", "#e6e8eb", "#ffffff"
_COLOURS = ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#0891b2", "#65a30d", "#b91c1c")
_TOTAL = "#8c959f"
_RED, _GREEN = "#c62828", "#1a7f37"
_PALETTE = 224


@dataclass(frozen=True, slots=True)
class Sheet:
    """What was asked, over how many seconds, and when the roll began and ended in them."""

    answers: Sequence[Answer]
    seconds: float
    roll: tuple[float, float]


async def draw(world: World, stop: asyncio.Event, path: Path) -> None:
    """Let the load run, replace a pod in the middle, and draw what was seen of it."""
    await local.wait(stop, _WARM_SECONDS)
    start = time.time()
    await local.wait(stop, _BEFORE_SECONDS)
    print("Replacing a pod", flush=True)
    roll_start = time.time()
    await world.pods.roll()
    roll = (roll_start - start, time.time() - start)
    await local.wait(stop, _AFTER_SECONDS)
    if stop.is_set():
        return
    end = time.time()
    found = await answers(world.prometheus, Span(start, end, 1))
    for one in found:
        if one.lacks_data:
            print(f"No data: {one.dashboard} {one.panel['title']}", flush=True)
    await asyncio.to_thread(_write, Sheet(found, end - start, roll), path)
    print(f"{len(found)} panels are in {path}.", flush=True)


def _write(sheet: Sheet, path: Path) -> None:
    mpl.rcParams |= {"font.size": 7, "font.family": "DejaVu Sans", "text.color": _INK}
    rows = _rows(sheet.answers)
    height = sum(map(_height, rows))
    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=110, facecolor=_PAPER)
    top = height
    for row in rows:
        top -= _height(row)
        if isinstance(row, str):
            figure.text(0.3 / _WIDTH_INCHES, (top + 0.2) / height, row, fontsize=15, weight="bold")
            continue
        for column, answer in enumerate(row):
            x, y, width, high = _box(answer, column, top)
            box = (x / _WIDTH_INCHES, y / height, width / _WIDTH_INCHES, high / height)
            _panel(figure.add_axes(box), answer, sheet)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.frombuffer("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba()))
    # Few colours are a third of the bytes.
    picture.convert("RGB").quantize(_PALETTE).save(path, optimize=True)


def _rows(found: Sequence[Answer]) -> list[str | list[Answer]]:
    """Lay the panels out: a headline for each dashboard, then its panels from left to right."""
    rows: list[str | list[Answer]] = []
    for title, panels in groupby(found, key=lambda answer: answer.dashboard):
        rows.append(title)
        for is_stat, alike in groupby(panels, key=_is_stat):
            these, room = list(alike), _STATS if is_stat else _GRAPHS
            rows += [these[start : start + room] for start in range(0, len(these), room)]
    return rows


def _is_stat(answer: Answer) -> bool:
    return bool(answer.panel["type"] == "stat")


def _height(row: str | list[Answer]) -> float:
    if isinstance(row, str):
        return _TITLE_INCHES
    return _STAT_INCHES if _is_stat(row[0]) else _GRAPH_INCHES


def _box(answer: Answer, column: int, bottom: float) -> tuple[float, float, float, float]:
    """Say where a panel's axes are: left, bottom, width, height, in inches."""
    if _is_stat(answer):
        width = _WIDTH_INCHES / _STATS
        return column * width + 0.3, bottom + 0.15, width - 0.3, _STAT_INCHES - 0.15
    width = _WIDTH_INCHES / _GRAPHS
    left, above, right, below = _GRAPH_MARGINS
    inside = _GRAPH_INCHES - above - below
    return column * width + left, bottom + below, width - left - right, inside


def _panel(axes: Axes, answer: Answer, sheet: Sheet) -> None:
    if _is_stat(answer):
        _stat(axes, answer)
        return
    axes.set_title(answer.panel["title"], loc="left", fontsize=8.5, fontweight="bold", color=_INK)
    axes.spines[:].set_visible(False)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=_SOFT, labelsize=6.5)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f} s"))
    if answer.panel["type"] == "heatmap":
        _heatmap(axes, answer.lines)
    else:
        axes.axvspan(*sheet.roll, color=_GRID, alpha=0.45, linewidth=0, zorder=0)
        _timeseries(axes, answer)
    axes.set_xlim(0, sheet.seconds)


def _stat(axes: Axes, answer: Answer) -> None:
    axes.set_axis_off()
    field = answer.panel["fieldConfig"]["defaults"]
    points = answer.lines[0].points if answer.lines else []
    value = points[-1][1] if points else None
    colour = _GREEN
    for step in field["thresholds"]["steps"]:
        if value is not None and (step["value"] is None or value >= step["value"]):
            colour = _RED if step["color"] == "red" else _GREEN
    text = "no data" if value is None else in_unit(value, field["unit"], field.get("decimals"))
    axes.text(0, 0.75, answer.panel["title"], fontsize=7.5, color=_SOFT, transform=axes.transAxes)
    axes.text(0, 0.1, text, fontsize=19, color=colour, transform=axes.transAxes)


def _timeseries(axes: Axes, answer: Answer) -> None:
    field = answer.panel["fieldConfig"]["defaults"]
    lines = sorted(answer.lines, key=lambda line: (line.legend == "total", line.legend))
    if "stacking" in field["custom"]:
        _stack(axes, lines)
    else:
        for number, line in enumerate(lines):
            is_total = line.legend == "total"
            colour = _TOTAL if is_total else _COLOURS[number % len(_COLOURS)]
            style = {"linewidth": 2.2, "zorder": 1} if is_total else {"linewidth": 1.2, "zorder": 2}
            xs, ys = zip(*line.points, strict=True) if line.points else ((), ())
            axes.plot(xs, ys, color=colour, label=line.legend, **style)
    if answer.exemplars:
        xs, ys = zip(*answer.exemplars, strict=True)
        axes.scatter(xs, ys, s=5, marker="D", color=_INK, alpha=0.5, zorder=3, label="a trace each")
    axes.set_ylim(bottom=min(0, *(y for line in lines for _, y in line.points)))
    axes.yaxis.set_major_locator(_locator(axes, field["unit"]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: in_unit(y, field["unit"])))
    legend = axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=5, frameon=False, fontsize=6.5,
        handlelength=1, columnspacing=1,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_color(_SOFT)


def _stack(axes: Axes, lines: Sequence[Line]) -> None:
    times = sorted({at for line in lines for at, _ in line.points})
    heights = [[dict(line.points).get(at, 0.0) for at in times] for line in lines]
    legends = [line.legend for line in lines]
    axes.stackplot(times, heights, labels=legends, colors=_COLOURS, alpha=0.65, linewidth=0)


def _heatmap(axes: Axes, lines: Sequence[Line]) -> None:
    """Draw cumulative buckets as what each alone has, from the fastest up."""
    buckets = sorted(lines, key=lambda line: float(line.labels["le"]))
    times = sorted({at for line in buckets for at, _ in line.points})
    below = [0.0] * len(times)
    cells = []
    for line in buckets:
        heights = [dict(line.points).get(at, 0.0) for at in times]
        cells.append([max(now - before, 0.0) for now, before in zip(heights, below, strict=True)])
        below = heights
    axes.pcolormesh(times, range(len(cells)), cells, cmap="Blues", shading="nearest")
    ends = [line.labels["le"] for line in buckets]
    names = ["more" if end == "+Inf" else in_unit(float(end), "s") for end in ends]
    axes.set_yticks(range(len(names)), names, fontsize=5.5)
    axes.grid(visible=False)


def _locator(axes: Axes, unit: str) -> Locator:
    """Put three or four marks where numbers are round."""
    if unit != "bytes":
        return MaxNLocator(4)
    high = max(axes.get_ylim()[1], 1)
    return MultipleLocator(2 ** math.ceil(math.log2(high / 4)))


def in_unit(value: float, unit: str, decimals: int | None = None) -> str:
    """Write a number as Grafana would, or nearly."""
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    match unit:
        case "s":
            return _scaled(value, (("s", 1), ("ms", 1e-3), ("µs", 1e-6)))
        case "bytes":
            return _scaled(value, (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("B", 1)))
        case "percentunit":
            return f"{value:.3g}" if value == 0 else f"{100 * value:.3g} %"
        case _:
            return f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"


def _scaled(value: float, units: Sequence[tuple[str, float]]) -> str:
    if value == 0:
        return "0"
    for name, size in units:
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    name, size = units[-1]
    return f"{value / size:.3g} {name}"
