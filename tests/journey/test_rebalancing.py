"""A connection that is too old is closed, and its client goes on without having lost anything."""

import asyncio
import time

import pytest

from tests.journey.conftest import StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import POLLING, WEBSOCKET, JsClient, JsClients
from tests.processes import Valkey

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAX_AGE_SECONDS = 3


@pytest.mark.parametrize(
    "transports",
    [
        pytest.param(WEBSOCKET, id="websocket"),
        pytest.param(POLLING, id="polling", marks=pytest.mark.long),
    ],
)
async def test_a_client_that_is_moved_gets_every_event_once_and_in_order(
    transports: list[str],
    valkey: Valkey,
    gateway: StartGateway,
    js: JsClients,
    publish: Publisher,
    mine: str,
) -> None:
    async with gateway(valkey.url, CONSTELLATION_MAX_CONNECTION_AGE_SECONDS=MAX_AGE_SECONDS) as pod:
        bob = await js.connect(
            pod.chats_url,
            user=f"bob{mine}",
            # Long-polling cannot answer our close: only offsets prove what has arrived.
            auth={"userId": f"bob{mine}", "recovery": True},
            transports=transports,
            reconnectionDelay=50,
            reconnectionDelayMax=100,
        )
        began = time.monotonic()
        published = await _publish_until_moved(publish, bob, times=2)
        (received,) = await publish.heard_by(bob)
        assert [one.payload["status"] for one in received] == published
        assert set(bob.disconnects) <= {"transport close", "transport error"}
        # By age, and not as fast as it can: two moves take more than twice four fifths of it.
        assert time.monotonic() - began > 2 * 0.8 * MAX_AGE_SECONDS - 1


async def _publish_until_moved(publish: Publisher, bob: JsClient, times: int) -> list[str]:
    """Publish twenty events a second until the client has reconnected so often."""
    published: list[str] = []
    while bob.connects <= times:
        assert len(published) < 600, f"{bob} has not been moved {times} times"
        published.append(str(len(published)))
        event = {"userId": "x", "status": published[-1], "notifyUsers": [bob.user], "timestamp": 0}
        await publish("user:status", event)
        await asyncio.sleep(0.05)  # a rate, not a wait for something
    return published
