"""Redis goes away and comes back: sockets stay, delivery goes on, readiness follows its rule."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.forwarder import forwarder
from tests.journey.conftest import StartGateway
from tests.js_clients import POLLING, UPGRADING, WEBSOCKET, JsClient, JsClients
from tests.nest_client import nest_client
from tests.processes import HOST, Valkey, running_valkey
from tests.waiting import PATIENCE_SECONDS, eventually, throughout

pytestmark = pytest.mark.asyncio(loop_scope="session")

OUTAGE_SECONDS = 10.0
GRACE_SECONDS = 2.0


@pytest.fixture
def mortal_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of this test's own that has its data again when it is started again."""
    with running_valkey(tmp_path) as valkey:
        yield valkey


async def test_redis_stopped_for_ten_seconds_drops_nobody_and_delivery_goes_on(
    mortal_valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    async with (
        gateway(mortal_valkey.url, CONSTELLATION_REDIS_GRACE_SECONDS=300) as patient,
        gateway(mortal_valkey.url, CONSTELLATION_REDIS_GRACE_SECONDS=GRACE_SECONDS) as impatient,
        nest_client(patient.tcp_port) as nest,
    ):
        clients = [
            await js.connect(pod.chats_url, user=f"u{n}{mine}", transports=transports)
            for n, transports in enumerate([WEBSOCKET, POLLING, UPGRADING] * 2)
            for pod in (patient, impatient)
        ]
        mortal_valkey.stop()

        async def all_is_as_it_should_be() -> bool:
            """Asked all through the outage; the grace of `patient` is longer than that."""
            statuses = [(await patient.get(path)).status for path in ("/livez", "/readyz")]
            return all(client.connected for client in clients) and statuses == [200, 200]

        stopped_at = time.monotonic()
        await throughout(all_is_as_it_should_be, GRACE_SECONDS + 3, "no client is dropped")
        answer = await impatient.get("/readyz")
        assert answer.status == 503
        assert "redis" in answer.text.lower(), "the failing check is named"
        assert (await impatient.get("/livez")).status == 200
        # What needs no Redis works; what needs it says so instead of hanging.
        joined = await clients[0].ask("join-chat", {"chatId": f"c{mine}"})
        assert joined["error"]["code"] == "unavailable", "a positive ack would be a promise"
        sent = {"userId": f"u0{mine}", "event": "e", "data": 1}
        assert (await nest.response("sendToUser", sent))["success"] is False
        rest = OUTAGE_SECONDS - (time.monotonic() - stopped_at)
        await throughout(all_is_as_it_should_be, rest, "no client is dropped")

        mortal_valkey.start()
        # How soon a pod tries again, tests/unit/test_redis_link.py says.
        await _all_are_served(mortal_valkey, clients)
        assert [client.disconnects for client in clients] == [[] for _ in clients]
        await eventually(impatient.is_ready, PATIENCE_SECONDS, "ready again")
        await _until_online(impatient.tcp_port, f"u0{mine}")


async def _until_online(tcp_port: int, user: str) -> None:
    """What Redis knew of them has expired or is out of date; the pods write it again."""
    async with nest_client(tcp_port) as nest:

        async def is_online() -> bool:
            return bool((await nest.ask("isUserOnline", {"userId": user}))["online"])

        await eventually(is_online, PATIENCE_SECONDS, "presence is known again")


async def test_a_subscription_that_is_silently_dead_is_replaced(
    valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    async with (
        forwarder(valkey.port) as wire,
        gateway(f"redis://{HOST}:{wire.port}/0") as pod,
    ):
        bob = await js.connect(pod.chats_url, user=f"bob{mine}")

        wire.freeze()

        # How soon the silence is noticed, tests/unit/test_redis_bus.py says.
        await _all_are_served(valkey, [bob])
        assert bob.disconnects == []


async def _all_are_served(valkey: Valkey, clients: list[JsClient]) -> None:
    """Publish again and again, until each client has heard something of it."""
    users = [client.user for client in clients]
    async with Redis.from_url(valkey.url) as redis:
        event = json.dumps({"userId": "x", "status": "back", "notifyUsers": users})

        async def all_have_heard() -> bool:
            await redis.publish("user:status", event)
            return all(client.received for client in clients)

        await eventually(all_have_heard, 2 * PATIENCE_SECONDS, "every client hears again")
