"""The dashboards of the chart as a page: the browser asks Prometheus and draws what it answers.

For where there is no Grafana. What is drawn and how is in `page/`; nothing there is fetched from
elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from tools.observe.panels import dashboards
from tools.observe.prometheus import HOST, RATE_INTERVAL, Prometheus

_FOLDER = Path(__file__).parent / "page"


@dataclass(frozen=True, slots=True)
class Page:
    """Where the page is."""

    url: str


@asynccontextmanager
async def running_page(port: int, prometheus: Prometheus, traces_url: str) -> AsyncIterator[Page]:
    """Hold a server of the page on that port, 0 for any."""
    found = {
        "prometheus": prometheus.url,
        "prometheusPages": prometheus.pages,
        "traces": traces_url,
        "rateInterval": RATE_INTERVAL,
        "dashboards": dashboards(),
    }

    async def index(_: web.Request) -> web.FileResponse:
        return web.FileResponse(_FOLDER / "index.html")

    async def config(_: web.Request) -> web.Response:
        return web.json_response(found)

    app = web.Application()
    app.add_routes([web.get("/", index), web.get("/config.json", config)])
    app.router.add_static("/page/", _FOLDER)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield Page(f"http://{HOST}:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
