"""A command's spans, while the collector is away or hangs: one sentence, and no waiting."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest
from opentelemetry.trace import SpanKind

from constellation_ws.cli import brief_traces, watched_exporter
from constellation_ws.observability.no_tracing import NO_TRACING
from tests.processes import HOST, unused_port

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
WARNING = (
    "warning: the trace was not sent: the collector does not answer; "
    "check OTEL_EXPORTER_OTLP_ENDPOINT, or set OTEL_SDK_DISABLED=true\n"
)


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in brief_traces._NOISY]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def trace_something() -> None:
    with brief_traces.brief_traces() as tracing:
        assert tracing is not NO_TRACING
        tracing.start("publish", SpanKind.PRODUCER).end()


def test_without_an_exporter_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)
    with brief_traces.brief_traces() as tracing:
        assert tracing is NO_TRACING


def test_a_collector_that_is_away_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(ENDPOINT, f"http://{HOST}:{unused_port()}")
    trace_something()
    assert capsys.readouterr() == ("", WARNING)
    assert caplog.records == []


def test_a_collector_that_hangs_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watched_exporter, "SEND_SECONDS", 0.1)
    monkeypatch.setattr(brief_traces, "_END_SECONDS", 0.2)
    with socket.create_server((HOST, 0)) as silent:
        monkeypatch.setenv(ENDPOINT, f"http://{HOST}:{silent.getsockname()[1]}")
        trace_something()
    assert capsys.readouterr() == ("", WARNING)
