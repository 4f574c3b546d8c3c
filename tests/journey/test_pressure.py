"""What a pod must survive: floods between pods, a hanging Redis, the limits of its machine."""

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import hiredis
import pytest
from redis.asyncio import Redis

from constellation_ws.messages import commands
from constellation_ws.messages.commands import Disconnect
from constellation_ws.messages.events import Room
from constellation_ws.redis_io.names import DEFAULT
from constellation_ws.runtime import open_files
from constellation_ws.wiring.background_jobs import MAX_WAITING
from tests.journey.conftest import StartGateway
from tests.js_clients import JsClients
from tests.processes import Gateway, Valkey, started_gateway, tcp_stream
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

FLOOD = 3 * MAX_WAITING
MAX_FILES = 256
UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


async def test_a_flood_on_the_command_channel_ends_no_pod(
    valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    """Each asks for an answer, which is a job: more than the queue holds.

    That the event loop has its turns meanwhile, tests/unit/test_redis_link.py says.
    """
    # It always listens: the flood is no moment to take it for one pod too many.
    async with gateway(valkey.url, CONSTELLATION_LOG_LISTENERS=1_000) as pod:
        bob = await js.connect(pod.chats_url, user=f"bob{mine}")
        asks = (Disconnect(Room(f"user:{n}{mine}"), "", "nobody", n) for n in range(FLOOD))

        await _publish_all(valkey, [commands.encode(ask) for ask in asks])

        handled = partial(_has_handled, pod, FLOOD)
        await eventually(handled, 2 * PATIENCE_SECONDS, "the flood was handled")
        assert await pod.metric("constellation_errands_dropped_total", reason="full") > 0
        assert pod.log("dropped a background job for another pod")
        async with Redis.from_url(valkey.url) as redis:
            event = {"userId": "x", "status": "here", "notifyUsers": [bob.user]}
            await redis.publish("user:status", json.dumps(event))
        await bob.event("user-status", 2 * PATIENCE_SECONDS)
        assert bob.disconnects == []


async def test_sigterm_ends_a_pod_in_time_while_redis_hangs(
    own_valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    """It holds the recorder's lease, presence and sessions, and a request that waits for Redis."""
    async with gateway(own_valkey.url) as pod:
        bob = await js.connect(pod.chats_url, user=f"bob{mine}", reconnection=False)
        await eventually(
            lambda: pod.log("this pod is the recorder now"), PATIENCE_SECONDS, "it records"
        )
        with own_valkey.hanging():
            bob.emit("join-chat", {"chatId": f"c{mine}"})
            pod.signal(signal.SIGTERM)
            # Its plan is 1.2 s, its deadline 10 s more; what it waits for would take a minute.
            assert await pod.exited(PATIENCE_SECONDS) == 0
        assert pod.stray_lines() == []
        assert not pod.log("forced exit")


async def test_a_second_signal_ends_a_pod_at_once_while_redis_hangs(
    own_valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    async with gateway(own_valkey.url, CONSTELLATION_DRAIN_DELAY_SECONDS=300) as pod:
        await js.connect(pod.chats_url, user=f"bob{mine}", reconnection=False)
        await eventually(
            lambda: pod.log("this pod is the recorder now"), PATIENCE_SECONDS, "it records"
        )
        with own_valkey.hanging():
            pod.signal(signal.SIGTERM)
            await eventually(lambda: pod.log("draining"), PATIENCE_SECONDS, "the drain has begun")
            pod.signal(signal.SIGINT)
            assert await pod.exited(PATIENCE_SECONDS) == 128 + signal.SIGINT
        assert pod.stray_lines() == []


async def test_at_the_limit_of_open_files_probes_and_refusals_are_answered(
    valkey: Valkey, tmp_path: Path
) -> None:
    """More clients than the process may have files, and as many that never ask for anything."""
    shares = open_files.share(MAX_FILES, 1_000)
    async with (
        started_gateway(tmp_path / "log", valkey.url, max_files=MAX_FILES) as pod,
        AsyncExitStack() as clients,
    ):
        await pod.ready()
        (warning,) = pod.log("the limit of open files is too low for the maximum connections")
        assert (warning["limit"], warning["connections"]) == (MAX_FILES, shares.sessions)

        statuses = [await _upgrade(pod, clients) for _ in range(MAX_FILES)]

        admitted = statuses.count(101)
        assert shares.sessions - 10 < admitted <= shares.sessions, "some sockets are the probes'"
        assert statuses == [101] * admitted + [503] * (MAX_FILES - admitted)
        for _ in range(MAX_FILES):
            await clients.enter_async_context(tcp_stream(pod.ws_port))  # says nothing
        for _ in range(3):
            assert (await pod.get("/livez")).status == 200
            answer = await pod.get("/readyz")
            assert (answer.status, answer.json()["failing"]) == (503, ["connections"])
        assert await _upgrade(pod, clients) == 503
        assert await pod.metric("constellation_connects_total", code="overloaded") > 0
        assert await pod.metric("constellation_open_files_exhausted_total") == 0
        assert pod.log("client refused for now: overloaded")

        await clients.aclose()

        await eventually(pod.is_ready, PATIENCE_SECONDS, "ready again")
        assert await _upgrade(pod, clients) == 101
        assert await pod.terminate() == 0
        assert pod.stray_lines() == []


async def _upgrade(pod: Gateway, clients: AsyncExitStack) -> int:
    """Ask for a WebSocket, keep the connection, and give the status of the answer."""
    reader, writer = await clients.enter_async_context(tcp_stream(pod.ws_port))
    writer.write(UPGRADE)
    async with asyncio.timeout(PATIENCE_SECONDS):
        return int((await reader.readline()).split()[1])


async def _publish_all(valkey: Valkey, messages: list[bytes]) -> None:
    """Publish commands as fast as Redis takes them, without waiting for its answers."""
    words = [("PUBLISH", DEFAULT.commands, message) for message in messages]
    async with tcp_stream(valkey.port) as (reader, writer):
        pack: Any = hiredis.pack_command  # its type knows commands of one word only
        writer.write(b"".join(map(pack, words)))
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in words:
                await reader.readline()


async def _has_handled(pod: Gateway, count: int) -> bool:
    return await pod.metric("constellation_commands_total", kind="disconnect") >= count
