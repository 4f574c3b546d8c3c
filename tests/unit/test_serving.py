"""HTTP servers as children: their sockets are held before they run, and they end when told."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import aiohttp
import pytest
import uvicorn

from service.http import Health, create_app
from service.nest_tcp import PortUnavailable
from service.serving import HttpServer, listen
from tests.waiting import PATIENCE_SECONDS

HOST = "127.0.0.1"


def test_a_port_that_is_taken_is_named_with_its_variable() -> None:
    with closing(socket.create_server((HOST, 0))) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(PortUnavailable) as caught,
            listen(HOST, port, "CONSTELLATION_METRICS_PORT"),
        ):
            raise AssertionError("two cannot have it")
    names = "(CONSTELLATION_WS_HOST, CONSTELLATION_METRICS_PORT)"
    assert str(caught.value).startswith(f"Cannot listen on {HOST}:{port} {names}: ")


def test_a_port_is_free_again_once_it_is_let_go() -> None:
    with listen(HOST, 0, "WS_PORT") as listener:
        port = listener.getsockname()[1]
    with listen(HOST, port, "WS_PORT") as listener:
        assert listener.getsockname()[1] == port


@pytest.mark.parametrize("host", [HOST, "::1"])
async def test_it_serves_on_the_socket_until_it_is_told_to_end(host: str) -> None:
    config = uvicorn.Config(create_app(Health(), None), log_config=None, lifespan="off")
    with listen(host, 0, "WS_PORT") as listener:
        server = HttpServer(config, listener)
        running = asyncio.create_task(server.run_on_socket())
        async with asyncio.timeout(PATIENCE_SECONDS):
            await server.listening()
            url = f"http://{f'[{host}]' if ':' in host else host}:{server.port}/health"
            async with aiohttp.request("GET", url) as answer:
                assert answer.status == 200
            server.should_exit = True
            await running
