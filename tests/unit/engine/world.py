"""An engine behind a real listening socket, in the loop of the test, with its clock in hand.

Lives here: serving, and asking whether anything is left. Nothing turns the engine's wheel but the
test: time passes when it says so.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import uvicorn
from msgspec import Raw

from constellation_ws.delivery.fanout import Fanout
from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.engine.admission import Admission
from constellation_ws.engine.elsewhere import Nowhere
from constellation_ws.engine.limits import EngineLimits
from constellation_ws.engine.observer import Observer
from constellation_ws.engine.polling import LongPolling
from constellation_ws.engine.polls import Polls
from constellation_ws.engine.server import Engine
from constellation_ws.engine.upgrading import Upgrades
from constellation_ws.http.addresses import Proxies
from constellation_ws.http.lobby import Lobby
from constellation_ws.http.protocol import HttpProtocol
from constellation_ws.http.refusals import TOO_MANY_IDLE
from constellation_ws.messages.admission import Denied, Rate
from constellation_ws.messages.frames import Frame
from constellation_ws.observability.probes import dispatch
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.socketio.admission import RequestGate
from constellation_ws.socketio.membership import Membership
from constellation_ws.socketio.server import Server
from tests.conformance import polling, wire
from tests.waiting import PATIENCE_SECONDS, eventually
from tests.websocket_frames import PING, client_frame

NAMESPACE = "/chats"
PATH = "/socket.io"
TARGET = f"{PATH}/?EIO=4&transport=websocket"
MOST_IDLE = 20
LIMITS = EngineLimits(
    ping_interval_seconds=25,
    ping_timeout_seconds=20,
    connect_timeout_seconds=45,
    max_payload_bytes=100_000,
    max_request_bytes=20_000,
    max_write_buffer_bytes=262_144,
    max_packets_per_ping_interval=20_000,
    max_connections=1_000,
    max_connections_per_address=0,
    connects=Rate(10_000, 10_000),
    max_event_bytes=10_000,
)


class Clock:
    """The engine's module `time`, which stands still unless the test lets it pass.

    On a machine that pauses for a second the wheel would turn otherwise.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.ahead_seconds = 0.0

    def monotonic(self) -> float:
        return self._began + self.ahead_seconds


class Seen(Observer):
    """All that an engine has reported."""

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.dropped_count = 0
        self.answered: list[str] = []
        self.on_ping: Callable[[str], None] = lambda sid: None

    def refused(self, code: str) -> None:
        self.codes.append(code)

    def aborted_slow(self) -> None:
        self.dropped_count += 1

    def pinged(self, sid: str) -> None:
        self.on_ping(sid)

    def close_acknowledged(self, sid: str) -> None:
        self.answered.append(sid)


class Tasks:
    """Runs what the engine asks for; a failure of it fails the test at its end."""

    def __init__(self) -> None:
        self.spawned_count = 0
        self._kept: set[asyncio.Task[None]] = set()

    @property
    def running_count(self) -> int:
        """Those that are not done."""
        return sum(not task.done() for task in self._kept)

    def spawn(self, work: Any) -> asyncio.Task[None]:
        """Run this."""
        self.spawned_count += 1
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._kept.add(task)
        task.add_done_callback(self._forget_success)
        return task

    async def end(self) -> None:
        """Wait for all, and fail for one that has failed."""
        ended = await asyncio.gather(*self._kept, return_exceptions=True)
        assert not [failure for failure in ended if isinstance(failure, Exception)]

    def _forget_success(self, task: asyncio.Task[None]) -> None:
        # A cancelled task would keep the frames it was cancelled in, and their sessions.
        if task.cancelled() or task.exception() is None:
            self._kept.discard(task)


class World:
    """A gateway's engine and Socket.IO server, without the gateway."""

    def __init__(
        self,
        engine: Engine,
        admission: Admission,
        observer: Seen,
        tasks: Tasks,
        connections: set[Any],
        keep_alive_seconds: int = 2,
    ) -> None:
        """`connections` is where the engine looks for those that are no WebSocket."""
        self.engine = engine
        self.admission = admission
        self.polls = Polls(engine, admission)
        self._connections = connections
        self._keep_alive_seconds = keep_alive_seconds
        self.acks: list[tuple[Member, int, bytes]] = []
        """What clients have acknowledged."""
        self.server = Server(engine, Membership(), self._judge, self._take_ack)
        self.gate: RequestGate = lambda member, request_bytes: None
        """What is asked before a request is read: every one is, unless a test says otherwise."""
        self.seen = observer
        self.lobby = Lobby(
            1_000, admission.refuse, admission.is_crowded, admission.is_out_of_sockets
        )
        self.idle = Lobby(MOST_IDLE, admission.refuse, reason=TOO_MANY_IDLE)
        self.answer = b""
        """What every page but the engine's path has to say."""
        self.port = 0
        self.tasks = tasks
        self.clock = Clock()
        self._uvicorn: uvicorn.Server | None = None
        self.server.on("connect", lambda sid, handshake, auth: None, namespace=NAMESPACE)
        self.server.on("disconnect", lambda sid, reason: None, namespace=NAMESPACE)

    @property
    def refused(self) -> list[str]:
        """Codes of all refusals."""
        return self.seen.codes

    @property
    def dropped(self) -> int:
        """Slow consumers that were closed."""
        return self.seen.dropped_count

    @property
    def rooms(self) -> Rooms:
        """Who is in the namespace."""
        return self.server.membership.index

    @property
    def http_connections(self) -> int:
        """TCP connections that are no WebSocket, idle ones too."""
        assert self._uvicorn is not None
        return len(self._uvicorn.server_state.connections)

    @property
    def sids(self) -> list[str]:
        """Open Engine.IO sessions, oldest first."""
        return list(self.engine.sockets)

    def on(self, event: str, handler: Callable[..., Any]) -> None:
        """Handle an event of the namespace."""
        self.server.on(event, handler, namespace=NAMESPACE)

    def publish(self, *numbers: int, payload: bytes = b"") -> None:
        """Send events to everyone in the namespace, in one batch."""
        fanout = Fanout()
        for number in numbers:
            fanout.add(event(number, payload), self.rooms.audience(None, ()))
        fanout.flush()

    def pass_seconds(self, seconds: float) -> None:
        """Let time go by for the engine: step by step, as it would."""
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            self.clock.ahead_seconds += self.engine.pings.step_seconds
            for _ in self.engine.advance(self.clock.monotonic()):
                pass

    def websocket(self, target: str = TARGET) -> AbstractAsyncContextManager[wire.Wire]:
        """Open a WebSocket; its opening packet is still to be read."""
        return wire.websocket(self.port, target)

    @asynccontextmanager
    async def member(self) -> AsyncIterator[wire.Wire]:
        """Have a client on a WebSocket in the namespace."""
        async with self.websocket() as client:
            await client.message()
            await join(client)
            yield client

    def http(self) -> AbstractAsyncContextManager[polling.Http]:
        """Open an HTTP client."""
        return polling.http(self.port, f"{PATH}/")

    def wired(self) -> AbstractAsyncContextManager[wire.Wire]:
        """Open a TCP connection."""
        return wire.wired(self.port)

    async def settled(self) -> None:
        """Wait until all that was spawned is done."""
        await eventually(self._is_settled, PATIENCE_SECONDS, "nothing is being handled")

    def left(self) -> dict[str, int]:
        """Count what is remembered of clients, leaving out what is not."""
        engine, server = self.engine, self.server
        counts = {
            "sockets": len(engine.sockets),
            "wheel": len(engine.pings),
            "unused": len(engine._unused),
            "probes": len(engine._probes),
            "pending closes": len(engine.pending_closes),
            "closed sessions": len(engine.closed_sessions),
            "environ": len(server.environ),
            "incomplete packets": len(server._incomplete),
            "callbacks": len(server.manager.callbacks),
            "sites": len(engine.sites),
            "slow": len(engine.slow),
            "lobby": len(self.lobby),
            "idle": len(self.idle),
            "members": len(self.rooms),
            "namespaces": len(server.membership.rooms) - 1,
            "rooms": self.rooms.room_count,
            "tasks": self.tasks.running_count,
        }
        return {name: count for name, count in counts.items() if count}

    async def empty(self) -> None:
        """Wait until nothing is left."""
        left: dict[str, int] = {}

        def look() -> bool:
            nonlocal left
            left = self.left()
            return not left

        try:
            await eventually(look, PATIENCE_SECONDS, "nothing is left")
        except AssertionError:
            raise AssertionError(f"still there: {left}") from None

    async def serve(self, listener: socket.socket) -> None:
        """Begin to serve."""
        polling = LongPolling(self.engine, self.admission, self.polls, Nowhere())
        upgrades = Upgrades(self.engine, self.admission, Nowhere())
        app = dispatch(self._pages, polling, PATH)
        self._uvicorn = server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=functools.partial(  # type: ignore[arg-type]  # called like the class
                    HttpProtocol,
                    turns=self.engine.turns,
                    upgrades={PATH: upgrades.handle},
                    lobby=self.lobby,
                    idle=self.idle,
                ),
                ws=asyncio.Protocol,
                lifespan="off",
                log_config=None,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
                timeout_keep_alive=self._keep_alive_seconds,
            )
        )
        server.server_state.connections = self._connections
        self.port = listener.getsockname()[1]
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup(sockets=[listener])

    async def stop(self) -> None:
        """End all connections and find out whether anything has failed."""
        assert self._uvicorn is not None
        for session in list(self.engine.sockets.values()):
            self.engine.abort_slow(session)
        await self._uvicorn.shutdown()
        await self.tasks.end()

    async def _pages(self, scope: Any, receive: Any, send: Any) -> None:
        length = [(b"content-length", b"%d" % len(self.answer))]
        await send({"type": "http.response.start", "status": 404, "headers": length})
        await send({"type": "http.response.body", "body": self.answer})

    def _is_settled(self) -> bool:
        return not self.tasks.running_count

    def _judge(self, member: Member, request_bytes: int) -> Denied | None:
        return self.gate(member, request_bytes)

    def _take_ack(self, member: Member, ack_id: int, read: Callable[[], Raw]) -> None:
        self.acks.append((member, ack_id, bytes(read())))


@asynccontextmanager
async def serving(
    *,
    pod_tag: str = "podA",
    cors_origins: tuple[str, ...] = ("*",),
    proxies: tuple[str, ...] = (),
    is_overloaded: Callable[[], bool] = lambda: False,
    keep_alive_seconds: int = 2,
    **limits: Any,
) -> AsyncIterator[World]:
    """Serve an engine with these limits for the length of an `async with`."""
    connections: set[Any] = set()
    seen, tasks = Seen(), Tasks()
    engine = Engine(
        replace(LIMITS, **limits),
        pod_tag=pod_tag,
        spawn=tasks.spawn,
        turns=TurnQueue(),
        observer=seen,
    )
    admission = Admission(
        engine,
        cors_origins=cors_origins,
        proxies=Proxies(proxies),
        http_connections=connections,
        is_overloaded=is_overloaded,
    )
    world = World(engine, admission, seen, tasks, connections, keep_alive_seconds)
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        socket.create_server((wire.HOST, 0), backlog=1024) as listener,
    ):
        for module in ("admission", "pending_closes", "server", "slow"):
            monkeypatch.setattr(f"constellation_ws.engine.{module}.time", world.clock)
        await world.serve(listener)
        try:
            yield world
        finally:
            await world.stop()


def event(number: int, payload: bytes = b"") -> Frame:
    """Make an event that tells its number."""
    return Frame(b'42/chats,["event",%d,"%b"]' % (number, payload))


def heard(number: int, payload: str = "") -> str:
    """Say how a client hears it."""
    return f'42/chats,["event",{number},"{payload}"]'


async def join(client: wire.Wire) -> None:
    """Connect to the namespace."""
    await client.send("40/chats")
    answer = await client.packet()
    assert isinstance(answer, str)
    assert answer.startswith("40/chats,")


async def flood(client: wire.Wire) -> None:
    """Send pings for ever, and read no pong."""
    pings = client_frame(PING, b"x" * 125) * 500
    while True:
        await client.write(pings)
