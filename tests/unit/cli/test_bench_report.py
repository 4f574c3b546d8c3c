"""The figures of a bench."""

from __future__ import annotations

from dataclasses import replace

import pytest

from constellation_ws.cli.bench_report import Report, quantiles_ms

REPORT = Report(
    clients=2,
    refused=0,
    pods=1,
    published=4,
    received=4,
    lost=0,
    doubled=0,
    reconnects=0,
    recovered=0,
    latencies=[0.001, 0.002],
    connects=[0.1, 0.2],
    memory_bytes=2048.0,
    fault="",
)


def test_quantiles_are_values_that_were_measured() -> None:
    hundred = [number / 1000 for number in range(1, 101)]
    assert quantiles_ms(hundred) == {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    assert quantiles_ms([0.005]) == {"p50": 5, "p90": 5, "p99": 5, "max": 5}
    assert quantiles_ms([]) == {"p50": None, "p90": None, "p99": None, "max": None}


def test_what_is_lost_doubled_or_refused_fails() -> None:
    assert not REPORT.has_failed
    assert all(replace(REPORT, **{one: 1}).has_failed for one in ("lost", "doubled", "refused"))  # type: ignore[arg-type]
    assert not replace(REPORT, reconnects=3, recovered=2).has_failed


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (REPORT, "latency  p50 1.0 ms, p90 2.0 ms, p99 2.0 ms, max 2.0 ms"),
        (REPORT, "memory   2.0 KiB a client"),
        (replace(REPORT, memory_bytes=None), "memory   not read: /metrics is not forwarded, "),
        (replace(REPORT, lost=1), "events   4 published, 4 received, 1 lost, 0 doubled"),
        (
            replace(REPORT, refused=1, fault="unauthorized: No token."),
            "clients  2 on 1 pod, 1 refused (unauthorized: No token.)",
        ),
        (replace(REPORT, reconnects=3, recovered=2), "reconnects  3, 2 recovered"),
    ],
)
def test_people_read_it_line_by_line(report: Report, line: str) -> None:
    assert any(one.startswith(line) for one in report.to_text().splitlines())


def test_programs_get_milliseconds_and_bytes() -> None:
    facts = REPORT.facts()
    assert facts["latencyMs"]["p50"] == 1
    assert facts["memoryBytesPerClient"] == 2048
