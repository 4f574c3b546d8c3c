"""Binary events and requests, text in between, while sessions move from pod to pod."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import socketio

from tests.chaos.deployment import now_ms
from tests.chaos.ledger import Event, Outcome, Way
from tests.ingress.clients import company
from tests.ingress.flow import Flow
from tests.ingress.proxies.table import running
from tests.ingress.trial import trial
from tests.js_clients import UPGRADING, JsClient, JsClients, binary, running_node
from tests.processes import HOST, Gateway, Valkey
from tests.proxies import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="session")

POD_COUNT = 2
CLIENTS = 12
TEXTS_PER_SECOND = 50
PAUSE_SECONDS = 0.01
BINARY_BYTES = 5_000
FIRST_NUMBER = 1_000_000
"""Of binary events, above those of texts."""
REQUESTS = 4
"""Before a client is on its WebSocket, and after it: both within its rate limit."""


@pytest.fixture(scope="module")
def proxy(pods: list[Gateway], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running("nginx", tmp_path_factory.mktemp("proxies") / "nginx") as proxy:
        yield proxy


async def test_binary_events_of_an_emitter_arrive_once_and_in_order_among_texts(
    proxy: Proxy, pods: list[Gateway], valkey: Valkey
) -> None:
    await proxy.route_to([pod.ws_port for pod in pods])
    crowd = company("binary", proxy.port, CLIENTS, 0)
    sent: list[Event] = []

    async def emit(flow: Flow) -> None:
        async with emitter(valkey) as manager:
            for number in itertools.count(FIRST_NUMBER):
                user = crowd.users[number % CLIENTS]
                event = Event(number, Way.PUBLISH, frozenset([user]), frozenset(), "emitter")
                event.place, event.sent_ms = number, now_ms()
                flow.ledger.enter(event)
                data = {"bytes": number.to_bytes(4, "big") + b"\xff" * BINARY_BYTES}
                await manager.emit("file", data, room=f"user:{user}", namespace="/chats")
                event.outcome, event.settled_ms = Outcome.ACCEPTED, now_ms()
                sent.append(event)
                await asyncio.sleep(PAUSE_SECONDS)

    seen = await trial(crowd, valkey.port, TEXTS_PER_SECOND, beside=emit)

    assert seen.faults == []
    assert len(seen.upgrade_seconds) == CLIENTS
    assert seen.received > len(sent) > CLIENTS


async def test_binary_requests_are_answered_once_before_and_after_the_move(
    proxy: Proxy, pods: list[Gateway]
) -> None:
    await proxy.route_to([pod.ws_port for pod in pods])
    async with running_node() as node:
        js = JsClients(node)
        url = f"http://{HOST}:{proxy.port}/chats"
        clients = [js.open(url, user=n, transports=UPGRADING) for n in range(CLIENTS)]
        answers = await asyncio.gather(*map(asks, clients))
        js.close()

    for answer in itertools.chain(*answers):
        assert answer["success"] is False, answer
    for client in clients:
        assert (client.disconnects, client.refusals, client.connects) == ([], [], 1)


async def asks(client: JsClient) -> list[dict[str, object]]:
    """Ask for what is refused, since a chat has no bytes in its name; give the answers."""
    await client.until(lambda: client.connected, "a connection")
    answers = [await refused(client) for _ in range(REQUESTS)]
    await client.on_websocket()
    return answers + [await refused(client) for _ in range(REQUESTS)]


async def refused(client: JsClient) -> dict[str, object]:
    answer: dict[str, object] = await client.ask("join-chat", {"chatId": binary(BINARY_BYTES)})
    return answer


@asynccontextmanager
async def emitter(valkey: Valkey) -> AsyncIterator[socketio.AsyncRedisManager]:
    manager = socketio.AsyncRedisManager(valkey.url, write_only=True)
    try:
        yield manager
    finally:
        if manager.redis is not None:
            await manager.redis.aclose()
