"""The largest events reach healthy clients; larger ones cost nobody its connection."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import socketio
from redis.asyncio import Redis

from tests.journey.conftest import Pods, StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import POLLING, UPGRADING, WEBSOCKET, JsClient, JsClients
from tests.nest_client import nest_client
from tests.processes import Valkey

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAX_EVENT_BYTES = 1_000_000
TRANSPORTS: Sequence[Sequence[str]] = (WEBSOCKET, POLLING, UPGRADING)
LOG = "constellation:events"


def message(user: str, number: int, size: int = MAX_EVENT_BYTES) -> bytes:
    """A `chat:newMessage` of exactly so many bytes."""
    bare = json.dumps({"recipientId": user, "messageId": number, "text": ""})
    return json.dumps(
        {"recipientId": user, "messageId": number, "text": "x" * (size - len(bare))}
    ).encode()


def numbers(client: JsClient) -> list[int]:
    """The messages that a client has got."""
    return [event.payload["messageId"] for event in client.received]


async def connected(url: str, js: JsClients, user: str) -> list[JsClient]:
    clients = [await js.connect(url, user=user, transports=one) for one in TRANSPORTS]
    await clients[-1].on_websocket()
    return clients


async def test_several_of_the_largest_events_at_once_reach_every_client(
    pods: Pods, publish: Publisher, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
    clients = [*await connected(pods.a.chats_url, js, user)]
    clients += await connected(pods.b.chats_url, js, user)
    # In one transaction, so that they come in one batch.
    async with publish.redis.pipeline(transaction=True) as pipe:
        for number in range(4):
            pipe.publish("chat:newMessage", message(user, number))
        await pipe.execute()
    for client in clients:
        await client.until(lambda: len(client.received) == 4, "all events")
        assert numbers(client) == list(range(4))
        assert client.connects == 1


async def test_an_event_that_is_too_large_is_dropped_counted_and_costs_nobody_anything(
    valkey: Valkey, pods: Pods, publish: Publisher, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
    clients = await connected(pods.a.chats_url, js, user)

    async def too_large(metric: str, **labels: str) -> float:
        return await pods.a.metric(f"constellation_{metric}_total", **labels)

    events = {"channel": "chat:newMessage", "outcome": "too_large"}
    before = await too_large("events", **events), await too_large("commands", kind="too_large")
    for size in (MAX_EVENT_BYTES + 1, 8_000_000):
        await publish("chat:newMessage", message(user, -1, size))
        entry: dict[Any, Any] = {"channel": "chat:newMessage", "data": message(user, -2, size)}
        await publish.redis.xadd(LOG, entry)
        emitter = socketio.AsyncRedisManager(valkey.url, write_only=True)
        await emitter.emit("new-message", "x" * size, room=f"user:{user}", namespace="/chats")
        await emitter.redis.aclose()
    await publish("chat:newMessage", message(user, 1))
    for client in clients:
        await client.until(lambda: len(client.received) == 1, "the next event")
        assert (numbers(client), client.connects) == ([1], 1)
    assert await too_large("events", **events) == before[0] + 4
    assert await too_large("commands", kind="too_large") == before[1] + 2
    (line, *_) = [one for one in pods.a.log("dropped an event that is too large") if one["bytes"]]
    assert line["max_event_bytes"] == MAX_EVENT_BYTES


async def test_the_tcp_port_refuses_what_is_too_large_with_a_reason(
    pods: Pods, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
    client = await js.connect(pods.b.chats_url, user=user)
    async with nest_client(pods.a.tcp_port) as nest:
        for pattern, data in (
            ("sendToUser", {"userId": user, "event": "e", "data": "x" * 1_100_000}),
            ("sendToRoom", {"room": f"user:{user}", "event": "e", "data": "x" * 1_100_000}),
            ("chat:newMessage", json.loads(message(user, -1, MAX_EVENT_BYTES + 1))),
        ):
            response = await nest.response(pattern, data)
            assert response["success"] is False
            assert response["error"]["code"] == "too_large"
        accepted = await nest.ask("chat:newMessage", json.loads(message(user, 1)))
        assert accepted == {"accepted": True}
    await client.until(lambda: numbers(client) == [1], "the largest event")


async def test_the_largest_event_is_replayed_to_a_client_that_was_away(
    pods: Pods, publish: Publisher, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
    auth = {"userId": user, "recovery": True}
    client = await js.connect(pods.a.chats_url, user=user, auth=auth)
    await publish("chat:newMessage", message(user, 1, 100))
    await client.until(lambda: numbers(client) == [1], "an offset")
    client.sever()
    await client.lost()
    await publish("chat:newMessage", message(user, 2))
    await client.until(lambda: numbers(client) == [1, 2], "the missed event")
    assert client.recovered[-1] is True


async def test_with_a_higher_limit_larger_events_pass(
    valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    user, size = f"bob{mine}", 5_000_000
    settings = {
        "CONSTELLATION_MAX_EVENT_BYTES": size,
        "CONSTELLATION_TCP_MAX_FRAME_BYTES": 2 * size,
        "CONSTELLATION_DELIVERY": "live",
    }
    async with gateway(valkey.url, **settings) as pod, Redis.from_url(valkey.url) as redis:
        clients = await connected(pod.chats_url, js, user)
        async with redis.pipeline(transaction=True) as pipe:
            for number in range(3):
                pipe.publish("chat:newMessage", message(user, number, size))
            await pipe.execute()
        for client in clients:
            await client.until(lambda: len(client.received) == 3, "all events")
            assert (numbers(client), client.connects) == ([0, 1, 2], 1)
