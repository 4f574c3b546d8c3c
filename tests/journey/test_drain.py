"""SIGTERM: every client moves to another pod by itself, and the process ends with exit code 0."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import pytest

from tests.forwarder import Forwarder, forwarder
from tests.journey.conftest import Pods, StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import POLLING, UPGRADING, WEBSOCKET, JsClient, JsClients
from tests.processes import HOST, Gateway, Valkey, tcp_stream
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIENTS = 500
DELAY_SECONDS = 1.0
WINDOW_SECONDS = 6.0
DRAIN = {
    "CONSTELLATION_DRAIN_DELAY_SECONDS": DELAY_SECONDS,
    "CONSTELLATION_DRAIN_WINDOW_SECONDS": WINDOW_SECONDS,
}


async def test_five_hundred_clients_move_to_the_other_pod(
    pods: Pods, valkey: Valkey, gateway: StartGateway, js: JsClients, publish: Publisher, mine: str
) -> None:
    """Behind an ingress: once a pod is not ready, new sessions go to the other one."""
    async with gateway(valkey.url, **DRAIN) as draining, forwarder(draining.ws_port) as service:
        clients = await _crowd(js, service, mine)
        assert [client for client in clients if client.disconnects] == []

        began = time.monotonic()
        draining.signal(signal.SIGTERM)
        await eventually(lambda: _is_unready(draining), PATIENCE_SECONDS, "readiness has fallen")
        service.target = pods.b.ws_port
        half_time = await _wait_for_half(clients, began)
        for client in clients:
            await client.until(partial(_is_back, client), "a return", 2 * PATIENCE_SECONDS)

        assert await draining.exited() == 0
        assert draining.stray_lines() == []
        # No wall at the beginning; how even the plan is, tests/unit/test_drain.py says.
        assert half_time > DELAY_SECONDS + 0.25 * WINDOW_SECONDS
        for client in clients:
            assert client.connects == 2, client
            assert client.disconnects in (["transport close"], ["transport error"]), client
        await _all_are_served(clients, publish)

        js.close()
        await eventually(
            partial(_has_sockets, pods.b, 0), PATIENCE_SECONDS, "all have left for good"
        )


async def test_a_second_sigterm_ends_the_drain_at_once(
    valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    long = {"CONSTELLATION_DRAIN_DELAY_SECONDS": 60, "CONSTELLATION_DRAIN_WINDOW_SECONDS": 60}
    async with gateway(valkey.url, **long) as pod:
        bob = await js.connect(pod.chats_url, user=f"bob{mine}", reconnection=False)
        pod.signal(signal.SIGTERM)
        await eventually(lambda: _is_unready(pod), PATIENCE_SECONDS, "the drain has begun")
        assert bob.connected

        pod.signal(signal.SIGTERM)

        await pod.exited()
        assert pod.stray_lines() == []
        await bob.lost()


async def test_a_client_whose_connect_comes_after_sigterm_connects_to_another_pod(
    pods: Pods, valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    """Its `auth` is a function that fetches a token meanwhile. A `connect_error` would be final."""
    long = {"CONSTELLATION_DRAIN_DELAY_SECONDS": 300}
    async with gateway(valkey.url, **long) as pod, forwarder(pod.ws_port) as service:
        url = f"http://{HOST}:{service.port}/chats"
        clients = [
            js.open(url, user=f"u{n}{mine}", transports=transports, auth_seconds=3)
            for n, transports in enumerate((WEBSOCKET, POLLING, UPGRADING))
        ]
        await eventually(
            partial(_has_connections, pod, len(clients)), PATIENCE_SECONDS, "transports are open"
        )
        pod.signal(signal.SIGTERM)
        await eventually(lambda: _is_unready(pod), PATIENCE_SECONDS, "the drain has begun")
        service.target = pods.b.ws_port

        for client in clients:
            await client.until(client.is_connected, "a connection")
            assert not any(refusal.data for refusal in client.refusals), "by the namespace"
        assert await pod.metric("constellation_connects_total", code="draining") >= len(clients)
        assert pod.log("client refused for now: draining")
        assert await pod.metric("constellation_connections") == 0
        await pod.terminate()


async def test_an_idle_pod_leaves_as_soon_as_the_delay_is_over(
    valkey: Valkey, gateway: StartGateway
) -> None:
    settings = {"CONSTELLATION_DRAIN_DELAY_SECONDS": 0, "CONSTELLATION_DRAIN_WINDOW_SECONDS": 60}
    async with gateway(valkey.url, **settings) as pod:
        assert await pod.terminate() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_every_kind_of_open_connection_is_let_go_in_the_end(
    number: signal.Signals, valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    """Clients that do not come back, a TCP client, and one that never said anything."""
    async with gateway(valkey.url) as pod:
        for transports in (WEBSOCKET, POLLING, UPGRADING):
            await js.connect(
                pod.chats_url, user=f"bob{mine}", transports=transports, reconnection=False
            )
        async with tcp_stream(pod.ws_port), tcp_stream(pod.tcp_port):
            pod.signal(number)
            assert await pod.exited() == 0
        assert pod.stray_lines() == []


async def test_a_terminal_that_hangs_up_twice_does_not_end_the_drain(
    valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    async with gateway(valkey.url) as pod:
        await js.connect(pod.chats_url, user=f"bob{mine}", reconnection=False)
        pod.signal(signal.SIGHUP)
        await eventually(lambda: pod.log("draining"), PATIENCE_SECONDS, "the drain has begun")
        pod.signal(signal.SIGHUP)
        assert await pod.exited() == 0
        assert [line["sockets"] for line in pod.log("drained")] == [1]


async def test_a_gateway_under_nohup_outlives_its_terminal(
    valkey: Valkey, gateway: StartGateway
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which the process inherits
    try:
        async with gateway(valkey.url) as pod:
            pod.signal(signal.SIGHUP)
            assert await pod.is_ready()
            assert await pod.terminate() == 0
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_clients_that_have_vanished_do_not_hold_up_the_drain(
    valkey: Valkey, gateway: StartGateway, mine: str
) -> None:
    """A polling client that polls no more, and a WebSocket client that reads no more."""
    async with gateway(valkey.url) as pod, aiohttp.ClientSession() as session:
        polling = f"{pod.http_url}/socket.io/?EIO=4&transport=polling"
        async with session.get(polling) as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        hello = f'40/chats,{{"userId":"gone{mine}"}}'
        async with session.post(f"{polling}&sid={sid}", data=hello) as answer:
            assert answer.status == 200
        async with _silent_websocket(pod.ws_port, hello):
            await eventually(
                partial(_has_sockets, pod, 2), PATIENCE_SECONDS, "both clients are connected"
            )
            # It would be no 0 if it had been ended by the deadline behind the plan.
            assert await pod.terminate() == 0


async def test_a_handshake_that_a_draining_pod_refuses_closes_its_connection(
    valkey: Valkey, gateway: StartGateway
) -> None:
    """Kept alive, it would lead the browser's next attempts to the same pod."""
    async with gateway(valkey.url, CONSTELLATION_DRAIN_DELAY_SECONDS=300) as pod:
        request = f"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
        async with tcp_stream(pod.ws_port) as (reader, writer):
            pod.signal(signal.SIGTERM)
            await eventually(partial(_is_unready, pod), PATIENCE_SECONDS, "the drain has begun")

            writer.write(request.encode())

            async with asyncio.timeout(PATIENCE_SECONDS):
                assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
                head = await reader.readuntil(b"\r\n\r\n")
            assert b"\r\nconnection: close\r\n" in b"\r\n" + head.lower()


async def _crowd(js: JsClients, service: Forwarder, mine: str) -> list[JsClient]:
    """Connected clients of every transport, one user each."""
    url = f"http://{HOST}:{service.port}/chats"
    clients = []
    for n in range(CLIENTS):
        transports = {0: POLLING, 1: UPGRADING}.get(n % 20, WEBSOCKET)
        clients.append(
            js.open(
                url,
                user=f"u{n}{mine}",
                transports=transports,
                reconnectionDelay=100,
                reconnectionDelayMax=500,
            )
        )
        if n % 50 == 49:
            await clients[-1].until(clients[-1].is_connected, "a connection", 2 * PATIENCE_SECONDS)
    for client in clients:
        await client.until(client.is_connected, "a connection", 2 * PATIENCE_SECONDS)
    return clients


async def _wait_for_half(clients: list[JsClient], began: float) -> float:
    """Seconds until half of the clients have lost their connection."""

    def half_has_gone() -> bool:
        return sum(bool(client.disconnects) for client in clients) >= len(clients) / 2

    await eventually(half_has_gone, 2 * PATIENCE_SECONDS, "half of them have gone")
    return time.monotonic() - began


def _is_back(client: JsClient) -> bool:
    return client.connects == 2 and client.connected


async def _all_are_served(clients: list[JsClient], publish: Publisher) -> None:
    users = [client.user for client in clients]
    await publish("user:status", {"userId": "x", "status": "moved", "notifyUsers": users})
    for client in clients:
        assert (await client.event("user-status")).payload == {"userId": "x", "status": "moved"}


async def _has_sockets(pod: Gateway, count: int) -> bool:
    return await pod.metric("constellation_sockets") == count


async def _has_connections(pod: Gateway, count: int) -> bool:
    return await pod.metric("constellation_connections") == count


async def _is_unready(pod: Gateway) -> bool:
    return (await pod.get("/readyz")).status == 503


@asynccontextmanager
async def _silent_websocket(port: int, hello: str) -> AsyncIterator[None]:
    """A client that has joined the namespace and reads nothing any more, not even a close."""
    async with tcp_stream(port) as (_, writer):
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        writer.write(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
            f"Host: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        # A masked text frame; a mask of zeros leaves the text as it is.
        writer.write(bytes([0x81, 0x80 | len(hello)]) + bytes(4) + hello.encode())
        yield
