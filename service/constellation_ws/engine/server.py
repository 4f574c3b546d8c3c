"""The Engine.IO server: opens sessions, receives their packets, moves and closes them.

Protocol: Engine.IO v4 (github.com/socketio/engine.io-protocol). Bytes of HTTP and WebSocket are
handled by `polling` and `connection`, messages by the handlers that are registered with `on`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import engineio

from constellation_ws.engine import inbox
from constellation_ws.engine.connection import WebSocketConnection
from constellation_ws.engine.connection_host import LimitedConnection
from constellation_ws.engine.deadlines import Deadlines
from constellation_ws.engine.limits import EngineLimits, Sites
from constellation_ws.engine.observer import Observer
from constellation_ws.engine.pending_closes import PendingCloses
from constellation_ws.engine.pings import Pings
from constellation_ws.engine.session import CLOSE, EngineSession, Handshake, MovedSession
from constellation_ws.engine.slow import SlowConsumers
from constellation_ws.http import refusals
from constellation_ws.http.addresses import site_of
from constellation_ws.messages.admission import PACKET_FLOOD, Refusal
from constellation_ws.runtime.direct import NOT_DIRECT
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.runtime.turns import paced
from constellation_ws.websocket import CloseCode
from constellation_ws.websocket.handshake import Headers

UPGRADE_SECONDS = 10.0
"""How long a WebSocket may probe before it is closed."""
CONNECT_TIMEOUT = "connect timeout"
"""Why a session was closed that nobody has marked as used."""
_LOOK_SECONDS = 0.1
_NOBODY = Observer()
_NORMAL = CloseCode.NORMAL


class Engine(engineio.AsyncServer):  # type: ignore[misc]  # python-engineio is untyped
    """All Engine.IO sessions of one path. `run` must run in one task."""

    def __init__(
        self,
        limits: EngineLimits,
        *,
        pod_tag: str,
        spawn: Spawn,
        turns: TurnQueue,
        observer: Observer = _NOBODY,
        kept_headers: Callable[[list[tuple[bytes, bytes]]], Headers] = lambda headers: (),
    ) -> None:
        """`pod_tag` begins every session ID and is as long on every pod; `spawn` runs the handlers
        of messages, `turns` says when; a session retains the headers that `kept_headers` chooses.
        """
        super().__init__(async_mode="asgi", monitor_clients=False)
        self.limits = limits
        self.slow: SlowConsumers[EngineSession] = SlowConsumers(limits, self.abort_slow)
        # python-engineio's name; python-socketio reads it.
        self.sockets: dict[str, EngineSession] = {}
        self._pod_tag = pod_tag
        self._kept_headers = kept_headers
        self.sites = Sites(limits.max_connections_per_address)
        self.pings = Pings(limits, observer, self._time_out)
        self._unused: Deadlines[EngineSession] = Deadlines(limits.connect_timeout_seconds)
        self._probes: Deadlines[LimitedConnection] = Deadlines(UPGRADE_SECONDS)
        self.pending_closes = PendingCloses()
        self.closed_sessions = inbox.ClosedSessions(self)
        """Closed sessions whose `disconnect` handler has not run yet."""
        self.spawn, self.turns, self.observer = spawn, turns, observer

    # Opening

    def open(self, query: str, address: str, headers: list[tuple[bytes, bytes]]) -> EngineSession:
        """Open a session and call the handler of `connect`. The caller gives it a transport."""
        session = self._register(self._pod_tag + self.generate_id(), address, time.monotonic())
        self.pings.add(session)
        self.expect_use(session)
        handshake = Handshake(query, address, tuple(self._kept_headers(headers)))
        self.handlers["connect"](session.sid, handshake)
        return session

    def _register(self, sid: str, address: str, opened_at: float) -> EngineSession:
        session = self.sockets[sid] = EngineSession(self, sid, opened_at)
        if self.limits.max_connections_per_address:
            session.site = site_of(address)
            self.sites.enter(session.site)
        return session

    # Moving between pods

    def adopt(self, moved: MovedSession, transport: asyncio.Transport) -> WebSocketConnection:
        """Continue a session of another pod. Its client is at this transport."""
        session = self._register(moved.sid, moved.address, time.monotonic() - moved.age_seconds)
        session.packets_received, session.awaits_pong = moved.packets_received, moved.awaits_pong
        self.pings.add_moved(session)
        handshake = Handshake(moved.query, moved.address, tuple(moved.headers))
        self.handlers["connect"](moved.sid, handshake)
        connection = WebSocketConnection(self, transport)
        connection.carry(session)
        return connection

    def release(self, session: EngineSession, handshake: Handshake) -> MovedSession:
        """Remove a session that another pod continues; `disconnect` is not called."""
        session.write_pending()
        self._unregister(session)
        assert session.websocket is not None, "only such sessions move"
        session.websocket.detach()
        query, address, headers = handshake.query, handshake.address, list(handshake.headers)
        received, awaits_pong = session.packets_received, session.awaits_pong
        age = time.monotonic() - session.opened_at
        return MovedSession(session.sid, query, address, headers, received, awaits_pong, age)

    def expect_upgrade(self, connection: LimitedConnection) -> None:
        """Close a connection that probes unless `has_upgraded` is called in time."""
        self._probes.add(connection, time.monotonic())

    def expect_use(self, session: EngineSession) -> None:
        """Close the session unless `mark_used` is called within the connect timeout."""
        self._unused.add(session, time.monotonic())

    def mark_used(self, session: EngineSession) -> None:
        """Note that the client has connected to a namespace: the session may stay."""
        self._unused.remove(session)

    @property
    def detached_websockets(self) -> int:
        """How many WebSockets carry no session: they probe, or are being closed."""
        return len(self._probes) + self.pending_closes.websockets

    def find(self, sid: str) -> EngineSession | Refusal:
        """Return an open session of this pod, or the refusal UNKNOWN_SESSION."""
        return self.sockets.get(sid) or refusals.UNKNOWN_SESSION

    def owner_of(self, sid: str) -> str | None:
        """Return the pod tag of the pod that opened a session; None for a session of this pod."""
        owner = sid[: len(self._pod_tag)]
        return None if owner == self._pod_tag or sid in self.sockets else owner

    # Receiving

    def receive_packet(self, session: EngineSession, packet: str, is_alone: bool = False) -> None:
        """Handle one text packet of an open session, which came with no other if it is alone."""
        kind = packet[:1]
        if kind == "4":
            (inbox.handle if is_alone else inbox.put)(self, session, packet[1:])
        elif kind == "3":
            self.pings.receive_pong(session)
        elif kind == "1":
            # Not CLIENT_DISCONNECT, which ends the recoverable session: socket.io-client sends this
            # over polling if one of its requests fails, and reconnects.
            self._begin_close(session, self.reason.TRANSPORT_CLOSE)
        elif packet not in ("5", "6"):  # an upgrade or noop out of place is ignored
            self.close_on_parse_error(session)

    def count_packets(self, session: EngineSession, packets: int) -> bool:
        """Count packets that a client has sent. If they are too many, close it and return False.

        Requests have limits of their own. This limit is for packets that request nothing but cost
        time: pings, pongs, empty packets. It is per ping interval, as a rate would cost more.
        """
        session.packets_received += packets
        if session.packets_received <= self.limits.max_packets_per_ping_interval:
            return True
        self.close(session, PACKET_FLOOD, CloseCode.POLICY_VIOLATION)
        return False

    def receive_message(self, session: EngineSession, data: str | bytes) -> None:
        """Queue a message for its handler: one of a session at a time, in order."""
        inbox.put(self, session, data)

    # Closing

    def remove(self, session: EngineSession, reason: str) -> None:
        """Remove a session at once, without a close packet, and have `disconnect` called."""
        if session.closed:
            return
        self._unregister(session)
        session.wake_poll()
        inbox.put(self, session, inbox.SessionClosed(reason))

    def _unregister(self, session: EngineSession) -> None:
        session.closed, session.write, session.descriptor = True, None, NOT_DIRECT
        self.sockets.pop(session.sid, None)
        if session.site is not None:
            self.sites.leave(session.site)
        self.pings.remove(session)
        self.slow.release(session)
        self.mark_used(session)

    def close(self, session: EngineSession, reason: str, code: CloseCode = _NORMAL) -> None:
        """Close a session after all that was sent to it. Its client reconnects.

        A Socket.IO DISCONNECT would keep a JavaScript client from reconnecting; a closed transport
        does not.
        """
        if session.closed:
            return
        if session.inbox is not None:
            session.inbox.clear()  # of what still comes only the answer to our close counts
            session.resume_reading()
        self._begin_close(session, reason, code)

    def _begin_close(self, session: EngineSession, reason: str, code: CloseCode = _NORMAL) -> None:
        if session.websocket is not None:
            session.write_pending()
            session.websocket.close(code, reason)
        else:
            session.queue(CLOSE)
            if session.poll is None and not session.closed:
                self.pending_closes.add_polling(session)
        self.remove(session, reason)

    def close_on_parse_error(self, session: EngineSession) -> None:
        """Close a session whose client violates the protocol; a poll that waits gets the close."""
        if session.poll is not None or session.upgraded:
            self.close(session, "parse error")
        else:
            self.remove(session, "parse error")

    def abort_slow(self, session: EngineSession) -> None:
        """Abort a session for whose client too much is buffered."""
        if session.closed:
            return
        self.observer.aborted_slow()
        websocket = session.websocket
        session.outbox, session.outbox_bytes = None, 0
        self.remove(session, "slow consumer")
        if websocket is not None:
            websocket.abort()

    async def wait_for_pending_closes(self) -> None:
        """Wait until no close is pending and every handler of `disconnect` has run."""
        while self.pending_closes or self.closed_sessions:  # noqa: ASYNC110 - they end in time
            await asyncio.sleep(_LOOK_SECONDS)

    def add_pending_close(self, connection: LimitedConnection) -> None:
        """Give a client time to answer our Close frame, and to read what was sent before it."""
        self.pending_closes.add_websocket(connection)

    def has_upgraded(self, connection: LimitedConnection) -> None:
        """Note that a connection does not probe any more."""
        self._probes.remove(connection)

    def has_closed(self, connection: LimitedConnection) -> None:
        """Note that a connection is closed."""
        self.pending_closes.remove_websocket(connection)
        self._probes.remove(connection)

    # Time

    async def run(self, report_alive: Callable[[], None]) -> None:
        """Advance all timers, without end; `report_alive` is called after each step."""
        due = time.monotonic()
        while True:
            # The time of a late step is made up for. That of a pause of the whole process is not:
            # what clients have answered meanwhile has not been read yet.
            due = max(due + self.pings.step_seconds, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            async for _ in paced(self.advance(time.monotonic())):
                pass
            report_alive()

    def advance(self, now: float) -> Iterator[None]:
        """Do what is due at this monotonic time: pings and timeouts, one at each step.

        Thousands may be due at once, so the caller lets others run between two steps.
        """
        yield from self.pings.advance()
        for session in self._unused.pop_due(now):
            self.close(session, CONNECT_TIMEOUT)
            yield
        yield from self.slow.advance(now)
        yield from self.pending_closes.advance(now)
        for connection in self._probes.pop_due(now):
            connection.close_probe()
            yield

    def _time_out(self, session: EngineSession) -> None:
        # A polling client that does not poll would not receive a close either.
        close = self.close if session.upgraded else self.remove
        close(session, self.reason.PING_TIMEOUT)

    # What python-socketio calls

    async def send(self, sid: str, data: str | bytes) -> None:
        """Send a message to a session; ignored if the session is closed."""
        session = self.sockets.get(sid)
        if session is not None:
            session.send_message(data)

    async def send_packet(self, sid: str, pkt: engineio.packet.Packet) -> None:
        """Send a packet to a session; ignored if the session is closed."""
        session = self.sockets.get(sid)
        if session is not None:
            await session.send(pkt)
