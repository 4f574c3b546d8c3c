"""The page and the console in a real browser, with whole gateways behind them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio
from redis.asyncio import Redis

from tests.chromium import CHROMIUM, MISSING, Page, browser_page
from tests.journey.conftest import StartGateway
from tests.processes import HOST, Valkey
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = [
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(CHROMIUM is None, reason=MISSING),
]

KEY = "a-key-of-operators"
LOCAL: dict[str, Any] = {"CONSTELLATION_CONSOLE": "local", "CONSTELLATION_WS_HOST": HOST}
"""The console of a gateway on this machine, without a key."""
HOSTILE = '"><img src=x onerror=document.title="broken">\'</script>'
"""What somebody may be called who does not wish the operators well."""
OURS = {"X-Constellation-Console": "1"}


async def faults_of(page: Page) -> list[str]:
    """What went wrong in the page: errors, and markup that came from a name."""
    injected = await page.ask("document.querySelectorAll('img[src=x]').length")
    title = await page.ask("document.title")
    found = [f"{injected} injected"] if injected else []
    return [*page.faults, *found, *(["title"] if "broken" in title else [])]


@asynccontextmanager
async def connected(url: str, user: str) -> AsyncIterator[None]:
    """A user with a socket."""
    async with socketio.AsyncSimpleClient() as client:
        await client.connect(
            url, auth={"userId": user}, namespace="/chats", transports=["websocket"]
        )
        yield


async def test_the_page_is_connected_when_it_opens_and_shows_what_it_publishes(
    valkey: Valkey, gateway: StartGateway, tmp_path: Path
) -> None:
    async with gateway(valkey.url, **LOCAL) as pod, browser_page(tmp_path) as page:
        await page.open(f"{pod.http_url}/")
        await page.shows("connected", "#state")
        await page.shows("Joined: c-1")
        await page.fill("#field-text", HOSTILE)
        await page.click("#send-button")
        await page.shows("in the log as", "#answer")
        await page.shows("onerror", "#list .name + .data")
        await page.shows(" ms", "#list .pill")

        await page.click("#cut")
        await page.shows("recovered: true", "#list")

        await page.ask("document.querySelector('#send-tabs [data-key=request]').click()")
        await page.click("#send-button")
        await page.shows('"success":true', "#answer")
        await page.ask("document.querySelector('#code-tabs [data-key=python]').click()")
        await page.shows("redis.Redis.from_url", "#code")
        assert await faults_of(page) == []

        await page.open(f"{pod.http_url}/console/")
        await page.shows("1 of 1", ".figures")
        assert await faults_of(page) == []
        async with aiohttp.ClientSession() as http:
            publish = f"{pod.http_url}/console/api/publish"
            event = {"channel": "chat:new", "data": {"userId": "you"}}
            foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
            for headers in ({}, OURS | foreign, OURS | {"Host": "evil.example"}):
                async with http.post(publish, json=event, headers=headers) as answer:
                    assert answer.status in {403, 404}


FLOOD_PER_SECOND = 1_000
MOST_ROWS = 300


@asynccontextmanager
async def flood(valkey: Valkey, user: str) -> AsyncIterator[None]:
    """Publish as many events a second, evenly, as long as this is held."""
    event = json.dumps({"chatId": "c-9", "recipientId": user, "text": "flood"})
    is_over, loop = asyncio.Event(), asyncio.get_running_loop()

    async def publish() -> None:
        sent, began = 0, loop.time()
        async with Redis.from_url(valkey.url) as redis:
            while not is_over.is_set():
                due = int((loop.time() - began) * FLOOD_PER_SECOND) - sent
                async with redis.pipeline(transaction=False) as pipe:
                    for _ in range(due):
                        pipe.publish("chat:newMessage", event)
                    await pipe.execute()
                sent += due
                await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publish())
        try:
            yield
        finally:
            is_over.set()


async def test_events_are_sampled_in_a_flood_and_the_page_goes_on_to_react(
    valkey: Valkey, gateway: StartGateway, tmp_path: Path
) -> None:
    local = {**LOCAL, "CONSTELLATION_REDIS_PREFIX": "console-flood"}
    async with gateway(valkey.url, **local) as pod, browser_page(tmp_path) as page:
        await page.open(f"{pod.http_url}/console/#/events")
        await page.shows("Waiting for events.")
        async with connected(pod.http_url, "bob"), flood(valkey, "bob"):
            await page.shows(", a sample of ", "#main .rate")
            rows = await page.ask("document.querySelectorAll('.events tbody tr').length")
            await page.click("#nav [data-view=users]")
            await page.shows("bob", ".pick")
        assert 0 < rows <= MOST_ROWS
        assert await faults_of(page) == []


REFRESHES = "performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/bob'))"
WATCH_WHAT_IS_ANNOUNCED = """
window.announced = [];
for (const one of document.querySelectorAll("[role=status]"))
  new MutationObserver(() => announced.push(one.textContent))
    .observe(one, { childList: true, characterData: true, subtree: true });
"""


async def test_the_console_is_used_by_keyboard_and_heard_without_being_seen(
    valkey: Valkey, gateway: StartGateway, tmp_path: Path
) -> None:
    local = {**LOCAL, "CONSTELLATION_REDIS_PREFIX": "console-keyboard"}
    async with gateway(valkey.url, **local) as pod, browser_page(tmp_path) as page:
        async with connected(pod.http_url, "bob"):
            await page.open(f"{pod.http_url}/console/#/users/bob")
            await page.shows("online, 1 socket", "#main [role=status]")
            await page.shows("live", "#state")
            await page.click("#skip")
            assert await page.ask("document.activeElement.id") == "main"
            assert await page.ask("location.hash") == "#/users/bob"

            await page.ask("document.querySelector('.rooms a').focus()")
            await page.ask(WATCH_WHAT_IS_ANNOUNCED)
            seen = await page.ask(f"{REFRESHES}.length")
            await eventually(
                lambda: page.ask(f"{REFRESHES}.length >= {seen + 2}"), PATIENCE_SECONDS, "asked"
            )
            assert await page.ask("document.activeElement.textContent") == "user:bob"
            assert await page.ask("window.announced") == [], "nothing has changed"
        await page.shows("offline", "#main [role=status]")
        assert "offline" in await page.ask("window.announced")
        assert await faults_of(page) == []


async def test_the_console_shows_a_deployment_to_whoever_has_its_key(
    valkey: Valkey, gateway: StartGateway, tmp_path: Path
) -> None:
    on: dict[str, Any] = {
        "CONSTELLATION_CONSOLE": "read",
        "CONSTELLATION_METRICS_PORT": 0,
        "CONSTELLATION_CONSOLE_KEY": KEY,
        "CONSTELLATION_REDIS_PREFIX": "console-test",
    }
    async with gateway(valkey.url, **on) as pod, browser_page(tmp_path) as page:
        console = f"http://{HOST}:{pod.metrics_port}"
        async with connected(pod.http_url, HOSTILE):
            await page.open(f"{console}/")
            await page.shows("Sign in to the console", "dialog[open]")
            await page.fill("#key", "no key of ours at all")
            await page.press_enter()
            await page.shows("not the console's key", "dialog[open]")
            await page.fill("#key", KEY)
            await page.press_enter()
            await page.shows("1 of 1", ".figures")
            await page.shows("live", "#freshness")
            await page.shows("read only", "#mode")
            assert await page.ask("document.querySelector('#to-publish').hidden")

            await page.ask("location.hash = '#/users'")
            await page.shows(HOSTILE, ".pick")
            await page.click(".pick a")
            await page.shows("websocket", ".two table")
            await page.shows("127.0.0.1", ".two table")
            await page.ask("location.hash = '#/events'")
            await page.shows("Waiting for events", "table")
            secret = {"recipientId": HOSTILE, "text": "very private"}
            async with Redis.from_url(valkey.url) as redis:
                await redis.publish("chat:newMessage", json.dumps(secret))
            await page.shows("delivered", "table.events")
            assert "very private" not in await page.ask("document.body.innerText")
            await page.ask(
                f"location.hash = '#/rooms/' + encodeURIComponent({json.dumps(HOSTILE)})"
            )
            await page.shows("Nobody is in this room", ".two")
        expected = "401 (Unauthorized)"  # what a browser logs for the wrong key
        assert [one for one in await faults_of(page) if expected not in one] == []

        async with aiohttp.ClientSession(headers=OURS | {"Authorization": f"Bearer {KEY}"}) as http:
            event = {"channel": "chat:new", "data": {"userId": "bob"}}
            async with http.post(f"{console}/console/api/publish", json=event) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (403, "forbidden")
            kick = f"{console}/console/api/users/bob/connections"
            async with http.delete(kick) as answer:
                assert answer.status == 403
            async with http.get(f"{console}/metrics") as answer:
                assert "constellation_events" in await answer.text()
