"""All links of this pod: the port that other pods connect to, and one connection to each of them.

`Local` handles what other pods request.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec
import structlog

from constellation_ws.observability.metrics import Metrics
from constellation_ws.peers.directory import Directory, Peer
from constellation_ws.peers.forwarding import Forwarded, Served
from constellation_ws.peers.link import (
    GREETING_SECONDS,
    PING_SECONDS,
    IncomingLink,
    Link,
    OutgoingLink,
)
from constellation_ws.peers.tunnel_entrance import TunnelEntrance
from constellation_ws.peers.tunnel_exit import TunnelExit
from constellation_ws.peers.wire import ForwardedRequest, ForwardedResponse, Kind, Opening
from constellation_ws.runtime.spawning import Spawn

logger = structlog.get_logger(__name__)

MAX_STRANGERS = 64
"""Connections that have not completed the greeting; above it the oldest is closed."""
_DRAIN_SECONDS = 5.0
"""How long other pods may take to end what this pod has forwarded to them, once it stops."""
_LOOK_SECONDS = 0.05
_PAUSE_SECONDS = 0.5
"""Pause after a failed connection to a pod, as thousands of requests may be for it."""


_request = msgspec.msgpack.Decoder(ForwardedRequest).decode
_opening = msgspec.msgpack.Decoder(Opening).decode
_encode = msgspec.msgpack.encode
_FAILED = ForwardedResponse(500, [], b"")


class Local(Protocol):
    """Handles what other pods have received for sessions of this pod."""

    async def respond(
        self, request: ForwardedRequest, gone: asyncio.Future[None], finish: asyncio.Future[None]
    ) -> ForwardedResponse:
        """Respond to a request of a long-polling client.

        `gone` is done when the client has disconnected, `finish` when a poll should end soon.
        """

    def accept(
        self, opening: Opening, make_exit: Callable[[Callable[[], None]], TunnelExit]
    ) -> None:
        """Accept or refuse a WebSocket of another pod for a session of this one.

        `make_exit` is called with what closes the session when the other pod stops.
        """


class Peers:
    """The links. `run` must run in one task."""

    def __init__(
        self,
        instance: str,
        directory: Directory,
        local: Local,
        metrics: Metrics,
        spawn: Spawn,
        tunnels: set[TunnelEntrance],
    ) -> None:
        """`tunnels` is filled with the WebSockets whose session another pod holds."""
        self._instance = instance
        self._directory = directory
        self._local = local
        self._metrics = metrics
        self._spawn = spawn
        self._links: dict[str, OutgoingLink] = {}
        self._connecting: dict[str, asyncio.Task[OutgoingLink | None]] = {}
        self._failed_at: dict[str, float] = {}
        self._incoming: dict[IncomingLink, None] = {}
        """In the order of their connections."""
        self._servers: list[asyncio.Server] = []
        self._polls: set[Forwarded] = set()
        self.tunnels = tunnels
        self._is_stopping = False

    @property
    def link_count(self) -> int:
        """Number of open links in both directions."""
        return len(self._links) + sum(link.greeted.done() for link in self._incoming)

    @property
    def port(self) -> int:
        """The port on which this pod listens."""
        return int(self._servers[0].sockets[0].getsockname()[1])

    async def start(self, listeners: list[socket.socket]) -> None:
        """Listen for other pods."""
        loop = asyncio.get_running_loop()
        for listener in listeners:
            self._servers.append(await loop.create_server(self._accept, sock=listener))

    async def aclose(self) -> None:
        """Accept no more links, and close all."""
        for server in self._servers:
            server.close()
        for link in (*self._links.values(), *self._incoming):
            link.flush()
            link.abort()
        await self._directory.leave()

    async def run(self, report_alive: Callable[[], None]) -> None:
        """Check all links, without end; `report_alive` is called after each time."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            for link in (*self._links.values(), *self._incoming):
                if link.greeted.done():
                    link.check()
            now = asyncio.get_running_loop().time()
            self._failed_at = {
                instance: at
                for instance, at in self._failed_at.items()
                if now - at < _PAUSE_SECONDS
            }
            report_alive()

    # From this pod to others

    async def forward(
        self, owner: str, request: ForwardedRequest, gone: asyncio.Future[None]
    ) -> ForwardedResponse | None:
        """Forward a request; None if there is no response, or the client has disconnected."""
        link = await self.link_to(owner)
        if link is None:
            return None
        forwarded = Forwarded(link, request)
        is_poll = request.method == "GET"
        if is_poll:
            self._polls.add(forwarded)
            if self._is_stopping:
                forwarded.finish()
        try:
            return await forwarded.response(gone)
        finally:
            self._polls.discard(forwarded)

    def open_tunnel(self, owner: str, opening: Opening, entrance: TunnelEntrance) -> None:
        """Open a tunnel for a WebSocket to the pod that holds its session, soon."""
        self.tunnels.add(entrance)
        self._spawn(self._open_tunnel(owner, opening, entrance))

    async def _open_tunnel(self, owner: str, opening: Opening, entrance: TunnelEntrance) -> None:
        link = await self.link_to(owner)
        if link is None:
            entrance.refuse()
        else:
            entrance.open(link, _encode(opening))

    async def link_to(self, owner: str) -> OutgoingLink | None:
        """Return the link to a pod, a new one if there is none; None if it cannot be reached.

        Raises nothing; a failure is counted and logged.
        """
        link = self._links.get(owner)
        if link is not None:
            return link
        task = self._connecting.get(owner)
        if task is None:
            peer = await self._directory.find(owner)
            task = self._connecting.get(owner)
        if task is None:
            if peer is None or self._has_just_failed(owner):
                return None
            task = self._connecting[owner] = self._start(self._connect(peer))
        return await asyncio.shield(task)

    def _start(
        self, work: Coroutine[Any, Any, OutgoingLink | None]
    ) -> asyncio.Task[OutgoingLink | None]:
        task = self._spawn(work)  # type: ignore[arg-type]  # unlike other work it returns a value
        assert isinstance(task, asyncio.Task)
        return task

    def _has_just_failed(self, owner: str) -> bool:
        now = asyncio.get_running_loop().time()
        return now - self._failed_at.get(owner, -_PAUSE_SECONDS) < _PAUSE_SECONDS

    async def _connect(self, peer: Peer) -> OutgoingLink | None:
        try:
            return await self._try(peer)
        finally:
            del self._connecting[peer.instance]

    async def _try(self, peer: Peer) -> OutgoingLink | None:
        loop = asyncio.get_running_loop()
        link = OutgoingLink(self._instance, peer.instance, lambda: self._directory.keys)
        reason = "unreachable"
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                await loop.create_connection(lambda: link, peer.host, peer.port)
                reason = "refused"
                await asyncio.shield(link.greeted)
        except (TimeoutError, OSError, UnicodeError) as error:
            # UnicodeError: another pod may have registered an invalid host name, such as `a..b`.
            link.abort()
            self._note_failure(peer, reason, error)
            return None
        self._links[peer.instance] = link
        link.closed.add_done_callback(lambda _: self._note_lost(peer, link))
        return link

    def _note_failure(self, peer: Peer, reason: str, error: Exception) -> None:
        self._failed_at[peer.instance] = asyncio.get_running_loop().time()
        self._metrics.peer_failures.labels(reason).inc()
        logger.warning(
            "another pod cannot be reached: its clients' requests that arrive here fail",
            reason=reason,
            peer=peer.instance,
            address=f"{peer.host}:{peer.port}",
            error=str(error) or "no answer",
        )

    def _note_lost(self, peer: Peer, link: OutgoingLink) -> None:
        if self._links.get(peer.instance) is link:
            del self._links[peer.instance]
        if not self._is_stopping:
            self._metrics.peer_failures.labels("lost").inc()
            logger.info("a link to another pod has ended", peer=peer.instance)

    # Stopping

    def begin_drain(self) -> None:
        """End the polls that are forwarded. Their clients poll again, and reach another pod."""
        self._is_stopping = True
        for poll in list(self._polls):
            poll.finish()

    async def drained(self) -> None:
        """Wait until nothing is forwarded from here any more, for 5 seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while self._polls or self.tunnels:  # noqa: ASYNC110 - they end in time
                    await asyncio.sleep(_LOOK_SECONDS)

    # From other pods to this one

    def _accept(self) -> IncomingLink:
        strangers = [link for link in self._incoming if not link.greeted.done()]
        if len(strangers) >= MAX_STRANGERS:
            strangers[0].abort()  # a pod completes the greeting within a round trip
            self._count_stranger()
        link = IncomingLink(
            self._instance, lambda: self._directory.keys, self._begin, self._count_stranger
        )
        self._incoming[link] = None
        link.closed.add_done_callback(lambda _: self._incoming.pop(link, None))
        return link

    def _count_stranger(self) -> None:
        self._metrics.peer_failures.labels("stranger").inc()

    def _begin(self, link: Link, kind: int, stream: int, payload: bytes) -> None:
        if kind == Kind.REQUEST:
            self._spawn(self._respond(_request(payload), Served(link, stream)))
        elif kind == Kind.OPEN:
            self._local.accept(_opening(payload), lambda close: TunnelExit(link, stream, close))

    async def _respond(self, request: ForwardedRequest, served: Served) -> None:
        try:
            response = await self._local.respond(request, served.gone, served.finish)
        except Exception:  # the boundary around requests: one client fails, not all
            logger.exception("a forwarded request could not be answered", sid=request.sid)
            response = _FAILED  # else the client would wait
        served.respond(response)
