"""From runs to rows: medians, ranges, ratios, and what makes a run doubtful. Pure arithmetic."""

from collections.abc import Sequence
from statistics import median

from benchmarks.load import Span
from benchmarks.results import Range, Row, Run
from benchmarks.workloads import Metric, Workload

# Above this share of its core the load generator may be what limits, unless the server is full too.
_BUSY_SHARE = 0.9

_ByRound = dict[int, float]


def rows(runs: Sequence[Run], workloads: Sequence[Workload], servers: Sequence[str]) -> list[Row]:
    """One row for each metric that at least one server has a figure for."""
    candidates = [
        _row(runs, workload, metric, servers)
        for workload in workloads
        for metric in workload.metrics
    ]
    return [row for row in candidates if row.figures]


def warnings(runs: Sequence[Run]) -> list[str]:
    """Sentences on runs that failed, and on runs that the load generator may have held back."""
    bound = [
        f"{run.workload} on {run.server}, round {run.round + 1}: "
        "the load generator, not the server, was at its limit."
        for run in runs
        if _is_generator_bound(run)
    ]
    return [*_failures(runs), *bound]


def load_note(runs: Sequence[Run]) -> str:
    """How busy the load was where it was busiest: nobody should have to believe it was not."""
    shares = [_share(span, span.generator_cpu_s) for run in runs if (span := _span(run))]
    of_valkey = [_share(span, span.redis_cpu_s) for run in runs if (span := _span(run))]
    return (
        f"The load generator used at most {max(shares, default=0):.0%} of its core, "
        f"Valkey {max(of_valkey, default=0):.0%}."
    )


def _failures(runs: Sequence[Run]) -> list[str]:
    """One sentence for each kind of failure, however often it came."""
    places: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        if run.failure:
            places.setdefault((run.server, run.failure), []).append(run.workload)
    return [
        f"{', '.join(dict.fromkeys(workloads))} on {server} failed: {failure}"
        for (server, failure), workloads in places.items()
    ]


def _row(runs: Sequence[Run], workload: Workload, metric: Metric, servers: Sequence[str]) -> Row:
    by_server = {server: _values(runs, workload.name, metric.key, server) for server in servers}
    known = {server: values for server, values in by_server.items() if values}
    subject = servers[0]
    peers = [server for server in known if server != subject and subject in known]
    return Row(
        workload.name,
        metric.key,
        workload.title,
        metric.unit,
        metric.higher_is_better,
        figures={server: _range(list(values.values())) for server, values in known.items()},
        ratios={peer: _ratio(known[subject], known[peer]) for peer in peers},
    )


def _values(runs: Sequence[Run], workload: str, metric: str, server: str) -> _ByRound:
    return {
        run.round: run.figures[metric]
        for run in runs
        if (run.workload, run.server) == (workload, server) and run.figures.get(metric)
    }


def _range(values: Sequence[float]) -> Range:
    return Range(median(values), min(values), max(values))


def _ratio(subject: _ByRound, peer: _ByRound) -> Range:
    """Of the medians; its range is that of the ratios within each round."""
    of_medians = median(subject.values()) / median(peer.values())
    both = sorted(subject.keys() & peer.keys())
    each = [subject[number] / peer[number] for number in both] or [of_medians]
    return Range(of_medians, min(each), max(each))


def _span(run: Run) -> Span | None:
    return None if run.report is None else run.report.measured or run.report.connecting


def _share(span: Span, cpu_s: float) -> float:
    return cpu_s / span.wall_s


def _is_generator_bound(run: Run) -> bool:
    span = _span(run)
    if span is None:
        return False
    load_share = _share(span, span.generator_cpu_s + span.redis_cpu_s)  # they have one core
    return load_share > _BUSY_SHARE > _share(span, span.server_cpu_s)
