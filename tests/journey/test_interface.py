"""A second application on the same gateway: an order tracker with two namespaces, by its table."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.forwarder import forwarder
from tests.journey.conftest import Pods, StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import POLLING, WEBSOCKET, JsClient, JsClients
from tests.processes import HOST, Gateway, Valkey
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLE = Path("examples/orders/interface.toml")
SETTINGS = {
    "CONSTELLATION_INTERFACE_FILE": str(TABLE),
    "BILLING_KEY": "a key of the tests",
    "CONSTELLATION_DRAIN_WINDOW_SECONDS": "1",
}
BOTH_TRANSPORTS = pytest.mark.parametrize(
    "transports", [WEBSOCKET, POLLING], ids=["websocket", "polling"]
)
QUICK: dict[str, Any] = {"reconnectionDelay": 100, "reconnectionDelayMax": 500}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def orders(valkey: Valkey, gateway: StartGateway) -> AsyncIterator[Pods]:
    """Two pods of the order tracker."""
    own = SETTINGS | {"CONSTELLATION_REDIS_PREFIX": "tracker"}
    async with gateway(valkey.url, **own) as a, gateway(valkey.url, **own) as b:
        yield Pods(a, b)


def url(pod: Gateway, namespace: str) -> str:
    return pod.chats_url.removesuffix("/chats") + namespace


async def customer(
    pod: Gateway, js: JsClients, user: str, namespace: str = "/orders", **options: Any
) -> JsClient:
    return await js.connect(url(pod, namespace), user=user, **options)


async def recovered(client: JsClient) -> bool:
    """Whether a client's second connect was a recovery; it emits what it missed before that."""
    await client.until(lambda: len(client.recovered) == 2, "it is connected again")
    return client.recovered[-1]


@BOTH_TRANSPORTS
async def test_a_namespace_of_the_table_is_served_with_its_requests_and_routes(
    transports: tuple[str, ...], orders: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    ann = await customer(orders.a, js, f"ann{mine}", transports=transports)
    bob = await customer(orders.b, js, f"bob{mine}", transports=transports)
    order = f"o{mine}"
    assert await ann.ask("follow-order", {"orderId": order}) == {
        "success": True,
        "data": {"orderId": order},
    }
    assert (await bob.ask("follow-order", order))["success"]
    status = {"orderId": order, "customerId": f"ann{mine}", "status": "packed", "timestamp": 1}
    await publish("order:status", status)
    for client in (ann, bob):
        received = await client.event("order-status")
        assert received.payload == {"orderId": order, "status": "packed", "timestamp": 1}
    assert (await bob.ask("unfollow-order", order))["success"]
    await publish("order:status", status | {"status": "sent"})
    await publish("order:status", status | {"customerId": f"bob{mine}", "status": "mark"})
    assert (await ann.event("order-status")).payload["status"] == "sent"
    assert (await bob.event("order-status")).payload["status"] == "mark"


async def test_the_contracts_namespace_is_not_served_and_the_refusal_names_those_that_are(
    orders: Pods, js: JsClients
) -> None:
    client = js.open(url(orders.a, "/chats"), user="ann")
    refusal = await client.refused()
    assert refusal.code == "invalid_namespace"
    assert "/orders" in refusal.message


async def test_a_namespace_without_identity_admits_anybody_and_its_rooms_are_its_own(
    orders: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    visitor = await js.connect(url(orders.a, "/"), user=None)
    ann = await customer(orders.a, js, f"ann{mine}")
    shop = f"s{mine}"
    assert (await visitor.ask("watch-shop", {"shopId": shop}))["success"]
    unknown = await visitor.ask("follow-order", {"orderId": "1"})
    assert unknown["error"]["code"] == "unknown_event"
    # The same name in another namespace is another room.
    assert (await ann.ask("follow-order", {"orderId": shop}))["success"]
    await publish("shop:open", {"shopId": shop, "isOpen": True})
    assert (await visitor.event("shop-open")).payload == {"shopId": shop, "isOpen": True}
    assert ann.received == []


async def test_requests_reach_a_channel_and_a_stream_and_are_acknowledged(
    orders: Pods, js: JsClients, valkey: Valkey, mine: str
) -> None:
    ann = await customer(orders.a, js, f"ann{mine}")
    async with Redis.from_url(valkey.url) as redis, redis.pubsub() as listener:
        await listener.subscribe("order:position")
        await listener.get_message(timeout=PATIENCE_SECONDS)
        position = {"orderId": f"o{mine}", "lat": 1.50, "lon": 2, "userId": "mallory"}
        assert await ann.ask("report-position", position) == {"success": True}
        message = await listener.get_message(
            ignore_subscribe_messages=True, timeout=PATIENCE_SECONDS
        )
        assert message is not None
        sent = json.loads(message["data"])
        assert (sent["event"], sent["data"]) == ("report-position", position)
        assert (sent["userId"], sent["namespace"]) == (f"ann{mine}", "/orders")
        assert (await ann.ask("report-position", {"orderId": 1}))["error"]["code"] == (
            "invalid_request"
        )
        assert await ann.ask("rate-order", 5) == {"success": True}
        entries: Any = await redis.xrevrange("orders:ratings", count=1)
        assert json.loads(entries[0][1][b"data"])["data"] == 5


async def test_a_backend_that_is_not_there_is_unavailable_and_disturbs_nobody(
    orders: Pods, js: JsClients, mine: str
) -> None:
    ann = await customer(orders.a, js, f"ann{mine}")
    placed = await ann.ask("place-order", {"items": []})
    assert placed["error"]["code"] == "backend_unavailable"
    denied = await ann.ask("pay-order", {"orderId": f"o{mine}"})
    assert denied["error"]["code"] == "forbidden", "it does not follow the order"
    assert (await ann.ask("follow-order", f"o{mine}"))["success"]
    refused = await ann.ask("pay-order", {"orderId": f"o{mine}"})
    assert refused["error"]["code"] == "backend_unavailable"


async def test_volatile_events_are_delivered_and_never_replayed(
    valkey: Valkey, gateway: StartGateway, js: JsClients, publish: Publisher, mine: str
) -> None:
    own = SETTINGS | {"CONSTELLATION_REDIS_PREFIX": f"volatile{mine}"}
    order, user = f"o{mine}", f"ann{mine}"
    async with gateway(valkey.url, **own) as a, gateway(valkey.url, **own) as b:
        roaming = await customer(
            a, js, user, transports=WEBSOCKET, auth={"userId": user, "recovery": True}, **QUICK
        )
        witness = await customer(b, js, f"bob{mine}")
        for client in (roaming, witness):
            assert (await client.ask("follow-order", order))["success"]
        position = {"orderId": order, "lat": 1, "lon": 2}
        await publish("order:moved", position)
        for client in (roaming, witness):
            assert (await client.event("order-moved")).payload == position
        roaming.sever()
        await roaming.lost()
        await publish("order:moved", position | {"lat": 3})
        await publish("order:status", {"orderId": order, "customerId": "x", "status": "sent"})
        assert (await witness.event("order-moved")).payload["lat"] == 3
        assert (await roaming.event("order-status")).payload["status"] == "sent"
        assert await recovered(roaming)


@BOTH_TRANSPORTS
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["drained", "killed"])
async def test_sessions_of_both_namespaces_resume_on_another_pod(
    end: signal.Signals,
    transports: tuple[str, ...],
    valkey: Valkey,
    gateway: StartGateway,
    js: JsClients,
    publish: Publisher,
    mine: str,
) -> None:
    """One connection of both namespaces, as socket.io-client shares it between them."""
    own = SETTINGS | {"CONSTELLATION_REDIS_PREFIX": f"resume{mine}"}
    order, shop, user = f"o{mine}", f"s{mine}", f"ann{mine}"
    status = {"orderId": order, "customerId": "somebody else"}
    async with (
        gateway(valkey.url, **own) as a,
        gateway(valkey.url, **own) as b,
        forwarder(a.ws_port) as entry,
    ):
        shared: dict[str, Any] = QUICK | {"forceNew": False, "transports": transports}
        base = f"http://{HOST}:{entry.port}"
        auth = {"userId": user, "recovery": True}
        ann = await js.connect(f"{base}/orders", user=user, auth=auth, **shared)
        visitor = await js.connect(f"{base}/", user=None, auth={"recovery": True}, **shared)
        assert (await ann.ask("follow-order", order))["success"]
        assert (await visitor.ask("watch-shop", {"shopId": shop}))["success"]
        await publish("order:status", status | {"status": "packed"})
        await publish("shop:open", {"shopId": shop, "isOpen": True})
        await ann.event("order-status")
        await visitor.event("shop-open")

        entry.target = b.ws_port
        a.signal(end)
        for client in (ann, visitor):
            await client.lost()
        await publish("order:status", status | {"status": "sent"})
        await publish("shop:open", {"shopId": shop, "isOpen": False})
        assert (await ann.event("order-status")).payload["status"] == "sent"
        assert (await visitor.event("shop-open")).payload["isOpen"] is False
        await publish("order:status", status | {"status": "there"})
        assert (await ann.event("order-status")).payload["status"] == "there"
        assert await recovered(ann)
        assert await recovered(visitor)
