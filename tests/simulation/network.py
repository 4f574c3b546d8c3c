"""An in-memory network: connections between hosts, and what can happen to them.

A connection is two pipes. Each brings what is written in order, after its latency; it can be held,
as behind a proxy that stalls, for a while or for good. Without a hold a cut is seen by both ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from tests.simulation.hosts import Host
from tests.simulation.transports import FIN, RST, Pipe, Transport

Latency = Callable[[Host, Host], float]
_LOCAL_SECONDS = (0.0001, 0.0006)
_GAP = 1e-9
"""Between two pieces of one pipe: timers of the same time have no order."""


class Network:
    """Who listens where, and all connections."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, int], tuple[Host, Callable[[], Any]]] = {}
        self._hosts: dict[str, str] = {}
        self._unreachable: set[tuple[str, str]] = set()
        self.connections: list[Connection] = []

    def name(self, name: str, address: str) -> None:
        """Resolve a name to an address from now on."""
        self._hosts[name] = address

    def listen(self, host: Host, factory: Callable[[], Any], port: int) -> Listening:
        """Accept connections at a port of a host."""
        self._listeners[host.address, port] = (host, factory)
        return Listening(self, host, port)

    def listens(self, host: Host, port: int) -> bool:
        """Tell whether this very host accepts connections there."""
        return self._listeners.get((host.address, port), (None,))[0] is host

    def close(self, host: Host, port: int) -> None:
        """Accept no more."""
        if self.listens(host, port):
            del self._listeners[host.address, port]

    async def connect(self, client: Host, factory: Any, name: str, port: int) -> Any:
        """Connect as a kernel does: also to a process that is paused, as long as it listens."""
        address = self._hosts.get(name, name)
        seconds = self._latency(client, address)
        await asyncio.sleep(2 * seconds)
        while (client.address, address) in self._unreachable:  # noqa: ASYNC110 - like a SYN, again
            await asyncio.sleep(1.0)
        found = self._listeners.get((address, port))
        if found is None:
            raise ConnectionRefusedError(111, f"Connect call failed ({address!r}, {port})")
        server, make = found
        connection = Connection(client, server, port, seconds)
        self.connections.append(connection)
        if len(self.connections) > 500:
            self.connections = [one for one in self.connections if not one.is_over]
        connection.client.protocol = protocol = factory()
        server.call_at(client.time() + _GAP, connection.accept, make)
        protocol.connection_made(connection.client)
        return connection.client, protocol

    def _latency(self, client: Host, address: str) -> float:
        least, most = _LOCAL_SECONDS
        if client.name == "clients":
            least, most = 0.002, 0.03
        return client.universe.chance.uniform(least, most)

    # What can go wrong

    def between(self, client: str, server: str = "", port: int = 0) -> list[Connection]:
        """Give the open connections by the names of the hosts, and the port; nothing means any."""
        return [
            one
            for one in self.connections
            if not one.is_over
            and client in ("", one.client.host.name)
            and server in ("", one.server.host.name)
            and port in (0, one.port)
        ]

    def isolate(self, one: str, other: str) -> None:
        """Let nothing pass between two addresses any more; new connections hang."""
        self._unreachable |= {(one, other), (other, one)}
        for connection in self._connecting(one, other):
            connection.hold("out", "in")

    def rejoin(self, one: str, other: str) -> None:
        """End an isolation: what was held arrives."""
        self._unreachable -= {(one, other), (other, one)}
        for connection in self._connecting(one, other):
            connection.release()

    def _connecting(self, one: str, other: str) -> Iterable[Connection]:
        ends = {one, other}
        for connection in self.connections:
            pair = {connection.client.host.address, connection.server.host.address}
            if not connection.is_over and pair == ends:
                yield connection

    def fail(self, host: Host) -> None:
        """Let a process that has died lose its connections: the kernel resets them."""
        for key in [key for key, (owner, _) in self._listeners.items() if owner is host]:
            del self._listeners[key]
        for one in self.connections:
            for end in (one.client, one.server):
                if end.host is host and not one.is_over:
                    end.pipe.send(RST)
                    end.is_lost = True


class Connection:
    """One TCP connection."""

    def __init__(self, client: Host, server: Host, port: int, latency: float) -> None:
        self.port = port
        out, back = Pipe(latency), Pipe(latency)
        self.client = Transport(client, (server.address, port), out)
        self.server = Transport(server, (client.address, 40_000), back)
        self.client.peer, self.server.peer = self.server, self.client
        self.sent: deque[bytes] = self.client.sample
        """The first bytes that the client sent, by which tests tell what it is for."""

    @property
    def is_over(self) -> bool:
        return self.client.is_lost and self.server.is_lost

    def accept(self, make: Callable[[], Any]) -> None:
        """Begin, on the server's side."""
        if self.server.is_lost:
            return
        self.server.protocol = make()
        self.server.protocol.connection_made(self.server)
        self.server.begin()

    def hold(self, *directions: str) -> None:
        """Let nothing arrive any more; nobody is told. `out` is towards the server."""
        for direction in directions:
            (self.client if direction == "out" else self.server).pipe.hold()

    def release(self) -> None:
        """Let what was held arrive."""
        self.client.pipe.release()
        self.server.pipe.release()

    def cut(self) -> None:
        """Reset both ends. What is under way is lost."""
        for end in (self.client, self.server):
            end.pipe.drop()
            end.host.call_at(end.host.time() + _GAP, end.arrive, RST)

    def close_from_server(self) -> None:
        """Close as the server does in an orderly way: what it has written arrives first."""
        self.server.close()


class Listening:
    """A port that is listened on: asyncio's Server, and the socket that it has."""

    def __init__(self, network: Network, host: Host, port: int) -> None:
        self._network = network
        self._host = host
        self._port = port
        self.sockets = [self]

    def getsockname(self) -> tuple[str, int]:
        return self._host.address, self._port

    def close(self) -> None:
        self._network.close(self._host, self._port)

    def close_clients(self) -> None:
        """Connections are closed by those who accepted them."""

    async def wait_closed(self) -> None:
        """Nothing is open that would have to be waited for."""

    def is_serving(self) -> bool:
        return self._network.listens(self._host, self._port)

    async def start_serving(self) -> None:
        """It has begun already."""


__all__ = ["FIN", "Connection", "Listening", "Network"]
