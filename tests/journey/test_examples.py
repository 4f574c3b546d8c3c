"""The examples chat and orders in Chromium: two windows, a network cut, a roll; nothing lost."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.browsing import Browser, Tab, needs_chromium
from tests.forwarder import Forwarder, forwarder
from tests.journey.conftest import StartGateway
from tests.processes import HOST, REPOSITORY, Gateway, node_executable, running_valkey, unused_port
from tests.tokens import SECRET
from tests.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]

EXAMPLES = REPOSITORY / "examples"
KEY = "a key of the tests that is 32 characters long"
QUICK = {
    "CONSTELLATION_PING_INTERVAL_SECONDS": 1,
    "CONSTELLATION_PING_TIMEOUT_SECONDS": 1,
    "CONSTELLATION_DRAIN_DELAY_SECONDS": 0,
    "CONSTELLATION_DRAIN_WINDOW_SECONDS": 0,
}


@asynccontextmanager
async def service(folder: str, port: int, **environment: str) -> AsyncIterator[str]:
    """The service of an example, as `tools.example` starts it; gives the address of its page."""
    process = await asyncio.create_subprocess_exec(
        *(node_executable(), "--import", "tsx", "main.ts"),
        cwd=EXAMPLES / folder,
        env=os.environ | environment | {"PORT": str(port)},
        stdout=PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(3 * PATIENCE_SECONDS):
            assert await process.stdout.readline() == b"listening\n"
        yield f"http://{HOST}:{port}"
    finally:
        process.kill()
        await process.wait()


async def post(url: str, body: object) -> Any:
    async with aiohttp.request("POST", url, json=body) as answer:
        assert answer.ok, await answer.text()
        return await answer.json()


async def roll(wire: Forwarder, old: Gateway, new: Gateway) -> None:
    """Replace the gateway: new connections go to the new pod, and the old one drains."""
    wire.target = new.ws_port
    assert await old.terminate() == 0


async def join(tab: Tab, page: str, user: str) -> None:
    await tab.open(page)
    await tab.call("fill", "input[name=user]", user)
    await tab.call("click", "#login button")
    await tab.shows("#state", "connected")


async def write(tab: Tab, text: str) -> None:
    await tab.call("fill", "input[name=text]", text)
    await tab.call("click", "#write button")


async def all_show(tabs: list[Tab], *messages: str) -> None:
    for tab in tabs:
        await tab.shows("#messages li", *messages)


@needs_chromium
async def test_the_chat_loses_nothing_in_a_cut_and_a_roll(
    gateway: StartGateway, browser: Browser
) -> None:
    settings = {**QUICK, "CONSTELLATION_AUTH_MODE": "jwt", "CONSTELLATION_JWT_SECRET": SECRET}
    with running_valkey() as valkey:
        async with (
            gateway(valkey.url, **settings) as old,
            gateway(valkey.url, **settings) as new,
            forwarder(old.ws_port) as wire,
            service(
                "chat/api",
                unused_port(),
                REDIS_URL=valkey.url,
                JWT_SECRET=SECRET,
                GATEWAY_URL=f"http://{HOST}:{wire.port}",
                GATEWAY_TCP=f"{HOST}:{new.tcp_port}",
            ) as page,
        ):
            alice, bob = tabs = [browser.tab("alice"), browser.tab("bob")]
            await join(alice, page, "alice")
            await write(alice, "before bob")
            await join(bob, page, "bob")
            await write(bob, "hello")
            await all_show(tabs, "alicebefore bob", "bobhello")
            async with aiohttp.request("GET", f"{page}/api/users/bob") as answer:
                assert await answer.json() == {"userId": "bob", "online": True}

            wire.cut()
            for tab in tabs:
                await tab.shows("#state", "reconnecting")
            await write(alice, "in the tunnel")
            wire.mend()
            for tab in tabs:
                await tab.shows("#state", "connected, nothing was missed")
            said = ["alicebefore bob", "bobhello", "alicein the tunnel"]
            await all_show(tabs, *said)

            await asyncio.gather(roll(wire, old, new), write(bob, "meanwhile"))
            await write(alice, "afterwards")
            await all_show(tabs, *said, "bobmeanwhile", "aliceafterwards")
            assert [await tab.call("faults") for tab in tabs] == [[], []]


def orders_settings(folder: Path, shop: int, billing: int) -> dict[str, Any]:
    """The gateway's, with the table of the example; only the ports of its backends differ."""
    table = (EXAMPLES / "orders" / "interface.toml").read_text("utf-8")
    assert table.count(":4000") == table.count(":4001") == 1
    own = folder / "interface.toml"
    own.write_text(table.replace(":4000", f":{shop}").replace(":4001", f":{billing}"), "utf-8")
    return {**QUICK, "CONSTELLATION_INTERFACE_FILE": str(own), "BILLING_KEY": KEY}


@needs_chromium
async def test_the_orders_lose_nothing_in_a_cut_and_a_roll(
    gateway: StartGateway, browser: Browser, tmp_path: Path
) -> None:
    shop, billing = unused_port(), unused_port()
    settings = orders_settings(tmp_path, shop, billing)
    with running_valkey() as valkey:
        async with (
            gateway(valkey.url, **settings) as old,
            gateway(valkey.url, **settings) as new,
            forwarder(old.ws_port) as wire,
            service(
                "orders/shop",
                billing,
                REDIS_URL=valkey.url,
                BILLING_KEY=KEY,
                TCP_PORT=str(shop),
                GATEWAY_URL=f"http://{HOST}:{wire.port}",
            ) as page,
        ):
            eve, dan = tabs = [browser.tab("eve"), browser.tab("dan")]
            for tab in tabs:
                await tab.open(page)
                await tab.call("fill", "input[name=user]", tab.name)
                await tab.call("click", "#order button")
                await tab.call("waitForSelector", "#pay:not([hidden])")
                await tab.shows("#statuses li", "placed")
            order = await eve.call("evaluate", "document.body.dataset.order")
            await eve.call("click", "#pay")
            await eve.shows("#statuses li", "placed", "paid")
            await eve.call("click", "#move")
            await eve.shows("#courier", "The courier is at 52.5, 13.4.")

            wire.cut()
            await eve.shows("#state", "reconnecting")
            await post(f"{page}/orders/{order}/status", {"status": "in the oven"})
            await post(f"{page}/shops/s-1", {"isOpen": True})
            wire.mend()
            await eve.shows("#state", "connected")
            await eve.shows("#statuses li", "placed", "paid", "in the oven")

            sent = post(f"{page}/orders/{order}/status", {"status": "on its way"})
            await asyncio.gather(roll(wire, old, new), sent)
            await post(f"{page}/orders/{order}/status", {"status": "delivered"})
            await eve.shows(
                "#statuses li", "placed", "paid", "in the oven", "on its way", "delivered"
            )
            await dan.shows("#statuses li", "placed")
            for tab in tabs:
                await tab.shows("#shop", "open")
            assert [await tab.call("faults") for tab in tabs] == [[], []]


async def test_one_command_starts_an_example_and_ends_all_of_it(tmp_path: Path) -> None:
    ports = {name: str(unused_port()) for name in ("WS_PORT", "TCP_PORT", "REDIS_PORT")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.example", "chat"),
        cwd=REPOSITORY,
        env=os.environ | ports,
        stdout=PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    async with asyncio.timeout(4 * PATIENCE_SECONDS):
        page = ""
        while not page.startswith("http://"):
            page = (await process.stdout.readline()).decode().strip()
        async with aiohttp.request("GET", page) as answer:
            assert "<title>Chat</title>" in await answer.text()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    with pytest.raises(aiohttp.ClientConnectionError):
        async with aiohttp.request("GET", f"http://{HOST}:{ports['WS_PORT']}/livez"):
            pass
