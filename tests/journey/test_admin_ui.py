"""The Socket.IO Admin UI: what its client sees of a deployment, and what it may do there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.browsing import FOLDER
from tests.chromium import CHROMIUM, MISSING, browser_page
from tests.http_site import http_site
from tests.journey.conftest import Pods, StartGateway
from tests.js_clients import UPGRADING, JsClient, JsClients, Received
from tests.processes import HOST, REPOSITORY, Gateway, Valkey

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "a-key-of-operators"
PACKAGE = FOLDER / "node_modules" / "@socket.io" / "admin-ui"
UI = PACKAGE / "ui" / "dist"
ACTIONS = {"EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT"}


def admin_url(pod: Gateway) -> str:
    return f"http://{HOST}:{pod.metrics_port}"


@asynccontextmanager
async def pods_with_console(
    valkey: Valkey, gateway: StartGateway, mode: str
) -> AsyncIterator[Pods]:
    on: dict[str, Any] = {
        "CONSTELLATION_CONSOLE": mode,
        "CONSTELLATION_METRICS_PORT": 0,
        "CONSTELLATION_CONSOLE_KEY": KEY,
        "CONSTELLATION_REDIS_PREFIX": f"admin-{mode}",
    }
    async with gateway(valkey.url, **on) as a, gateway(valkey.url, **on) as b:
        yield Pods(a, b)
        for pod in (a, b):
            assert await pod.terminate() == 0
            assert pod.stray_lines() == []


def attach(js: JsClients, pod: Gateway, password: str = KEY) -> JsClient:
    """Connect as the UI does: with polling, an upgrade, and credentials of its form."""
    auth = {"username": "operator", "password": password}
    url = f"{admin_url(pod)}/admin"
    return js.open(url, transports=UPGRADING, auth=auth, withCredentials=True, reconnection=False)


async def sent(client: JsClient, event: str, *texts: str) -> Received:
    """Wait for an event of the server in whose packet all these texts are."""

    def found() -> list[Received]:
        return [
            one
            for one in client.received
            if one.event == event and all(text in one.text for text in texts)
        ]

    await client.until(found, f"{event} with {texts}")
    return found()[-1]


async def test_the_admin_ui_sees_all_pods_and_acts_on_each(
    valkey: Valkey, gateway: StartGateway, js: JsClients
) -> None:
    async with pods_with_console(valkey, gateway, "write") as pods:
        bob = await js.connect(pods.b.chats_url, user="bob")
        admin = attach(js, pods.a)
        config = await sent(admin, "config")
        assert set(config.payload["supportedFeatures"]) >= ACTIONS
        (socket,) = (await sent(admin, "all_sockets")).payload
        assert (socket["id"], socket["nsp"], socket["transport"]) == (bob.id, "/chats", "websocket")
        assert (socket["data"], socket["rooms"]) == ({"userId": "bob"}, [bob.id, "user:bob"])
        assert (socket["handshake"]["headers"], socket["handshake"]["query"]) == ({}, {})
        for pod in pods:
            stats = (await sent(admin, "server_stats", f'"pid":{pod.pid},')).payload
            assert stats["namespaces"] == [{"name": "/chats", "socketsCount": int(pod is pods.b)}]
        await admin.on_websocket()

        ann = await js.connect(pods.a.chats_url, user="ann")
        await sent(admin, "socket_connected", ann.id)
        await bob.join("1")
        await sent(admin, "room_joined", '"chat:1"', bob.id)
        ann.close()
        await sent(admin, "socket_disconnected", ann.id)

        assert await admin.ask("join", "/chats", "chat:2", bob.id) == {"success": True}
        assert await admin.ask("emit", "/chats", "chat:2", "hello", {"n": 1}) == {"success": True}
        assert (await bob.event("hello")).payload == {"n": 1}
        assert await admin.ask("leave", "/chats", "chat:1") == {"success": True}
        await sent(admin, "room_left", '"chat:1"', bob.id)
        refused = await admin.ask("_disconnect", "/chats", False)
        assert refused["error"]["code"] == "invalid_request", "nobody disconnects everybody"
        assert bob.connected
        assert await admin.ask("_disconnect", "/chats", False, bob.id) == {"success": True}
        assert await bob.lost() == "io server disconnect"
        await sent(admin, "socket_disconnected", bob.id)


async def test_the_admin_ui_may_only_look_where_the_console_may_and_only_with_its_key(
    valkey: Valkey, gateway: StartGateway, js: JsClients
) -> None:
    async with pods_with_console(valkey, gateway, "read") as pods:
        for password in ("", "no key of ours at all"):
            refusal = await attach(js, pods.a, password).refused()
            assert refusal.message == "invalid credentials", "what the UI looks for"
        public = js.open(f"{pods.a.http_url}/admin", auth={"password": KEY})
        assert (await public.refused()).code == "invalid_namespace"

        bob = await js.connect(pods.b.chats_url, user="bob")
        admin = attach(js, pods.a)
        config = await sent(admin, "config")
        assert set(config.payload["supportedFeatures"]).isdisjoint(ACTIONS)
        await sent(admin, "all_sockets", bob.id)
        refused = await admin.ask("_disconnect", "/chats", False, bob.id)
        assert refused["error"]["code"] == "forbidden"
        assert bob.connected


async def test_the_admin_ui_is_not_served_where_a_proxy_is_trusted(
    valkey: Valkey, gateway: StartGateway
) -> None:
    on: dict[str, Any] = {
        "CONSTELLATION_CONSOLE": "write",
        "CONSTELLATION_METRICS_PORT": 0,
        "CONSTELLATION_CONSOLE_ACCESS": "proxy",
    }
    polling = "/socket.io/?EIO=4&transport=polling"
    async with gateway(valkey.url, **on) as pod, aiohttp.ClientSession() as http:
        async with http.get(f"{admin_url(pod)}{polling}") as answer:
            assert answer.status == 404
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(f"{admin_url(pod)}/socket.io/?EIO=4&transport=websocket")


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
async def test_the_admin_ui_itself_signs_in_and_shows_and_disconnects_a_client(
    valkey: Valkey, gateway: StartGateway, js: JsClients, tmp_path: Path
) -> None:
    version = json.loads((PACKAGE / "package.json").read_text())["version"]
    printed = (REPOSITORY / "docs" / "console.md").read_text()
    assert f"npm install @socket.io/admin-ui@{version}\n" in printed

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(UI / (request.match_info["path"] or "index.html"))

    async with (
        pods_with_console(valkey, gateway, "write") as pods,
        http_site(answer) as site,
        browser_page(tmp_path) as page,
    ):
        bob = await js.connect(pods.b.chats_url, user="bob")
        await page.open(f"{site.root}/")
        await page.shows("Server URL", "form")
        for password in ("no key of ours at all", KEY):
            for number, text in enumerate([admin_url(pods.a), "operator", password]):
                await page.ask(f"document.querySelectorAll('form input')[{number}].select()")
                await page.command("Input.insertText", text=text)
            await page.press_enter()
            if password != KEY:
                await page.shows("Invalid credentials", "form")
        await page.shows("WebSocket", ".v-main")
        await page.ask("location.hash = '#/servers/'")
        for pod in pods:
            await page.shows(str(pod.pid), ".v-main")
        await page.ask("location.hash = '#/sockets/'")
        await page.shows(bob.id, ".v-main tbody")
        await page.shows("127.0.0.1", ".v-main tbody")
        await page.click(".v-main tbody button")
        assert await bob.lost() == "io server disconnect"
        # Its page loads a font and icons from elsewhere.
        assert [one for one in page.faults if "ERR_NAME_NOT_RESOLVED" not in one] == []
