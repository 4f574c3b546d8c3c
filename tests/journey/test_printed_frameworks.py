"""The clients of docs/clients for React, Vue and React Native, in Chromium, as they are printed."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from tests.browsing import Browser, Tab, bundled, needs_chromium
from tests.documentation.pages import blocks_of
from tests.forwarder import Forwarder, forwarder
from tests.journey.conftest import StartGateway
from tests.journey.publishing import Publisher
from tests.processes import HOST, Gateway, running_valkey
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long, needs_chromium]

SHORT = {"CONSTELLATION_PING_INTERVAL_SECONDS": 1, "CONSTELLATION_PING_TIMEOUT_SECONDS": 1}
REACT = """
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { Chat } from './useChat.jsx'
import { socket } from './socket.js'
globalThis.socket = socket
createRoot(document.getElementById('app')).render(<StrictMode><Chat chatId="c-1" /></StrictMode>)
"""
VUE = """
import { createApp } from 'vue'
import Chat from './Chat.vue'
createApp(Chat, { chatId: 'c-1' }).mount('#app')
"""


def printed() -> dict[str, tuple[dict[str, str], str]]:
    """The files of each application, and the one that starts it."""
    (socket,), (hook,) = (
        blocks_of("docs/clients/react.md", "js"),
        blocks_of("docs/clients/react.md", "jsx"),
    )
    vue_socket, composable = blocks_of("docs/clients/vue.md", "js")
    (component,) = blocks_of("docs/clients/vue.md", "html")
    (native,) = blocks_of("docs/clients/react-native.md", "js")
    react = {"socket.js": socket, "useChat.jsx": hook, "main.jsx": REACT}
    vue = {"socket.js": vue_socket, "useChat.js": composable, "Chat.vue": component, "main.js": VUE}
    return {
        "react": (react, "main.jsx"),
        "vue": (vue, "main.js"),
        "react-native": (react | {"socket.js": native}, "main.jsx"),
    }


async def opened(browser: Browser, wire: Forwarder) -> list[Tab]:
    """Each application in a window of its own."""
    applications = printed()
    gateway = f"http://{HOST}:{wire.port}"
    scripts = await asyncio.gather(
        *(bundled(files, entry, gateway) for files, entry in applications.values())
    )
    tabs = [browser.tab(name) for name in applications]
    for tab, script in zip(tabs, scripts, strict=True):
        page = '<!doctype html><meta charset="utf-8"><div id="app"></div>'
        await tab.call("setContent", page)
        await tab.call("addScriptTag", {"content": script})
    return tabs


async def all_show(tabs: list[Tab], state: str, *messages: str) -> None:
    for tab in tabs:
        await tab.shows("p", state)
        await tab.shows("li", *messages)


async def joins(pod: Gateway) -> float:
    return await pod.metric("constellation_client_requests_total", event="join-chat", outcome="ok")


async def test_the_printed_applications_survive_a_network_cut(
    gateway: StartGateway, browser: Browser
) -> None:
    with running_valkey() as valkey:
        async with (
            gateway(valkey.url, **SHORT) as pod,
            forwarder(pod.ws_port) as wire,
            Redis.from_url(valkey.url) as redis,
        ):
            publish = Publisher(redis)

            async def say(text: str) -> None:
                message = {"chatId": "c-1", "recipientId": "-", "messageId": text, "text": text}
                await publish("chat:newMessage", message)

            tabs = await opened(browser, wire)

            async def all_joined() -> bool:
                return await joins(pod) >= len(tabs)

            await eventually(all_joined, PATIENCE_SECONDS, "all have joined")
            await say("before")
            await all_show(tabs, "connected", "before")

            wire.cut()
            await all_show(tabs, "reconnecting", "before")
            await say("during")
            wire.mend()
            await all_show(tabs, "connected", "before", "during")
            await say("after")
            await all_show(tabs, "connected", "before", "during", "after")

            await reconnects_when_the_app_is_active_again(tabs[-1])


async def reconnects_when_the_app_is_active_again(native: Tab) -> None:
    """What React Native calls a change to `active` is a visible page for react-native-web."""
    await native.call("evaluate", "socket.disconnect()")
    await native.shows("p", "reconnecting")
    await native.call("evaluate", "document.dispatchEvent(new Event('visibilitychange'))")
    await native.shows("p", "connected")
