"""Chromium with default options behind a round-robin proxy, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web

from tests.chaos.clients import Client, Kind
from tests.chaos.crowd import Record
from tests.ingress.flow import flowing
from tests.ingress.proxies.caddy import Caddy
from tests.ingress.verdict import Bounds, report
from tests.processes import HOST, REPOSITORY, START_SECONDS, Gateway, Valkey
from tests.waiting import PATIENCE_SECONDS

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(
        CHROMIUM is None, reason="there is no Chromium on this machine: apt-get install chromium"
    ),
]

POD_COUNT = 3
CLIENTS = 8
EVENTS_PER_SECOND = 100
EVENTS_AFTERWARDS = 200
ROOM = "browser-room"
DEFAULT = Kind("upgrading", has_offsets=True)
_FOLDER = Path(__file__).parent
_CLIENT = REPOSITORY / "tests" / "js" / "node_modules" / "socket.io-client" / "dist"
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--ignore-certificate-errors",
)


class Page:
    """The page, and what it reports."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.is_ready = asyncio.Event()
        """Set once all of its clients have joined their room."""
        self.last: asyncio.Future[int] = loop.create_future()
        """The number of the last event, once it is known."""
        self.seen: asyncio.Future[dict[str, Any]] = loop.create_future()

    async def give_last(self, _: web.Request) -> web.Response:
        self.is_ready.set()
        return web.Response(text=str(await self.last))

    async def take_report(self, request: web.Request) -> web.Response:
        self.seen.set_result(json.loads(await request.text()))
        return web.Response()


@asynccontextmanager
async def served(page: Page) -> AsyncIterator[str]:
    """The page at an address of its own, as a site has it whose gateway is elsewhere."""
    app = web.Application(client_max_size=1 << 26)
    app.router.add_get("/last", page.give_last)
    app.router.add_post("/report", page.take_report)
    app.router.add_get("/", partial(_give_file, _FOLDER / "page.html"))
    app.router.add_get("/socket.io.js", partial(_give_file, _CLIENT / "socket.io.js"))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        yield f"http://{HOST}:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def _give_file(path: Path, _: web.Request) -> web.FileResponse:
    return web.FileResponse(path)


@contextmanager
def browsing(address: str, folder: Path) -> Iterator[None]:
    """Chromium at an address."""
    assert CHROMIUM is not None, "else skipped"
    with (folder / "chromium.log").open("wb") as log:
        browser = subprocess.Popen(
            [CHROMIUM, *_FLAGS, f"--user-data-dir={folder / 'profile'}", address],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        browser.kill()
        browser.wait()


@pytest.mark.parametrize(
    ("has_tls", "protocol"), [(False, "http/1.1"), (True, "h2")], ids=["HTTP/1.1", "HTTP/2"]
)
async def test_a_browser_connects_upgrades_and_receives(
    pods: list[Gateway], valkey: Valkey, tmp_path: Path, has_tls: bool, protocol: str
) -> None:
    folder = tmp_path / "caddy"
    folder.mkdir()
    proxy = Caddy(folder, has_tls=has_tls)
    users = [f"browser-{number}" for number in range(CLIENTS)]
    try:
        await proxy.route_to([pod.ws_port for pod in pods])
        page = Page()
        async with (
            served(page) as address,
            flowing(valkey.port, users, [ROOM], EVENTS_PER_SECOND) as flow,
        ):
            asked = urlencode({"url": proxy.url, "clients": CLIENTS, "room": ROOM})
            with browsing(f"{address}?{asked}", tmp_path):
                async with asyncio.timeout(START_SECONDS):
                    await page.is_ready.wait()
                await flow.goes_on(EVENTS_AFTERWARDS)
                page.last.set_result(await flow.last())
                async with asyncio.timeout(PATIENCE_SECONDS):
                    found = await page.seen
            records = [
                Record(
                    Client(one["user"], DEFAULT, one["user"], (ROOM,), proxy.url),
                    one["opened"],
                    one["entries"],
                    one["transports"],
                    one["errors"],
                )
                for one in found["clients"]
            ]
            seen = report(flow.ledger, records, Bounds())
    finally:
        proxy.stop()

    assert seen.faults == []
    assert seen.connected == len(seen.upgrade_seconds) == CLIENTS
    assert protocol in found["protocols"]
