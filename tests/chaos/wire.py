"""The network between a group of clients and the load balancer, and what can go wrong with it.

Lives here: moving bytes, and no longer moving them. Nothing is known of what they mean.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.processes import HOST


def reset(transport: asyncio.Transport) -> None:
    """End a connection with a TCP reset."""
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class _End(asyncio.Protocol):
    """One end of a connection that is carried."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.transport: asyncio.Transport | None = None
        self.peer: _End | None = None
        self._early: list[bytes] = []
        self.is_silent = False
        """What is read here goes nowhere, and an end of it is not passed on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._wire.ends.add(self)

    def data_received(self, data: bytes) -> None:
        if self.is_silent:
            return  # what is lost on a dead network is lost: nothing arrives when it works again
        if self.peer is None or self.peer.transport is None:
            self._early.append(data)
        else:
            self.peer.transport.write(data)

    def meet(self, peer: _End) -> None:
        """Carry to `peer` from now on, first what has come already."""
        self.peer, peer.peer = peer, self
        assert peer.transport is not None
        peer.transport.writelines(self._early)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire.ends.discard(self)
        if self.peer is not None and self.peer.transport is not None and not self.is_silent:
            self.peer.transport.close()


class _ClientEnd(_End):
    """The client's end: dials the load balancer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._wire.is_open:
            self._wire.dial(self)
        else:
            assert self.transport is not None
            reset(self.transport)


class Wire:
    """Carries connections to one port of this machine."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._dials: set[asyncio.Task[None]] = set()
        self.port = 0
        self.ends: set[_End] = set()
        self.is_open = True
        """While it is not, new connections are reset: its clients are away."""

    def dial(self, client: _End) -> None:
        """Connect a client's end with the target."""
        task = asyncio.get_running_loop().create_task(self._dial(client))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _dial(self, client: _End) -> None:
        loop = asyncio.get_running_loop()
        assert client.transport is not None
        try:
            _, end = await loop.create_connection(lambda: _End(self), HOST, self._target)
        except OSError:
            client.transport.abort()
            return
        if client.transport.is_closing():
            assert end.transport is not None
            end.transport.abort()
        else:
            client.meet(end)

    def cut(self) -> None:
        """Reset every connection of now, on both sides."""
        for end in list(self.ends):
            assert end.transport is not None
            reset(end.transport)

    def go_silent(self) -> None:
        """Let every connection of now stay open and carry nothing more; new ones work."""
        for end in self.ends:
            end.is_silent = True

    def stall(self) -> None:
        """Read on from the gateway and write nothing more to the client; new connections work.

        A tunnel, a sleeping laptop, a proxy that hangs: the gateway's kernel is told that all is
        well. What was read meanwhile never arrives: cut it at the end.
        """
        for end in self.ends:
            end.is_silent = end.is_silent or not isinstance(end, _ClientEnd)

    def close(self) -> None:
        """Send the clients away: cut what there is, and let nobody in."""
        self.is_open = False
        self.cut()

    def open(self) -> None:
        """Let the clients come back."""
        self.is_open = True


@asynccontextmanager
async def wire(target: int) -> AsyncIterator[Wire]:
    """A wire that listens on a free port of this machine."""
    carrying = Wire(target)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _ClientEnd(carrying), HOST, 0, backlog=1024)
    carrying.port = server.sockets[0].getsockname()[1]
    try:
        yield carrying
    finally:
        server.close()
        carrying.cut()
        await server.wait_closed()
