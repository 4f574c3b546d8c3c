"""Showing a summary as text: blocks for a terminal, a Markdown table for a page."""

from collections.abc import Iterator

from benchmarks.results import Range, Row, ServerLabel, Summary


def for_terminal(summary: Summary) -> str:
    """Every figure with its range, every ratio with the peer it is a ratio to, then the targets."""
    return "\n".join(_terminal_lines(summary))


def for_page(summary: Summary) -> str:
    """Medians only, one line per metric."""
    return "\n".join(_page_lines(summary))


def number(value: float) -> str:
    """Three digits that matter, thousands separated."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(ratio: float) -> str:
    """A ratio to a peer."""
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def _terminal_lines(summary: Summary) -> Iterator[str]:
    yield from _circumstances(summary)
    subject = summary.servers[0]
    width = max(len(server.title) for server in summary.servers)
    for row in summary.rows:
        yield ""
        yield f"{row.title}: {row.unit} ({'more' if row.higher_is_better else 'less'} is better)"
        for server in summary.servers:
            if server.key in row.figures:
                yield f"  {server.title:<{width}}  {_figure(row, server.key, subject.title)}"
    if summary.verdicts:
        yield ""
        yield "Targets (ratios of medians)"
    for verdict in summary.verdicts:
        yield f"  {'met   ' if verdict.met else 'MISSED'}  {verdict.sentence}"
    for warning in summary.warnings:
        yield f"Warning: {warning}"


def _circumstances(summary: Summary) -> Iterator[str]:
    machine = summary.machine
    yield f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}. {summary.pinning}"
    is_glimpse = summary.is_quick or summary.rounds == 1
    extent = "a quick look, not a measurement" if is_glimpse else "medians with ranges"
    yield f"{summary.rounds} alternating round{'s' if summary.rounds > 1 else ''}: {extent}."
    yield f"CPU is the server process's user and system time. {summary.load_note}"
    for server in summary.servers:
        yield f"  {server.title}{f': {server.made_of}' if server.made_of else ''}"


def _figure(row: Row, server: str, subject: str) -> str:
    text = _with_range(row.figures[server])
    if server not in row.ratios:
        return text
    ratio = row.ratios[server]
    span = f" ({times(ratio.low)} to {times(ratio.high)})" if ratio.low != ratio.high else ""
    return f"{text:<30}  {subject} is {times(ratio.median)}{span}"


def _with_range(figure: Range) -> str:
    median = f"{number(figure.median):>10}"
    if figure.low == figure.high:
        return median
    return f"{median} ({number(figure.low)} to {number(figure.high)})"


def _page_lines(summary: Summary) -> Iterator[str]:
    subject, *peers = summary.servers
    titles = ["", *(s.title for s in summary.servers), *(f"ratio to {p.title}" for p in peers)]
    yield f"| {' | '.join(titles)} |"
    yield f"|{' --- |' * len(titles)}"
    for row in summary.rows:
        yield f"| {' | '.join(_page_cells(row, subject, peers))} |"


def _page_cells(row: Row, subject: ServerLabel, peers: list[ServerLabel]) -> Iterator[str]:
    yield f"{row.title} ({row.unit})"
    for server in (subject, *peers):
        figure = row.figures.get(server.key)
        yield number(figure.median) if figure else ""
    for peer in peers:
        ratio = row.ratios.get(peer.key)
        yield f"**{times(ratio.median)}**" if ratio else ""
