"""What the process reports: structured logs on stderr, spans to a collector.

Metrics have their own module, and what spans are about is `tracing`'s. The `OTEL_*` variables are
OpenTelemetry's own and read by its SDK; here is decided whether there is anything to export to.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import structlog
from opentelemetry.trace import get_current_span
from structlog.typing import EventDict, ExcInfo, WrappedLogger

from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.spans import ids_of
from constellation_ws.observability.tracing import AfterWrites, Tracing

if TYPE_CHECKING:
    from constellation_ws.observability.probes import AsgiApp, Receive, Scope, Send

_REPEAT_WINDOW_SECONDS = 60.0
_REPEATS = 5
_MAX_REMEMBERED = 1_000
# The last two, where they have no level, give themselves a handler: a second line without form.
_LIBRARIES = (
    "asyncio",
    "uvicorn",
    "uvicorn.error",
    "opentelemetry",
    "redis",
    "urllib3",
    "engineio.server",
    "socketio.server",
)
_FLUSH_SECONDS = 3.0
"""What a collector that does not answer may cost an exit, beyond the drain's own deadline."""
_EXPORTER, _PROTOCOL, _DISABLED = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_SDK_DISABLED",
)
_PROBES = "/livez$,/readyz$,/health$,/metrics$"
_QUERY = "constellation.query"
"""Where a request's query is while spans are made: people put keys there."""
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_QUOTING = ("KeyError", "ValueError")
"""Exceptions whose text quotes the value that did not fit, which somebody may have written."""

logger = structlog.get_logger(__name__)


class RepeatLimit:
    """A structlog processor that lets a few lines of one kind through per minute, then counts.

    A kind is the event's text. The first line after a silence says how many were left out. For the
    records of libraries it is a filter: structlog calls its processors while it formats them,
    where DropEvent would be raised in the code that logs.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def __call__(self, _: WrappedLogger, level: str, line: EventDict) -> EventDict:
        """Pass the line on or drop it, as structlog expects."""
        if level in ("info", "debug"):
            return line
        kind, now = str(line.get("event")), self._clock()
        since, count = self._seen.get(kind, (now, 0))
        if now - since >= _REPEAT_WINDOW_SECONDS:
            if count > _REPEATS:
                line["left_out"] = count - _REPEATS
            since, count = now, 0
        if len(self._seen) >= _MAX_REMEMBERED:
            self._seen.clear()
        self._seen[kind] = (since, count + 1)
        if count >= _REPEATS:
            raise structlog.DropEvent
        return line

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a library's record pass or not, as logging expects; structlog's own always pass."""
        if isinstance(record.msg, dict):
            return True
        try:
            self(None, record.levelname.lower(), {"event": record.getMessage()})
        except structlog.DropEvent:
            return False
        return True


def set_up_logs(level: str, log_format: Literal["auto", "json", "console"]) -> None:
    """Send the logs of this process and of its libraries to stderr, one line each."""
    limit = RepeatLimit()
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_span,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            limit,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(shared, console))
    handler.addFilter(limit)
    root = logging.getLogger()
    root.handlers = [handler]
    for noisy in _LIBRARIES:
        library = logging.getLogger(noisy)
        library.handlers, library.propagate = [], True
    set_level(level)


def set_level(level: str) -> None:
    """Log from this level on; libraries from warnings on at least."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    for noisy in _LIBRARIES:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def _add_span(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Name the span within which the line was logged, where it is recorded."""
    line.update(ids_of(get_current_span()))
    return line


def _formatter(
    shared: list[structlog.typing.Processor], console: bool
) -> structlog.stdlib.ProcessorFormatter:
    render: list[structlog.typing.Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,  # rich ones show local variables
            )
        ]
        if console
        else [_tracebacks(), structlog.processors.JSONRenderer()]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )


def _tracebacks() -> structlog.typing.Processor:
    """Render tracebacks as values, without local variables: these hold messages and secrets."""
    describe = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)

    def transform(exc_info: ExcInfo) -> list[dict[str, Any]]:
        exceptions = describe(exc_info)
        for one in exceptions:
            if one["exc_type"] in _QUOTING:
                one["exc_value"] = ""
        return exceptions

    return structlog.processors.ExceptionRenderer(transform)


def _at_once(work: Callable[[], None]) -> None:
    work()


@contextmanager
def traces(after_writes: AfterWrites = _at_once) -> Iterator[Tracing | NoTracing]:
    """Make spans as long as this is held, then send what is left; none without an exporter.

    Leaving takes three seconds at most, whether the collector answers or not.
    """
    if not is_exporting(os.environ):
        yield NO_TRACING
        return
    # Here, since a process without an exporter need not pay for the SDK: 80 ms and 2 MiB.
    from constellation_ws.observability.exporting import make_exporter  # noqa: PLC0415

    tracing, shut_down = make_exporter(os.environ, after_writes)
    try:
        yield tracing
    finally:
        # A thread of our own: the SDK would wait for half a minute, and be waited for at the exit.
        ending = threading.Thread(target=shut_down, name="spans", daemon=True)
        ending.start()
        ending.join(_FLUSH_SECONDS)
        if ending.is_alive():
            logger.warning("not all spans could be sent: the collector did not answer in time")


def is_exporting(environment: Mapping[str, str]) -> bool:
    """Decide whether there is an exporter; one that is not supported is logged and ignored.

    Unlike the SDK, which by default sends to localhost, only where somebody has asked for it.
    """
    if environment.get(_DISABLED, "").strip().lower() == "true":
        return False
    exporter = environment.get(_EXPORTER, "").strip().lower()
    if not exporter:
        exporter = "otlp" if any(environment.get(name) for name in _ENDPOINTS) else "none"
    protocol = (
        environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
        or environment.get(_PROTOCOL)
        or "http/protobuf"
    )
    if exporter == "otlp" and protocol == "http/protobuf":
        return True
    if exporter == "otlp":
        logger.warning("traces are disabled: only http/protobuf is supported", variable=_PROTOCOL)
    elif exporter != "none":
        logger.warning(
            "traces are disabled: the only supported exporter is otlp", variable=_EXPORTER
        )
    return False


def trace_pages(pages: AsgiApp, tracing: Tracing | NoTracing) -> AsgiApp:
    """Give each plain HTTP request a span, except the probes, which come every few seconds.

    Socket.IO's requests do not come this way, and WebSockets never do.
    """
    if not isinstance(tracing, Tracing):
        return pages
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")  # today's names, not 2023's
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware  # noqa: PLC0415

    middleware = OpenTelemetryMiddleware(
        pages,
        excluded_urls=os.environ.get("OTEL_PYTHON_ASGI_EXCLUDED_URLS", _PROBES),
        tracer=tracing.tracer,
        exclude_spans=["receive", "send"],
    )

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        # No page asks for the query, and people put tokens there.
        await middleware({**scope, "query_string": b""}, receive, send)

    return application


def trace_api(
    api: AsgiApp, tracing: Tracing | NoTracing, name: Callable[[Scope], tuple[str, dict[str, str]]]
) -> AsgiApp:
    """Give each request to the HTTP API a span below the caller's; `name` names it."""
    if not isinstance(tracing, Tracing):
        return api
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware  # noqa: PLC0415

    async def with_query(scope: Scope, receive: Receive, send: Send) -> None:
        await api({**scope, "query_string": scope[_QUERY]}, receive, send)

    middleware = OpenTelemetryMiddleware(
        with_query,
        excluded_urls=os.environ.get("OTEL_PYTHON_ASGI_EXCLUDED_URLS", ""),
        default_span_details=name,
        tracer=tracing.tracer,
        exclude_spans=["receive", "send"],
    )

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        hidden = {**scope, "query_string": b"", _QUERY: scope["query_string"]}
        await middleware(hidden, receive, send)

    return application
