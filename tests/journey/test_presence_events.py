"""A backend learns who comes online and who goes offline, once, from two pods with real clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from redis.asyncio import Redis

from constellation_ws.backends.signing import sign
from constellation_ws.redis_io.link import make_client
from constellation_ws.redis_io.names import DEFAULT
from tests.journey.conftest import StartGateway
from tests.js_clients import JsClients
from tests.nest_client import nest_client
from tests.processes import HOST, running_valkey, unused_port
from tests.waiting import PATIENCE_SECONDS, eventually, throughout

pytestmark = pytest.mark.asyncio(loop_scope="session")

IN_REDIS = {"CONSTELLATION_PRESENCE_EVENTS": "redis"}
GRACE_SECONDS = 5.0
LOST_SECONDS = 20.0 + PATIENCE_SECONDS
"""A share lasts for 20 seconds after its pod has died."""
KEY = "a-key-of-the-backend"

Said = list[tuple[str, str]]


async def said(redis: Redis, user: str) -> Said:
    """Status and reason of each event of a user."""
    entries: Any = await redis.xrange(DEFAULT.presence_events)
    events = [json.loads(fields[b"data"]) for _, fields in entries]
    return [(one["status"], one["reason"]) for one in events if one["userId"] == user]


async def is_said(redis: Redis, user: str, *expected: tuple[str, str], within: float = 30) -> None:
    async def is_there() -> bool:
        return await said(redis, user) == [*expected]

    try:
        await eventually(is_there, within, f"of {user} is said: {expected}")
    except AssertionError as error:
        raise AssertionError(f"of {user} is said: {await said(redis, user)}") from error


ONLINE = ("online", "connected")


@pytest.mark.long
async def test_tabs_reconnects_and_pods_that_stop_or_die(
    gateway: StartGateway, js: JsClients, mine: str
) -> None:
    with running_valkey() as valkey:
        async with (
            make_client(valkey.url, retries=5) as redis,
            gateway(valkey.url, **IN_REDIS) as a,
            nest_client(a.tcp_port) as nest,
        ):
            async with gateway(valkey.url, **IN_REDIS) as b:
                tabs, lonely, banned = (f"{name}{mine}" for name in ("tabs", "lonely", "banned"))
                first = await js.connect(a.chats_url, user=tabs)
                second = await js.connect(b.chats_url, user=tabs, reconnection=False)
                await js.connect(b.chats_url, user=lonely, reconnection=False)
                await js.connect(b.chats_url, user=banned, reconnection=False)
                for user in (tabs, lonely, banned):
                    await is_said(redis, user, ONLINE)

                # A reconnect within the grace, with the other tab away for good.
                second.close()
                first.sever()
                await first.until(lambda: first.connects == 2, "a return")
                await nest.ask("disconnectUser", {"userId": banned})
                await is_said(redis, banned, ONLINE, ("offline", "server disconnect"))
                await throughout(lambda: True, GRACE_SECONDS + 1, "the grace passes")
                assert await said(redis, tabs) == [ONLINE]

                # The last tab.
                first.close()
                await is_said(redis, tabs, ONLINE, ("offline", "client disconnect"))

                await b.kill()
            await is_said(redis, lonely, ONLINE, ("offline", "pod_lost"), within=LOST_SECONDS)

            # A roll: the client goes to the new pod, whoever has no other stays away.
            rolled = f"rolled{mine}"
            client = await js.connect(a.chats_url, user=rolled, reconnection=False)
            await is_said(redis, rolled, ONLINE)
            async with gateway(valkey.url, **IN_REDIS) as c:
                stopping = asyncio.create_task(a.terminate())
                await client.lost()
                await js.connect(c.chats_url, user=rolled)
                assert await stopping == 0
                await throughout(lambda: True, GRACE_SECONDS + 3, "the grace passes")
                assert await said(redis, rolled) == [ONLINE]
                assert await c.metric("constellation_presence_failures_total", reason="redis") == 0


async def test_a_redis_that_restarts_empty_is_told_who_is_online(
    gateway: StartGateway, js: JsClients, mine: str
) -> None:
    with running_valkey() as valkey:
        async with (
            make_client(valkey.url, retries=5) as redis,
            gateway(valkey.url, **IN_REDIS) as a,
            gateway(valkey.url, **IN_REDIS) as b,
        ):
            stays, leaves = f"stays{mine}", f"leaves{mine}"
            await js.connect(a.chats_url, user=stays)
            client = await js.connect(b.chats_url, user=leaves)
            for user in (stays, leaves):
                await is_said(redis, user, ONLINE)
            valkey.stop()
            client.close()
            statuses = [(await pod.get("/readyz")).status for pod in (a, b)]
            assert statuses == [200, 200]
            valkey.start()
            await is_said(redis, stays, ("online", "restored"))
            # How it left was before the loss, or is found out after it.
            await eventually(
                lambda: _ends_offline(redis, leaves), 2 * PATIENCE_SECONDS, "it is said to be away"
            )


async def _ends_offline(redis: Redis, user: str) -> bool:
    return [status for status, _ in await said(redis, user)][-1:] == ["offline"]


class Backend:
    """An HTTP backend that fails or hangs as long as a test wants it to."""

    def __init__(self, port: int) -> None:
        self.settings = {
            "CONSTELLATION_PRESENCE_EVENTS": "http",
            "CONSTELLATION_PRESENCE_URL": f"http://{HOST}:{port}/presence",
            "CONSTELLATION_PRESENCE_KEY": KEY,
        }
        self.mode = "works"
        self.posts = 0
        self.got: list[dict[str, Any]] = []

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.posts += 1
        timestamp = int(request.headers["X-Constellation-Timestamp"])
        for name, value in sign(KEY.encode(), timestamp, body).items():
            assert request.headers[name] == value
        if self.mode == "hangs":
            await asyncio.Event().wait()
        if self.mode == "fails":
            return web.Response(status=503)
        self.got += json.loads(body)["events"]
        return web.Response()

    def said(self, user: str) -> list[str]:
        return [one["status"] for one in self.got if one["userId"] == user]


@asynccontextmanager
async def running_backend() -> AsyncIterator[Backend]:
    port = unused_port()
    backend = Backend(port)
    application = web.Application()
    application.router.add_post("/presence", backend.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield backend
    finally:
        await runner.cleanup()


async def test_a_backend_over_http_gets_everything_though_it_fails_hangs_and_pods_die(
    gateway: StartGateway, js: JsClients, mine: str
) -> None:
    with running_valkey() as valkey:
        async with (
            running_backend() as backend,
            gateway(valkey.url, **backend.settings) as a,
            gateway(valkey.url, **backend.settings) as b,
        ):
            user = f"bob{mine}"
            client = await js.connect(a.chats_url, user=user)
            await eventually(lambda: backend.said(user), PATIENCE_SECONDS, "it is online")

            backend.mode, posts = "fails", backend.posts
            client.close()
            await eventually(lambda: backend.posts > posts + 1, PATIENCE_SECONDS, "tried again")
            backend.mode, posts = "hangs", backend.posts
            await js.connect(b.chats_url, user=user)
            await eventually(lambda: backend.posts > posts, PATIENCE_SECONDS, "it hangs")
            assert [(await pod.get("/readyz")).status for pod in (a, b)] == [200, 200]
            posting = [
                pod for pod in (a, b) if await pod.metric("constellation_presence_unposted_events")
            ]
            assert len(posting) == 1
            await posting[0].kill()
            backend.mode = "works"
            expected = ["online", "offline", "online"]
            await eventually(
                lambda: backend.said(user)[:3] == expected, LOST_SECONDS, "the other pod goes on"
            )
            sequences = [one["sequence"] for one in backend.got]
            assert sorted(set(sequences)) == list(dict.fromkeys(sequences)), "in order"
