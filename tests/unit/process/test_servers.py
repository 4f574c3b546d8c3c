"""HTTP servers as children: their sockets are held before they run, and they end when told."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
import uvicorn

from constellation_ws.observability.probes import Health, create_app
from constellation_ws.process.servers import HttpServer
from constellation_ws.runtime.listening import listen
from tests.waiting import PATIENCE_SECONDS

HOST = "127.0.0.1"


@pytest.mark.parametrize("host", [HOST, "::1", "localhost", "::"])
async def test_it_serves_on_the_socket_until_it_is_told_to_end(host: str) -> None:
    config = uvicorn.Config(create_app(Health(), None), log_config=None, lifespan="off")
    with listen(host, 0, "WS_PORT") as listeners:
        server = HttpServer(config, listeners, set())
        running = asyncio.create_task(server.run_on_sockets())
        async with asyncio.timeout(PATIENCE_SECONDS):
            await server.listening()
            reached = {"::": HOST, "::1": "[::1]"}.get(host, host)
            url = f"http://{reached}:{server.port}/health"
            async with aiohttp.request("GET", url) as answer:
                assert answer.status == 200
            accepted_per_turn = len(server.servers) / len(listeners)
            assert accepted_per_turn == 4
            server.stop(at_once=False)
            await running
