"""What operators and Kubernetes are answered, asked as an ASGI server asks."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as families

from constellation_ws import __version__
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.probes import (
    STALE_TURNS,
    AsgiApp,
    Health,
    HealthCheck,
    ProcessPhase,
    create_app,
    create_metrics_app,
    dispatch,
)
from constellation_ws.runtime import loop_lag


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(app: AsgiApp, path: str, method: str = "GET", **headers: str) -> Answer:
    """One request, answered in one go."""
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *bodies = sent
    names = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], names, b"".join(part["body"] for part in bodies).decode())


@pytest.fixture
def health() -> Health:
    health = Health()
    health.enter(ProcessPhase.SERVING)
    return health


@pytest.fixture
def app(health: Health) -> AsgiApp:
    return create_app(health, Metrics().registry)


async def test_health_answers_todays_monitors(app: AsgiApp) -> None:
    answer = await ask(app, "/health")
    body = answer.json()
    stamp = datetime.fromisoformat(body.pop("timestamp"))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert body == {"status": "ok", "service": "constellation-ws", "version": __version__}
    assert timedelta() <= datetime.now(UTC) - stamp < timedelta(minutes=1)


async def test_a_process_that_ends_since_a_part_has_ended_takes_no_more_clients(
    app: AsgiApp, health: Health
) -> None:
    health.begin("recorder")
    assert (await ask(app, "/readyz")).status == 200
    health.end("recorder")
    answer = await ask(app, "/readyz")
    assert (answer.status, answer.json()["failing"]) == (503, ["phase"])
    assert answer.json()["checks"][0]["detail"] == "recorder has ended"


@pytest.mark.parametrize("phase", list(ProcessPhase))
async def test_a_working_process_is_alive_in_every_phase(
    app: AsgiApp, health: Health, phase: ProcessPhase
) -> None:
    health.enter(phase)
    health.expect("heartbeat")
    answer = await ask(app, "/livez")
    assert answer.status == 200
    (check,) = answer.json()["checks"]
    assert (check["name"], check["ok"]) == ("heartbeat", True)


async def test_a_part_that_is_stuck_is_named_until_it_shows_a_sign_of_life(
    app: AsgiApp, health: Health
) -> None:
    health.expect("recovery")
    report_alive = health.expect("engine")
    for _ in range(STALE_TURNS):
        health.pulse()
    answer = await ask(app, "/livez")
    assert answer.status == 503
    assert answer.json()["status"] == "failing"
    assert answer.json()["failing"] == ["recovery", "engine"]
    report_alive()
    answer = await ask(app, "/livez")
    assert answer.json()["failing"] == ["recovery"]


def test_a_part_is_stuck_after_half_a_minute_in_which_the_loop_has_turned() -> None:
    health = Health()
    report_alive = health.expect("engine")
    turns = round(30 / loop_lag.STEP_SECONDS)
    for _ in range(turns - 1):
        health.pulse()
    assert [check.ok for check in health.liveness()] == [True]
    health.pulse()
    assert [check.ok for check in health.liveness()] == [False]
    report_alive()
    assert [check.ok for check in health.liveness()] == [True]


def test_a_pause_of_the_process_is_no_silence_of_its_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing has turned meanwhile: the parts could not show a sign of life."""
    health = Health()
    health.expect("engine")
    now = time.monotonic() + 3_600
    monkeypatch.setattr(time, "monotonic", lambda: now)
    health.pulse()
    assert [check.ok for check in health.liveness()] == [True]


def test_silence_of_a_part_that_waits_for_others_says_nothing() -> None:
    """A restart would not bring Redis back."""
    health = Health()
    health.begin("recorder")
    for _ in range(100 * STALE_TURNS):
        health.pulse()
    assert health.liveness() == [HealthCheck("recorder", True, "running")]


async def test_a_part_that_has_ended_fails_liveness(app: AsgiApp, health: Health) -> None:
    health.begin("recorder")
    health.expect("engine")
    health.begin("engine")
    health.end("recorder")
    assert (await ask(app, "/livez")).json()["failing"] == ["recorder"]
    health.end("engine")
    assert (await ask(app, "/livez")).json()["failing"] == ["recorder", "engine"]


@pytest.mark.parametrize(
    ("phase", "status"),
    [(ProcessPhase.STARTING, 503), (ProcessPhase.SERVING, 200), (ProcessPhase.DRAINING, 503)],
)
async def test_only_a_serving_process_is_ready(
    app: AsgiApp, health: Health, phase: ProcessPhase, status: int
) -> None:
    health.enter(phase)
    answer = await ask(app, "/readyz")
    assert answer.status == status
    (check,) = answer.json()["checks"]
    assert check == {"name": "phase", "ok": status == 200, "detail": phase.value}
    assert answer.json()["failing"] == ([] if status == 200 else ["phase"])


async def test_readiness_lists_every_check_and_names_the_failing_one() -> None:
    redis = HealthCheck("redis", False, "not subscribed yet")
    health = Health([lambda: redis, lambda: HealthCheck("connections", True, "0 of 5")])
    health.enter(ProcessPhase.SERVING)
    app = create_app(health, None)
    answer = await ask(app, "/readyz")
    assert answer.status == 503
    assert answer.json()["failing"] == ["redis"]
    assert [check["name"] for check in answer.json()["checks"]] == ["phase", "redis", "connections"]
    # Asked anew each time.
    redis = HealthCheck("redis", True, "subscribed")
    answer = await ask(app, "/readyz")
    assert (answer.status, answer.json()["status"]) == (200, "ok")


async def test_metrics_are_prometheus_text(app: AsgiApp) -> None:
    answer = await ask(app, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "constellation_build_info" in {family.name for family in families(answer.body)}


async def test_metrics_may_be_elsewhere_and_then_alone(health: Health) -> None:
    pages, metrics = create_app(health, None), create_metrics_app(Metrics().registry)
    for path in ("/health", "/livez", "/readyz"):
        assert (await ask(pages, path)).status == 200
        assert (await ask(metrics, path)).status == 404
    assert (await ask(pages, "/metrics")).status == 404
    assert "constellation_build_info" in (await ask(metrics, "/metrics")).body


async def test_metrics_are_openmetrics_when_asked(app: AsgiApp) -> None:
    answer = await ask(app, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith("# EOF\n")
    names = {family.name for family in openmetrics_families(answer.body)}
    assert "constellation_connects" in names


async def test_a_person_who_opens_the_address_reads_what_is_there(health: Health) -> None:
    answer = await ask(create_app(health, None, ["/chats", "/admin"]), "/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert f"Constellation WS {__version__}" in answer.body
    assert "/socket.io/" in answer.body
    assert "Namespaces: /chats, /admin\n" in answer.body


@pytest.mark.parametrize("path", ["/", "/health", "/livez", "/readyz", "/metrics"])
async def test_pages_are_read_and_not_written(app: AsgiApp, path: str) -> None:
    head = await ask(app, path, "HEAD")
    assert head.status == 200
    assert (await ask(app, path, "POST")).status == 405


@pytest.mark.parametrize("path", ["/nothing", "/socket.iox", "/chats"])
async def test_there_are_no_other_pages(app: AsgiApp, path: str) -> None:
    assert (await ask(app, path)).status == 404


@pytest.mark.parametrize(
    ("kind", "path", "target"),
    [
        ("http", "/socket.io/", "polling"),
        ("http", "/socket.io", "polling"),
        ("http", "/socket.io/x", "pages"),
        ("http", "/socket.iox/", "pages"),
        ("http", "/readyz", "pages"),
        ("websocket", "/socket.io/", "pages"),
        ("lifespan", "", "pages"),
    ],
)
async def test_engine_ios_path_is_long_pollings_and_the_rest_are_pages(
    kind: str, path: str, target: str
) -> None:
    asked: list[str] = []

    def named(name: str) -> AsgiApp:
        async def app(*_: object) -> None:
            asked.append(name)

        return app

    async def nothing(*_: object) -> Any:
        raise AssertionError("the applications wait for nothing")

    app = dispatch(named("pages"), named("polling"), "/socket.io")
    await app({"type": kind, "path": path}, nothing, nothing)
    assert asked == [target]
