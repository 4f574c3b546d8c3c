"""How the process speaks: structured logs on stderr. Metrics have their own module."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

_REPEAT_WINDOW_SECONDS = 60.0
_REPEATS = 5
_MAX_REMEMBERED = 1_000
# The last two, where they have no level, give themselves a handler: a second line without form.
_LIBRARIES = ("asyncio", "uvicorn", "uvicorn.error", "engineio.server", "socketio.server")


class RepeatLimit:
    """A structlog processor that lets a few lines of one kind through per minute, then counts.

    A kind is the event's text. The first line after a silence says how many were left out. For the
    records of libraries it is a filter: structlog calls its processors while it formats them,
    where DropEvent would rise into whoever has logged.
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
    root.setLevel(level.upper())
    for noisy in _LIBRARIES:
        library = logging.getLogger(noisy)
        library.handlers, library.propagate = [], True
        library.setLevel(max(logging.WARNING, root.level))


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
    transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return structlog.processors.ExceptionRenderer(transform)
