"""Drawing a summary as an SVG of small bar charts, written by hand: nothing needs to be installed.

It follows the reader's light or dark theme. What is drawn is chosen here, not computed.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.results import Row, ServerLabel, Summary
from benchmarks.table import number, times

# The metrics that fit a first page, in reading order; a session without one leaves it out.
_PANELS = (
    ("fanout-1", "deliveries"),
    ("fanout-8", "deliveries"),
    ("unicast", "deliveries"),
    ("storm", "connects"),
    ("idle-10000", "memory"),
    ("latency", "p99"),
)
_COLUMNS = 2
_WIDTH, _PANEL_WIDTH, _GAP = 880, 410, 24
_BAR_HEIGHT, _BAR_STEP, _HEADING, _FOOT = 20, 27, 48, 20
# Room right of the longest bar for its number and ratio.
_BAR_ROOM = 145
_LEGEND_STEP, _FOOTNOTE_HEIGHT = 24, 44
_MOST_BARS = 4

_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .page { fill: #ffffff } .name { font-weight: 600 } .soft { fill: #59636e; font-size: 12px }
  .bar0 { fill: #2563eb } .bar1 { fill: #7ea6f4 } .bar2 { fill: #8c959f } .bar3 { fill: #c4cad1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .page { fill: #0d1117 } .soft { fill: #9198a1 }
    .bar0 { fill: #5b8def } .bar1 { fill: #35538f } .bar2 { fill: #7d8590 } .bar3 { fill: #484f58 }
  }
"""


def write(summary: Summary, path: Path) -> None:
    """Raises `OSError` when the file cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(drawing(summary), encoding="utf-8")


def drawing(summary: Summary) -> str:
    """The whole SVG document."""
    found = {(row.workload, row.metric): row for row in summary.rows}
    rows = [found[panel] for panel in _PANELS if panel in found]
    servers = summary.servers[:_MOST_BARS]
    panel_height = _HEADING + _BAR_STEP * len(servers) + _FOOT
    legend_height = 30 + _LEGEND_STEP * -(-len(servers) // _COLUMNS)
    height = legend_height + panel_height * -(-len(rows) // _COLUMNS) + _FOOTNOTE_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(_headline(summary))}</title><style>{_STYLE}</style>",
        f'<rect class="page" width="{_WIDTH}" height="{height}" rx="8"/>',
        *_legend(servers),
        *(
            _panel(row, servers, *_position(index, legend_height, panel_height))
            for index, row in enumerate(rows)
        ),
        _text(_GAP, height - 18, _footnote(summary), "soft"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _headline(summary: Summary) -> str:
    subject, *peers = (server.title for server in summary.servers[:_MOST_BARS])
    return f"{subject} beside {' and '.join(peers)}"


def _footnote(summary: Summary) -> str:
    rounds = f"{summary.rounds} alternating round{'s' if summary.rounds > 1 else ''}"
    return (
        f"Medians of {rounds} on {summary.machine['cpu']}. "
        "CPU-second: user and system time of the server's process."
    )


def _position(index: int, top: int, height: int) -> tuple[int, int]:
    line, column = divmod(index, _COLUMNS)
    return _GAP + column * (_PANEL_WIDTH + _GAP), top + line * height


def _legend(servers: Sequence[ServerLabel]) -> Iterator[str]:
    for index, server in enumerate(servers):
        x, y = _position(index, 20, _LEGEND_STEP)
        yield f'<rect class="bar{index}" x="{x}" y="{y}" width="14" height="14" rx="3"/>'
        yield _text(x + 20, y + 12, server.title)


def _panel(row: Row, servers: Sequence[ServerLabel], x: int, y: int) -> str:
    direction = "more is better" if row.higher_is_better else "less is better"
    longest = max(figure.median for figure in row.figures.values()) or 1.0
    parts = [
        _text(x, y + 16, row.title, "name"),
        _text(x, y + 34, f"{row.unit}, {direction}", "soft"),
    ]
    for index, server in enumerate(servers):
        if server.key in row.figures:
            parts += _bar(row, server, index, longest, x, y + _HEADING + index * _BAR_STEP)
    return "\n".join(parts)


def _bar(
    row: Row, server: ServerLabel, index: int, longest: float, x: int, y: int
) -> Iterator[str]:
    value = row.figures[server.key].median
    width = max(2.0, (_PANEL_WIDTH - _BAR_ROOM) * value / longest)
    yield (
        f'<rect class="bar{index}" x="{x}" y="{y}" width="{width:.1f}" '
        f'height="{_BAR_HEIGHT}" rx="3"/>'
    )
    ratio = row.ratios.get(server.key)
    told = f"{number(value)}  (first is {times(ratio.median)})" if ratio else number(value)
    yield _text(x + width + 8, y + 15, told)


def _text(x: float, y: float, text: str, style: str = "") -> str:
    attribute = f' class="{style}"' if style else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{attribute}>{escape(text)}</text>'
