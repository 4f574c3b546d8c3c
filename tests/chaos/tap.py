"""Between the gateways and Redis, or between nodes of Redis: connections of one kind can be held.

Lives here: moving bytes, and knowing a connection's kind by what is sent on it. A connection that
is held is a black hole: it stays open, takes what it is given, and carries nothing either way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.chaos.wire import reset
from tests.processes import HOST

Classify = Callable[[bytes], str | None]
"""Names the kind of a connection by something that its client sent; None where it cannot."""


class _Side(asyncio.Protocol):
    """One side of a connection; what it reads goes to the other one."""

    def __init__(self, carried: _Carried) -> None:
        self._carried = carried
        self.transport: asyncio.Transport | None = None
        self.kept: list[bytes] = []
        """Read and not passed on: nobody is there yet, or the connection is held."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._carried.opened(self)

    def data_received(self, data: bytes) -> None:
        self._carried.read(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._carried.closed(self)


class _Carried:
    """One connection from a client to the target."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self.kind: str | None = None
        self.is_held = False
        self.client = _Side(self)
        self.server = _Side(self)

    def opened(self, side: _Side) -> None:
        if side is self.client:
            self._tap.carried.add(self)
            self._tap.dial(self)
        elif not self.is_held:
            self.release()

    def read(self, side: _Side, data: bytes) -> None:
        if side is self.client and self.kind is None:
            self.kind = self._tap.classify(data)
            self.is_held = self.is_held or self.kind in self._tap.held_kinds
        other = self._other(side)
        if self.is_held or other.transport is None:
            side.kept.append(data)
        else:
            other.transport.write(data)

    def closed(self, side: _Side) -> None:
        other = self._other(side)
        if self.is_held:
            return  # a black hole passes no end on either
        self._tap.carried.discard(self)
        if other.transport is not None:
            other.transport.close()

    def release(self) -> None:
        """Carry on, first with what was kept."""
        self.is_held = False
        for side in (self.client, self.server):
            other = self._other(side)
            if other.transport is not None:
                other.transport.writelines(side.kept)
                side.kept = []
        for side in (self.client, self.server):
            if side.transport is not None and side.transport.is_closing():
                self.closed(side)

    def cut(self) -> None:
        """Reset both sides."""
        self.is_held = False
        self._tap.carried.discard(self)
        for side in (self.client, self.server):
            if side.transport is not None:
                reset_if_open(side.transport)

    def _other(self, side: _Side) -> _Side:
        return self.server if side is self.client else self.client


def reset_if_open(transport: asyncio.Transport) -> None:
    """Reset a connection that may be closed already."""
    if not transport.is_closing():
        reset(transport)


class Tap:
    """Carries connections to one port of this machine."""

    def __init__(self, target: int, classify: Classify) -> None:
        self.target = target
        self.classify = classify
        self.port = 0
        self.carried: set[_Carried] = set()
        self.held_kinds: set[str] = set()
        """New connections of these kinds are held too."""
        self._dials: set[asyncio.Task[None]] = set()

    def dial(self, carried: _Carried) -> None:
        """Connect to the target for a client that has just connected."""
        task = asyncio.get_running_loop().create_task(self._dial(carried))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _dial(self, carried: _Carried) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: carried.server, HOST, self.target)
        except OSError:
            carried.cut()

    def hold(self, kind: str | None = None) -> int:
        """Hold all connections of a kind, or all there are; say how many."""
        chosen = [one for one in self.carried if kind is None or one.kind == kind]
        for one in chosen:
            one.is_held = True
        return len(chosen)

    def release(self) -> None:
        """Let what is held carry on, with what it has kept."""
        for one in [one for one in self.carried if one.is_held]:
            one.release()

    def cut(self, *, held: bool = False) -> None:
        """Reset all connections, or only those that are held."""
        for one in list(self.carried):
            if one.is_held or not held:
                one.cut()


@asynccontextmanager
async def tap(target: int, classify: Classify, port: int = 0) -> AsyncIterator[Tap]:
    """A tap that listens on a port of this machine, a free one where none is given."""
    tapping = Tap(target, classify)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Carried(tapping).client, HOST, port, backlog=1024)
    tapping.port = server.sockets[0].getsockname()[1]
    try:
        yield tapping
    finally:
        server.close()
        tapping.cut()
        await server.wait_closed()
