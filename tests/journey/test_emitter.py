"""External python-socketio emitters keep working: each pod delivers, none broadcasts again."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import socketio

from tests.journey.conftest import Pods
from tests.journey.publishing import SendMark, heard_by
from tests.js_clients import POLLING, JsClient, JsClients
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


def _mark(emitter: socketio.AsyncRedisManager) -> SendMark:
    async def send_mark(user: str, mark: str) -> None:
        await emitter.emit("mark", mark, room=f"user:{user}", namespace="/chats")

    return send_mark
