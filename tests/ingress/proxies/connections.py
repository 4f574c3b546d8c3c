"""A balancer of connections, as a Service's: what is sent on them is nothing to it.

kube-proxy leads each new connection to some pod, and leaves those alone that are open. Here it is
the next in turn, so that nobody is lucky.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.processes import HOST, unused_port

_BACKLOG = 4096


class Connections:
    """A TCP port in front of the pods, in this process."""

    def __init__(self) -> None:
        self.port = unused_port()
        self._pod_ports: list[int] = []
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._ends: set[_End] = set()
        self._dials: set[asyncio.Task[None]] = set()

    async def route_to(self, pod_ports: Sequence[int]) -> None:
        self._pod_ports = list(pod_ports)
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: _End(self), HOST, self.port, backlog=_BACKLOG
            )

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._dials:
            task.cancel()
        for end in self._ends:
            end.abort()

    @property
    def open_count(self) -> int:
        """Ends of connections that are open: two of each."""
        return len(self._ends)

    def accepted(self, client: _End) -> None:
        """Lead a new connection to the next pod."""
        self._turn += 1
        port = self._pod_ports[self._turn % len(self._pod_ports)]
        task = asyncio.get_running_loop().create_task(self._dial(client, port))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _dial(self, client: _End, port: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, pod = await loop.create_connection(lambda: _End(self, client), HOST, port)
        except OSError:
            client.abort()  # nobody listens there: kube-proxy does not try another one
            return
        client.join(pod)

    def opened(self, end: _End) -> None:
        self._ends.add(end)

    def closed(self, end: _End) -> None:
        self._ends.discard(end)


class _End(asyncio.Protocol):
    """One end of a connection that is carried; what it receives goes to the other end."""

    def __init__(self, owner: Connections, other: _End | None = None) -> None:
        self._owner = owner
        self._other = other
        self._is_pod = other is not None
        self._has_ended = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._owner.opened(self)
        if not self._is_pod:
            transport.pause_reading()  # until there is a pod
            self._owner.accepted(self)

    def join(self, other: _End) -> None:
        """Carry bytes from now on."""
        self._other = other
        if self._transport is None or self._transport.is_closing():
            other.abort()
        else:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._other is not None and self._other._transport is not None:
            self._other._transport.write(data)

    def eof_received(self) -> bool:
        """Pass an end on. The other direction may go on; where it has ended too, all is closed."""
        self._has_ended = True
        if self._other is None:
            return False
        if self._other._transport is not None and not self._other._transport.is_closing():
            self._other._transport.write_eof()
        return not self._other._has_ended

    def pause_writing(self) -> None:
        self._set_reading(self._other, False)

    def resume_writing(self) -> None:
        self._set_reading(self._other, True)

    @staticmethod
    def _set_reading(end: _End | None, is_reading: bool) -> None:
        if end is None or end._transport is None or end._transport.is_closing():
            return
        if is_reading:
            end._transport.resume_reading()
        else:
            end._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.closed(self)
        self._transport = None
        if self._other is not None:
            self._other.leave(exc is not None)

    def leave(self, is_reset: bool) -> None:
        """Follow the other end: a reset as a reset, an end as an end."""
        if self._transport is not None:
            if is_reset:
                self._transport.abort()
            else:
                self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
