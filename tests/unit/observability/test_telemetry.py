"""How the process speaks: one line per record, few of a kind, and no values of the code's insides.

Setting up logs changes the whole process, so it is looked at in processes of their own.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from constellation_ws.observability.telemetry import RepeatLimit, is_exporting
from tests.processes import HOST

ROOT = Path(__file__).parents[3]
LIMIT = 5
WINDOW_SECONDS = 60.0

SPEAK = """
import logging, sys
import structlog
from constellation_ws.observability.telemetry import set_up_logs

set_up_logs(*sys.argv[1:])
ours = structlog.get_logger("constellation_ws.delivery.relay")
uvicorns = logging.getLogger("uvicorn.error")
{statements}
"""


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def passes(limit: RepeatLimit, event: str, level: str = "warning") -> dict[str, Any] | None:
    """The line as it went out, or None."""
    try:
        return dict(limit(None, level, {"event": event}))
    except structlog.DropEvent:
        return None


def said(*statements: str, level: str = "info", log_format: str = "json") -> list[str]:
    """What a process with our logs writes to stderr; its stdout stays empty."""
    script = SPEAK.format(statements="\n".join(statements))
    done = subprocess.run(
        [sys.executable, "-c", script, level, log_format],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def records(*statements: str, level: str = "info") -> list[dict[str, Any]]:
    return [json.loads(line) for line in said(*statements, level=level)]


def test_a_few_lines_of_a_kind_pass_and_the_rest_of_the_minute_does_not(clock: Clock) -> None:
    limit = RepeatLimit(clock)
    answers = [passes(limit, "broken event") for _ in range(LIMIT + 3)]
    assert answers == [{"event": "broken event"}] * LIMIT + [None] * 3


def test_kinds_do_not_use_up_each_others_lines(clock: Clock) -> None:
    limit = RepeatLimit(clock)
    for _ in range(LIMIT + 1):
        passes(limit, "broken event")
    assert passes(limit, "lost Redis") == {"event": "lost Redis"}
    assert passes(limit, "broken event", level="error") is None


@pytest.mark.parametrize("level", ["info", "debug"])
def test_what_is_no_trouble_is_never_left_out(clock: Clock, level: str) -> None:
    limit = RepeatLimit(clock)
    assert all(passes(limit, "listening", level) for _ in range(3 * LIMIT))


def test_the_first_line_of_the_next_minute_says_how_many_were_left_out(clock: Clock) -> None:
    limit = RepeatLimit(clock)
    for _ in range(LIMIT + 7):
        passes(limit, "broken event")
    clock.seconds += WINDOW_SECONDS
    assert passes(limit, "broken event") == {"event": "broken event", "left_out": 7}
    assert [passes(limit, "broken event") for _ in range(LIMIT)] == [
        *([{"event": "broken event"}] * (LIMIT - 1)),
        None,
    ]


def test_a_minute_in_which_nothing_was_left_out_says_nothing(clock: Clock) -> None:
    limit = RepeatLimit(clock)
    for _ in range(LIMIT):
        passes(limit, "broken event")
    clock.seconds += WINDOW_SECONDS
    assert passes(limit, "broken event") == {"event": "broken event"}


def test_endless_kinds_do_not_take_endless_memory(clock: Clock) -> None:
    limit = RepeatLimit(clock)
    for number in range(5_000):
        passes(limit, f"kind {number}")
    assert len(limit._seen) <= 1_000


def test_a_librarys_repeated_record_is_kept_back_and_raises_nothing(clock: Clock) -> None:
    limit = RepeatLimit(clock)
    record = logging.LogRecord("uvicorn", logging.WARNING, "x.py", 1, "bad %s", ("request",), None)
    assert [limit.filter(record) for _ in range(LIMIT + 2)] == [True] * LIMIT + [False] * 2


def test_every_record_is_one_line_of_json_with_its_level_logger_and_time() -> None:
    lines = records(
        'ours.info("listening", ws_port=1)',
        'uvicorns.error("no luck with %s", "port")',
        'ours.warning("many\\nlines", text="Привет 👋")',
    )
    assert [(line["event"], line["level"], line["logger"]) for line in lines] == [
        ("listening", "info", "constellation_ws.delivery.relay"),
        ("no luck with port", "error", "uvicorn.error"),
        ("many\nlines", "warning", "constellation_ws.delivery.relay"),
    ]
    assert lines[0]["ws_port"] == 1
    assert all(line["timestamp"].endswith("Z") for line in lines)


def test_repeated_trouble_is_limited_for_us_and_for_libraries_alike() -> None:
    lines = records(
        "for _ in range(9):",
        '    ours.warning("dropped")',
        '    uvicorns.warning("Invalid HTTP request received.")',
        'ours.info("and life goes on")',
    )
    events = [line["event"] for line in lines]
    assert events.count("dropped") == LIMIT
    assert events.count("Invalid HTTP request received.") == LIMIT
    assert events[-1] == "and life goes on"


def test_a_traceback_is_part_of_its_line_and_shows_no_local_values() -> None:
    (ours, uvicorns) = records(
        "def fail(token):",
        "    raise RuntimeError('oh no')",
        "for log in (ours, uvicorns):",
        "    try:",
        '        fail("S3CRET" + "-TOKEN")',
        "    except RuntimeError:",
        '        log.exception("request failed")',
    )
    for line in (ours, uvicorns):
        assert (line["event"], line["level"]) == ("request failed", "error")
        (error,) = line["exception"]
        assert (error["exc_type"], error["exc_value"]) == ("RuntimeError", "oh no")
        assert [frame["name"] for frame in error["frames"]] == ["<module>", "fail"]
        assert "S3CRET-TOKEN" not in json.dumps(line)


def test_an_exception_that_quotes_a_value_is_told_without_it() -> None:
    lines = records(
        'for fail in (lambda: int("S3CRET"), lambda: {}["S3CRET"]):',
        "    try:",
        "        fail()",
        "    except Exception as error:",
        "        try:",
        '            raise RuntimeError("while reading") from error',
        "        except RuntimeError:",
        '            ours.exception("request failed")',
    )
    for line, kind in zip(lines, ("ValueError", "KeyError"), strict=True):
        told = {one["exc_type"]: one["exc_value"] for one in line["exception"]}
        assert told == {"RuntimeError": "while reading", kind: ""}
        assert "S3CRET" not in json.dumps(line)


def test_the_level_is_a_floor_for_us_and_libraries_speak_from_warnings_on() -> None:
    speaking = [
        f'{log}.{level}("{log} {level}")'
        for log in ("ours", "uvicorns")
        for level in ("debug", "info", "warning", "error")
    ]

    def events(level: str) -> list[str]:
        return [line["event"] for line in records(*speaking, level=level)]

    trouble = ["ours warning", "ours error", "uvicorns warning", "uvicorns error"]
    assert events("warning") == trouble
    assert events("debug") == ["ours debug", "ours info", *trouble]


def test_libraries_that_log_by_themselves_are_brought_into_line() -> None:
    lines = records(
        "import engineio, socketio",
        "engineio.AsyncServer(async_mode='asgi'), socketio.AsyncServer(async_mode='asgi')",
        'for name in ("engineio.server", "socketio.server"):',
        '    logging.getLogger(name).info("chatter")',
        '    logging.getLogger(name).error("trouble")',
    )
    assert [(line["logger"], line["event"]) for line in lines] == [
        ("engineio.server", "trouble"),
        ("socketio.server", "trouble"),
    ]


def test_the_level_can_be_changed_while_the_process_runs() -> None:
    speaking = ['ours.debug("d")', 'ours.info("i")', 'uvicorns.info("u")', 'ours.error("e")']
    lines = records(
        "from constellation_ws.observability.telemetry import set_level",
        *(
            line
            for level in ("debug", "error", "info")
            for line in (f'set_level("{level}")', *speaking)
        ),
    )
    assert [line["event"] for line in lines] == ["d", "i", "e", "e", "i", "e"]


def test_a_line_names_the_recorded_span_that_it_was_logged_in() -> None:
    within, without, unrecorded = records(
        "from opentelemetry.sdk.trace.sampling import ALWAYS_OFF",
        "from tests.seen_spans import Seen",
        'with Seen().tracing.act("connect"):',
        '    ours.warning("within")',
        'uvicorns.warning("without")',
        'with Seen(sampler=ALWAYS_OFF).tracing.act("connect"):',
        '    uvicorns.warning("unrecorded")',
    )
    assert (len(within["trace_id"]), len(within["span_id"])) == (32, 16)
    for line in (without, unrecorded):
        assert not {"trace_id", "span_id"} & line.keys()


@pytest.mark.parametrize(
    ("environment", "exports"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
        ({"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
        ({"OTEL_SDK_DISABLED": "True", "OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({"OTEL_SDK_DISABLED": "false", "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
        (
            {
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            True,
        ),
    ],
)
def test_spans_are_made_only_where_somebody_has_asked_for_them(
    environment: dict[str, str], exports: bool
) -> None:
    with capture_logs() as lines:
        assert is_exporting(environment) is exports
    asked_in_vain = {"grpc", "zipkin"} & set(environment.values()) and not exports
    assert bool(lines) is bool(asked_in_vain)


def test_without_an_exporter_no_tracer_is_made_and_no_exporter_loaded() -> None:
    script = (
        "import sys\n"
        "from constellation_ws.observability import telemetry\n"
        "from constellation_ws.process import lifecycle\n"
        "with telemetry.traces() as tracing:\n"
        "    assert not tracing.is_on\n"
        "unwanted = ('opentelemetry.sdk.trace', 'opentelemetry.exporter')\n"
        "print([name for name in sys.modules if name.startswith(unwanted)])\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),  # the service under test, not an installed one
        "OTEL_SDK_DISABLED": "true",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True, env=environment
    )
    assert done.stdout == "[]\n"


def test_a_collector_that_does_not_answer_is_not_waited_for_at_the_end() -> None:
    with socket.create_server((HOST, 0)) as silent:
        (line,) = records(
            "import os",
            "from opentelemetry.trace import SpanKind",
            "from constellation_ws.observability import telemetry",
            "telemetry._FLUSH_SECONDS = 0.1",
            f'os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://{HOST}:{silent.getsockname()[1]}"',
            "with telemetry.traces() as tracing:",
            '    tracing.start("lost", SpanKind.INTERNAL).end()',
        )
    assert "not all spans could be sent" in line["event"]


def test_the_console_form_is_for_people_and_auto_is_json_where_nobody_looks() -> None:
    (line,) = said('ours.warning("slow", user="u1")', log_format="console")
    assert "warning" in line
    assert "slow" in line
    assert "user=u1" in line
    (line,) = said('ours.warning("slow")', log_format="auto")
    assert json.loads(line)["event"] == "slow"
