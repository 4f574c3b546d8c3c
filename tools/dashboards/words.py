"""What dashboards are written in: panels, and queries that keep to the chosen gateways."""

from __future__ import annotations

from dataclasses import dataclass

VARIABLES = ("cluster", "namespace", "job", "pod")
"""What is chosen at the top of a dashboard, the widest first."""
CHOSEN = ", ".join(f'{name}=~"${name}"' for name in VARIABLES)


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression and how its series are called."""

    expr: str
    legend: str
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `kind` and `unit` are Grafana's words."""

    title: str
    says: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    is_stacked: bool = False
    green_from: float | None = None
    """A number below is red."""
    red_from: float | None = None
    """This number and those above are red."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What is marked on every panel for as long as its query gives something."""

    name: str
    query: Query
    colour: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Panels that answer one question."""

    name: str
    question: str
    panels: tuple[Panel, ...]


def metric(name: str, match: str = "", prefix: str = "constellation_") -> str:
    """Select a metric of the gateways that are looked at."""
    return f"{prefix}{name}{{{', '.join(filter(None, (CHOSEN, match)))}}}"


def rate(name: str, match: str = "", prefix: str = "constellation_") -> str:
    """Say by how much a counter rises in a second."""
    return f"rate({metric(name, match, prefix)}[$__rate_interval])"


def risen(name: str, match: str = "") -> str:
    """Say by how much a counter has risen in the time that is shown; 0 where it does not exist."""
    return f"sum(increase({metric(name, match)}[$__range])) or vector(0)"


def pods_and_total(expr: str) -> tuple[Query, ...]:
    """Show each pod, and all of them together."""
    return (Query(f"sum by (pod) ({expr})", "{{pod}}"), Query(f"sum({expr})", "total"))


def by(label: str, expr: str) -> tuple[Query, ...]:
    """Show the total for each value of a label."""
    return (Query(f"sum by ({label}) ({expr})", f"{{{{{label}}}}}"),)


def each_pod(expr: str) -> tuple[Query, ...]:
    """Show each pod, where a sum would mean nothing."""
    return (Query(f"max by (pod) ({expr})", "{{pod}}"),)


def quantile(of: float, histogram: str, label: str = "") -> str:
    """Say below which value so many of a histogram's observations are, by label or of all."""
    buckets = f"sum by ({', '.join(filter(None, (label, 'le')))}) ({rate(histogram + '_bucket')})"
    return f"histogram_quantile({of:g}, {buckets})"


def quantiles(histogram: str, exemplars: bool = False) -> tuple[Query, ...]:
    """Show median, 90 % and 99 % of all pods."""
    return tuple(
        Query(quantile(of, histogram), f"p{of * 100:g}", exemplars) for of in (0.5, 0.9, 0.99)
    )


def slowest(histogram: str) -> tuple[Query, ...]:
    """Show the 99 % quantile of each pod and of all."""
    return (
        Query(quantile(0.99, histogram, "pod"), "{{pod}}"),
        Query(quantile(0.99, histogram), "total"),
    )


def stat(
    title: str,
    says: str,
    expr: str,
    unit: str = "short",
    *,
    green_from: float | None = None,
    red_from: float | None = None,
) -> Panel:
    """Show one number of now."""
    query = Query(expr, title)
    return Panel(title, says, (query,), unit, "stat", green_from=green_from, red_from=red_from)
