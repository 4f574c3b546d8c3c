"""HTTP servers as children of the process: uvicorn on sockets that are open already."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

_ACCEPTED_PER_TURN = 4
"""libuv accepts one connection of each descriptor that listens in a turn of the event loop. While
turns take 2 ms that is 500 a second, and behind a flood of connections probes waited for seconds:
so each socket has several descriptors."""


class HttpServer(uvicorn.Server):
    """uvicorn on sockets that are open already, without its signal handlers."""

    def __init__(
        self,
        config: uvicorn.Config,
        listeners: list[socket.socket],
        connections: set[Any],
    ) -> None:
        """`connections` is where uvicorn keeps the open ones, except WebSockets."""
        super().__init__(config)
        self.server_state.connections = connections
        self._listeners = listeners
        self._is_listening = asyncio.Event()

    @property
    def port(self) -> int:
        """The port, also if the system selected it."""
        return int(self._listeners[0].getsockname()[1])

    async def run_on_sockets(self) -> None:
        """Serve until `stop`."""
        with contextlib.ExitStack() as held:
            again = [
                held.enter_context(one.dup())
                for one in self._listeners
                for _ in range(_ACCEPTED_PER_TURN - 1)
            ]
            await self.serve(sockets=[*self._listeners, *again])

    def stop(self, *, at_once: bool) -> None:
        """Accept nobody new, and close; `at_once` does not wait for open requests."""
        self.should_exit = True
        self.force_exit = at_once

    async def listening(self) -> None:
        """Wait until it accepts requests."""
        await self._is_listening.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._is_listening.set()
