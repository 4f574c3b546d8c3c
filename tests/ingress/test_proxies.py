"""What the other tests of this package assume: each proxy really leads to each pod in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.ingress.proxies.connections import Connections
from tests.ingress.proxies.table import PROXIES, running, why_not
from tests.processes import HOST, tcp_stream
from tests.proxies import Proxy
from tests.waiting import PATIENCE_SECONDS, eventually

ROUNDS = 4


@pytest.mark.parametrize("name", PROXIES)
async def test_connections_go_to_each_pod_in_turn(name: str, tmp_path: Path) -> None:
    async with stand_ins(3) as ports, routed(name, tmp_path, ports) as proxy:
        seen = [await asked_alone(proxy) for _ in range(3 * ROUNDS)]

    assert set(seen) == set(ports)
    assert_in_turn(seen)


@pytest.mark.parametrize("name", [name for name in PROXIES if name != "connections"])
async def test_requests_of_one_connection_go_to_each_pod_in_turn(name: str, tmp_path: Path) -> None:
    async with (
        stand_ins(3) as ports,
        routed(name, tmp_path, ports) as proxy,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
    ):
        seen = [await asked(session, proxy) for _ in range(3 * ROUNDS)]

    assert_in_turn(seen)


@pytest.mark.parametrize("name", PROXIES)
async def test_a_websocket_outlives_a_change_of_endpoints(name: str, tmp_path: Path) -> None:
    async with (
        stand_ins(2) as (old, new),
        routed(name, tmp_path, [old]) as proxy,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://{HOST}:{proxy.port}/ws") as websocket,
    ):
        await proxy.route_to([new])
        await websocket.send_str("still there?")

        assert await websocket.receive_str() == f"{old}: still there?"

        async def only_new() -> bool:
            return {await asked_alone(proxy) for _ in range(4)} == {new}

        # NGINX's and HAProxy's old workers may accept a few more.
        await eventually(only_new, PATIENCE_SECONDS, "new connections go to the new pod")


async def test_the_balancer_of_connections_holds_none_that_has_ended() -> None:
    async with stand_ins(1) as ports:
        proxy = Connections()
        await proxy.route_to(ports)
        for _ in range(ROUNDS):
            await asked_alone(proxy)
        async with tcp_stream(proxy.port) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).endswith(str(ports[0]).encode())

        await eventually(lambda: proxy.open_count == 0, PATIENCE_SECONDS, "all are closed")
        proxy.stop()


def assert_in_turn(seen: Sequence[int]) -> None:
    """Each pod as often as the others, and never twice in a row."""
    assert set(Counter(seen).values()) == {ROUNDS}, seen
    assert all(one != other for one, other in pairwise(seen)), seen


async def asked(session: aiohttp.ClientSession, proxy: Proxy) -> int:
    async with session.get(f"http://{HOST}:{proxy.port}/") as answer:
        return int(await answer.text())


async def asked_alone(proxy: Proxy) -> int:
    async with aiohttp.ClientSession() as session:
        return await asked(session, proxy)


@asynccontextmanager
async def routed(name: str, folder: Path, ports: Sequence[int]) -> AsyncIterator[Proxy]:
    if reason := why_not(name):
        pytest.skip(reason)
    with running(name, folder / name) as proxy:
        await proxy.route_to(ports)
        yield proxy


@asynccontextmanager
async def stand_ins(count: int) -> AsyncIterator[list[int]]:
    """Servers that answer their own port, and over a WebSocket repeat what is said behind it."""
    async with AsyncExitStack() as held:
        yield [await held.enter_async_context(_stand_in()) for _ in range(count)]


@asynccontextmanager
async def _stand_in() -> AsyncIterator[int]:
    port = 0

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=str(port))

    async def repeat(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            await websocket.send_str(f"{port}: {message.data}")
        return websocket

    application = web.Application()
    application.add_routes([web.get("/", answer), web.get("/ws", repeat)])
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield port
    finally:
        await runner.cleanup()
