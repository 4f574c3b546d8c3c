"""HTTP servers as children of the process: a listening socket each, and uvicorn on it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from service.nest_tcp import PortUnavailable


class HttpServer(uvicorn.Server):
    """uvicorn on a socket that is held already; the signals are ours."""

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        connections: set[Any] | None = None,
    ) -> None:
        """`connections` is where its open ones can be found, WebSockets excepted."""
        super().__init__(config)
        if connections is not None:
            self.server_state.connections = connections
        self._listener = listener
        self._is_listening = asyncio.Event()

    @property
    def port(self) -> int:
        """Where it is reached, also where the system chose."""
        return int(self._listener.getsockname()[1])

    async def run_on_socket(self) -> None:
        """Serve until `should_exit` is set."""
        await self.serve(sockets=[self._listener])

    async def listening(self) -> None:
        """Wait until it takes requests."""
        await self._is_listening.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._is_listening.set()


@contextlib.contextmanager
def listen(host: str, port: int, variable: str) -> Iterator[socket.socket]:
    """Hold the listening socket, so that a taken port is one clear line and not uvicorn's exit.

    Raises PortUnavailable, which names the port's environment variable.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            reason = error.strerror or error
            sentence = (
                f"Cannot listen on {host}:{port} (CONSTELLATION_WS_HOST, {variable}): {reason}."
            )
            raise PortUnavailable(sentence) from error
        yield listener
