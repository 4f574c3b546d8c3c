"""External python-socketio emitters keep working: each pod delivers, none broadcasts again."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import socketio
from redis.asyncio import Redis

from tests.journey.conftest import Pods
from tests.journey.publishing import SendMark, heard_by
from tests.js_clients import POLLING, JsClient, JsClients
from tests.nest_client import nest_client
from tests.processes import Valkey

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def emitter(valkey: Valkey) -> AsyncIterator[socketio.AsyncRedisManager]:
    """What a Python service uses that has no sockets of its own."""
    manager = socketio.AsyncRedisManager(valkey.url, write_only=True)
    yield manager
    if manager.redis is not None:
        await manager.redis.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def bob(pods: Pods, js: JsClients, mine: str) -> list[JsClient]:
    """One user's sockets on both pods, in one chat."""
    clients = [
        await js.connect(pods.a.chats_url, user=f"bob{mine}"),
        await js.connect(pods.a.chats_url, user=f"bob{mine}", transports=POLLING),
        await js.connect(pods.b.chats_url, user=f"bob{mine}"),
    ]
    for client in clients:
        await client.join(f"c{mine}")
    return clients


async def test_an_emit_to_a_user_or_a_chat_is_delivered_once_on_each_pod(
    emitter: socketio.AsyncRedisManager, bob: list[JsClient], mine: str
) -> None:
    payload = {"text": "Привет 👋", "n": [1, None, 1.5]}
    rooms = [f"user:bob{mine}", f"chat:c{mine}"]

    for room in rooms:
        await emitter.emit("new-message", payload | {"to": room}, room=room, namespace="/chats")
    await emitter.emit("new-message", {"to": "both"}, room=rooms, namespace="/chats")

    for heard in await heard_by(_mark(emitter), *bob):
        assert [event.arguments for event in heard] == [
            (payload | {"to": rooms[0]},),
            (payload | {"to": rooms[1]},),
            ({"to": "both"},),
        ]


async def test_an_emit_elsewhere_reaches_nobody_here(
    emitter: socketio.AsyncRedisManager, bob: list[JsClient], mine: str
) -> None:
    await emitter.emit("new-message", {}, room=f"user:bob{mine}")
    await emitter.emit("new-message", {}, room=f"user:bob{mine}", namespace="/others")
    await emitter.emit("new-message", {}, room=f"user:carol{mine}", namespace="/chats")

    assert await heard_by(_mark(emitter), *bob) == [[], [], []]


async def test_bytes_from_an_emitter_arrive_as_bytes_on_both_transports(
    emitter: socketio.AsyncRedisManager, bob: list[JsClient], mine: str
) -> None:
    await emitter.emit("file", b"\x00\xff", room=f"user:bob{mine}", namespace="/chats")

    for heard in await heard_by(_mark(emitter), *bob):
        assert [event.payload for event in heard] == [{"type": "Buffer", "data": [0, 255]}]


async def test_half_a_surrogate_pair_and_a_room_that_is_a_number_are_delivered(
    emitter: socketio.AsyncRedisManager, pods: Pods, bob: list[JsClient], mine: str
) -> None:
    user = f"bob{mine}"
    number = 8_000_000 + int(mine.rpartition("-")[2])
    async with nest_client(pods.a.tcp_port) as nest:
        await nest.ask("joinRoom", {"userId": user, "roomName": str(number)})
    cut = {"text": "cut \ud83d", "\ude00": [1, None]}
    await emitter.emit("cut", cut, room=f"user:{user}", namespace="/chats")
    await emitter.emit("numbered", 1, room=number, namespace="/chats")
    await emitter.emit("numbered", 2, room=[number, None, 1.5], namespace="/chats")

    for heard in await heard_by(_mark(emitter), *bob):
        assert [(event.event, event.arguments) for event in heard] == [
            ("cut", (cut,)),
            ("numbered", (1,)),
            ("numbered", (2,)),
        ]


@pytest.mark.parametrize("event", ["newListener", "removeListener", "disconnect"])
async def test_a_name_that_clients_refuse_costs_nobody_its_connection(
    emitter: socketio.AsyncRedisManager, valkey: Valkey, bob: list[JsClient], mine: str, event: str
) -> None:
    room = f"user:bob{mine}"
    await emitter.emit(event, 1, room=room, namespace="/chats")
    async with Redis.from_url(valkey.url) as redis:
        command = {"type": "emit", "args": [event, 1], "rooms": [room]}
        entry: dict[Any, Any] = {"channel": "constellation:commands", "data": json.dumps(command)}
        await redis.xadd("constellation:events", entry)

    assert await heard_by(_mark(emitter), *bob) == [[], [], []]
    assert [client.connects for client in bob] == [1, 1, 1]


def _mark(emitter: socketio.AsyncRedisManager) -> SendMark:
    async def send_mark(user: str, mark: str) -> None:
        await emitter.emit("mark", mark, room=f"user:{user}", namespace="/chats")

    return send_mark
