"""The probes and metrics that operators point their tools at."""

import re
import signal
from datetime import datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from constellation_ws import __version__
from tests.journey.conftest import Pods, StartGateway
from tests.processes import Gateway, Valkey, started_gateway
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_health_answers_what_the_monitors_of_today_read(pods: Pods) -> None:
    answer = await pods.a.get("/health")

    assert answer.status == 200
    health = answer.json()
    assert health.keys() == {"status", "timestamp", "service", "version"}
    assert (health["status"], health["service"]) == ("ok", "constellation-ws")
    assert datetime.fromisoformat(health["timestamp"]).tzinfo is not None
    assert re.match(r"\d+\.\d+\.\d+", health["version"])


async def test_a_working_pod_is_alive_and_ready_with_a_list_of_checks(pods: Pods) -> None:
    for path in ("/livez", "/readyz"):
        answer = await pods.a.get(path)
        assert answer.status == 200
    assert isinstance((await pods.a.get("/readyz")).json(), list | dict)


async def test_metrics_come_as_prometheus_text_and_as_openmetrics(pods: Pods) -> None:
    text = await pods.a.get("/metrics")
    assert text.headers["Content-Type"].startswith("text/plain")
    names = {family.name for family in text_string_to_metric_families(text.text)}
    assert "constellation_events" in names

    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    text = await pods.a.get("/metrics", accept)
    assert text.headers["Content-Type"].startswith("application/openmetrics-text")
    assert "# TYPE constellation_events counter" in text.text
    assert text.text.endswith("# EOF\n")


async def test_a_person_who_opens_the_address_reads_what_is_there(pods: Pods) -> None:
    answer = await pods.a.get("/")
    assert answer.status == 200
    for words in (__version__, "Socket.IO is on /socket.io/", "Namespaces: /chats"):
        assert words in answer.text


async def test_an_unknown_path_is_not_found(pods: Pods) -> None:
    for path in ("/nothing-here", "/health/x", "/..%2f"):
        assert (await pods.a.get(path)).status == 404


async def test_a_pod_without_redis_is_alive_and_not_ready_until_it_has_subscribed(
    tmp_path: Path,
) -> None:
    valkey = Valkey()
    async with started_gateway(tmp_path / "log", valkey.url) as pod:
        await pod.listening()
        assert (await pod.get("/livez")).status == 200
        answer = await pod.get("/readyz")
        assert answer.status == 503
        assert "redis" in answer.text.lower(), "the failing check is named"

        valkey.start()
        try:
            await eventually(pod.is_ready, PATIENCE_SECONDS, "ready once Redis is there")
            assert await pod.terminate() == 0
        finally:
            valkey.stop()


async def test_readiness_falls_at_the_first_moment_of_a_drain_while_the_pod_lives_on(
    valkey: Valkey, gateway: StartGateway
) -> None:
    """Its delay is longer than anything here may take; a second signal ends it."""
    async with gateway(valkey.url, CONSTELLATION_DRAIN_DELAY_SECONDS=300) as pod:
        pod.signal(signal.SIGTERM)

        await eventually(lambda: _is_unready(pod), PATIENCE_SECONDS, "readiness has fallen")
        answer = await pod.get("/readyz")
        assert "drain" in answer.text.lower(), "the failing check is named"
        assert (await pod.get("/livez")).status == 200
        assert (await pod.get("/health")).status == 200
        handshake = await pod.get("/socket.io/?EIO=4&transport=polling")
        assert handshake.status == 503, "a new client must go elsewhere"
        await pod.terminate()


async def _is_unready(pod: Gateway) -> bool:
    return (await pod.get("/readyz")).status == 503
