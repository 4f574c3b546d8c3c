"""The Engine.IO server: opens sessions, hears them, beats their hearts, closes them.

Protocol: Engine.IO v4 (github.com/socketio/engine.io-protocol). Bytes of HTTP and WebSocket are
handled by `polling` and `connection`; what messages mean, by whoever registers with `on`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator

import engineio
import structlog

from constellation_ws.engine import inbox
from constellation_ws.engine.connection import WebSocketConnection
from constellation_ws.engine.deadlines import Deadlines
from constellation_ws.engine.limits import EngineLimits, Sites
from constellation_ws.engine.observer import Observer
from constellation_ws.engine.session import CLOSE, Handshake, MovedSession, Session
from constellation_ws.engine.slow import SlowConsumers
from constellation_ws.engine.wheel import Wheel
from constellation_ws.http import entrance
from constellation_ws.http.addresses import site_of
from constellation_ws.messages.admission import PACKET_FLOOD, Refusal
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.runtime.turns import paced
from constellation_ws.websocket import CloseCode, text_frame
from constellation_ws.websocket.handshake import Headers

logger = structlog.get_logger(__name__)

LINGER_SECONDS = 5.0
"""How long a closed session waits for its client to hear of it."""
UPGRADE_SECONDS = 10.0
"""How long a WebSocket may probe before it is given up."""
CONNECT_TIMEOUT = "connect timeout"
"""Why a session was closed that has not become one of use."""
_LOOK_SECONDS = 0.1
_PING = text_frame(b"2")
_SHOWN_ORIGIN_CHARS = 200

_NOBODY = Observer()


class Engine(engineio.AsyncServer):  # type: ignore[misc]  # python-engineio is untyped
    """All sessions of one path. Everything but message handlers is `def`: nothing waits."""

    def __init__(
        self,
        limits: EngineLimits,
        *,
        pod_tag: str,
        spawn: Spawn,
        observer: Observer = _NOBODY,
        kept_headers: Callable[[list[tuple[bytes, bytes]]], Headers] = lambda headers: (),
    ) -> None:
        """`pod_tag` begins every session ID, and has as many characters on every pod.

        `spawn` runs what a session has to do.
        """
        super().__init__(async_mode="asgi", monitor_clients=False)
        self.limits = limits
        self.slow: SlowConsumers[Session] = SlowConsumers(limits, self.drop_slow)
        self.sockets: dict[str, Session] = {}
        self._pod_tag = pod_tag
        self._kept_headers = kept_headers
        self.sites = Sites(limits.max_connections_per_address)
        step = min(1.0, limits.ping_interval_seconds / 10, limits.ping_timeout_seconds / 10)
        self._step_seconds = step
        longest = max(limits.ping_interval_seconds, limits.ping_timeout_seconds)
        self._wheel = Wheel(step, longest)
        self._unused: Deadlines[Session] = Deadlines(limits.connect_timeout_seconds)
        self._probes: Deadlines[WebSocketConnection] = Deadlines(UPGRADE_SECONDS)
        self._ending: Deadlines[WebSocketConnection] = Deadlines(LINGER_SECONDS)
        self._lingering: Deadlines[str] = Deadlines(LINGER_SECONDS)
        self._goodbyes: dict[str, Session] = {}
        """Closed polling sessions whose client has not fetched its last packets yet."""
        self.farewells = inbox.Farewells(self)
        """Closed sessions whose end is still to be handled."""
        self.spawn = spawn
        self.observer = observer

    # Opening

    def open(self, query: str, address: str, headers: list[tuple[bytes, bytes]]) -> Session:
        """Make a session; its transport has been decided on."""
        session = self._enrol(self._pod_tag + self.generate_id(), address)
        # Spread from the start: after a roll thousands connect within a second, and their
        # heartbeats would stay together for ever. Early, so that a client that was never there
        # is gone when interval and timeout are over, whatever the wheel rounds up.
        first = self.limits.ping_interval_seconds * random.uniform(0.7, 0.9)
        self._wheel.put(session, first)
        self.expect_use(session)
        handshake = Handshake(query, address, tuple(self._kept_headers(headers)))
        self.handlers["connect"](session.sid, handshake)
        return session

    def _enrol(self, sid: str, address: str) -> Session:
        session = self.sockets[sid] = Session(self, sid)
        if self.limits.max_connections_per_address:
            session.site = site_of(address)
            self.sites.enter(session.site)
        return session

    # Moving between pods

    def adopt(self, moved: MovedSession, transport: asyncio.Transport) -> WebSocketConnection:
        """Go on with a session that another pod has held; its client is at this transport."""
        session = self._enrol(moved.sid, moved.address)
        session.heard, session.awaits_pong = moved.heard, moved.awaits_pong
        limits = self.limits
        seconds = limits.ping_timeout_seconds if moved.awaits_pong else limits.ping_interval_seconds
        self._wheel.put(session, seconds)
        handshake = Handshake(moved.query, moved.address, tuple(moved.headers))
        self.handlers["connect"](moved.sid, handshake)
        connection = WebSocketConnection(self, transport)
        connection.carry(session)
        return connection

    def release(self, session: Session, handshake: Handshake) -> MovedSession:
        """Give a session away that another pod goes on with: nobody is told of an end."""
        session.write_pending()
        self._forget(session)
        assert session.websocket is not None, "only such sessions move"
        session.websocket.detach()
        return MovedSession(
            session.sid,
            handshake.query,
            handshake.address,
            list(handshake.headers),
            session.heard,
            session.awaits_pong,
        )

    def expect_upgrade(self, connection: WebSocketConnection) -> None:
        """Give up the probe of a connection unless `has_upgraded` is called in time."""
        self._probes.add(connection, time.monotonic())

    def expect_use(self, session: Session) -> None:
        """Close the session unless `settle` is called within the connect timeout."""
        self._unused.add(session, time.monotonic())

    def settle(self, session: Session) -> None:
        """Take note that the session is of use to somebody."""
        self._unused.remove(session)

    @property
    def detached_websockets(self) -> int:
        """How many WebSockets carry no session: they probe, or are being closed."""
        return len(self._ending) + len(self._probes)

    def find(self, sid: str) -> Session | Refusal:
        """Find an open session of this pod."""
        return self.sockets.get(sid) or entrance.UNKNOWN_SESSION

    def owner_of(self, sid: str) -> str | None:
        """Name the pod that has opened a session, where that is another one than this."""
        owner = sid[: len(self._pod_tag)]
        return None if owner == self._pod_tag or sid in self.sockets else owner

    # Hearing

    def hear(self, session: Session, packet: str) -> None:
        """Take one text packet of an open session; what is no packet closes it."""
        kind = packet[:1]
        if kind == "4":
            self.receive(session, packet[1:])
        elif kind == "3":
            session.awaits_pong = False
            self._wheel.put(session, self.limits.ping_interval_seconds)
            self.observer.ponged(session.sid)
        elif kind == "1":
            # Not CLIENT_DISCONNECT, which is for good: socket.io-client says this over polling when
            # a request of its fails, and comes back.
            self._close(session, self.reason.TRANSPORT_CLOSE)
        elif packet not in ("5", "6"):  # an upgrade or noop out of place means nothing
            self.fail(session)

    def bear(self, session: Session, packets: int) -> bool:
        """Take note that a client has sent so much; False when that is too much: it is closed.

        Requests have limits of their own. This one is for all that costs without asking for
        anything: pings, pongs, empty packets. It is counted and not timed, which costs less.
        """
        session.heard += packets
        if session.heard <= self.limits.max_packets_per_heartbeat:
            return True
        self.end(session, PACKET_FLOOD, CloseCode.POLICY_VIOLATION)
        return False

    def receive(self, session: Session, data: str | bytes) -> None:
        """Have a message handled: one of a session at a time, in order."""
        inbox.put(self, session, data)

    # Closing

    def lose(self, session: Session, reason: str) -> None:
        """Forget a session whose transport is gone or of no more use."""
        if session.closed:
            return
        self._forget(session)
        session.wake_poll()
        inbox.put(self, session, inbox.Farewell(reason))

    def _forget(self, session: Session) -> None:
        session.closed, session.write = True, None
        self.sockets.pop(session.sid, None)
        if session.site is not None:
            self.sites.leave(session.site)
        self._wheel.remove(session)
        self.slow.release(session)
        self.settle(session)

    def end(self, session: Session, reason: str, code: CloseCode = CloseCode.NORMAL) -> None:
        """Close a session after all that was sent to it, so that its client may come back at once.

        A Socket.IO DISCONNECT would tell a JavaScript client to stay away for ever; a closed
        transport does not.
        """
        if session.closed:
            return
        if session.inbox is not None:
            session.inbox.clear()  # we have heard enough, save the answer to our goodbye
            session.resume()
        self._close(session, reason, code)

    def _close(self, session: Session, reason: str, code: CloseCode = CloseCode.NORMAL) -> None:
        if session.websocket is not None:
            session.write_pending()
            session.websocket.close(code, reason)
        else:
            session.queue(CLOSE)
            if session.poll is None and not session.closed:
                self.keep_goodbye(session)
        self.lose(session, reason)

    def fail(self, session: Session) -> None:
        """Close a session whose client breaks the protocol; only a poll that waits is told."""
        if session.poll is not None or session.upgraded:
            self.end(session, "parse error")
        else:
            self.lose(session, "parse error")

    def keep_goodbye(self, session: Session) -> None:
        """Let a closed polling session wait for its client to fetch its last packets."""
        self._goodbyes[session.sid] = session
        self._lingering.add(session.sid, time.monotonic())

    def take_goodbye(self, sid: str) -> Session | None:
        """Give a closed polling session whose last packets wait for its client, once."""
        self._lingering.remove(sid)
        return self._goodbyes.pop(sid, None)

    def drop_slow(self, session: Session) -> None:
        """Cut off a client for which too much waits: its memory is the others'."""
        if session.closed:
            return
        self.observer.dropped()
        websocket = session.websocket
        session.outbox, session.outbox_bytes = [], 0
        self.lose(session, "slow consumer")
        if websocket is not None:
            websocket.abort()

    async def goodbyes_said(self) -> None:
        """Wait until every closed session's client has heard of it, or has had its time."""
        while self._ending or self._goodbyes or self.farewells:  # noqa: ASYNC110 - they end in time
            await asyncio.sleep(_LOOK_SECONDS)

    def await_closing(self, connection: WebSocketConnection) -> None:
        """Give a client some time to answer our closing handshake, and to read what was sent."""
        if connection not in self._ending:
            self._ending.add(connection, time.monotonic())

    def has_upgraded(self, connection: WebSocketConnection) -> None:
        """Take note that a connection is done with probing."""
        self._probes.remove(connection)

    def has_closed(self, connection: WebSocketConnection) -> None:
        """Take note that a connection is gone."""
        self._ending.remove(connection)
        self._probes.remove(connection)

    # Time

    async def run(self, tell: Callable[[], None]) -> None:
        """Turn the wheel, for ever; `tell` after every step."""
        due = time.monotonic()
        while True:
            # A late step is made up for, a pause of the whole process is not: what clients have
            # answered meanwhile is still to be read.
            due = max(due + self._step_seconds, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            async for _ in paced(self.turn(time.monotonic())):
                pass
            tell()

    def turn(self, now: float) -> Iterator[None]:
        """Do what is due, one thing at each step: pings, and the ends of all kinds of patience.

        Thousands may be due at once. What happens between two steps counts.
        """
        for session in self._wheel.turn():
            assert isinstance(session, Session), "nothing else is put there"
            if session.slot < 0 and not session.closed:  # else it has answered, or left, meanwhile
                self._beat(session)
            yield
        for session in self._unused.take_due(now):
            self.end(session, CONNECT_TIMEOUT)
            yield
        yield from self.slow.turn(now)
        for sid in self._lingering.take_due(now):
            self.take_goodbye(sid)
            yield
        for connection in self._probes.take_due(now):
            connection.give_up_probe()
            yield
        for connection in self._ending.take_due(now):
            connection.abort()
            yield

    def _beat(self, session: Session) -> None:
        if session.awaits_pong:
            # A polling client that does not poll is not there to be told.
            close = self.end if session.upgraded else self.lose
            close(session, self.reason.PING_TIMEOUT)
            return
        session.awaits_pong, session.heard = True, 0
        self.observer.pinged(session.sid)
        self._wheel.put(session, self.limits.ping_timeout_seconds)
        if session.write is not None:
            if session.pending is not None:
                session.write_pending()  # else the answer would prove more than was sent
            session.write(_PING)
        else:
            session.queue("2")

    # What python-socketio calls

    async def send(self, sid: str, data: str | bytes) -> None:
        """Send a message to a session; a session that has just gone needs none."""
        session = self.sockets.get(sid)
        if session is not None:
            session.send_message(data)

    async def send_packet(self, sid: str, pkt: engineio.packet.Packet) -> None:
        """Send a ready packet to a session; a session that has just gone needs none."""
        session = self.sockets.get(sid)
        if session is not None:
            await session.send(pkt)
