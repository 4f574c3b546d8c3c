"""The product's engine and server, dressed as the official protocol suites presuppose.

Lives here: the handlers that echo, the limits, and serving both paths on one port. The command line
is `__main__`'s.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from constellation_ws.engine import pending_closes
from constellation_ws.engine.admission import Admission
from constellation_ws.engine.elsewhere import Nowhere
from constellation_ws.engine.inbox import Rest
from constellation_ws.engine.limits import EngineLimits
from constellation_ws.engine.polling import LongPolling
from constellation_ws.engine.polls import Polls
from constellation_ws.engine.server import Engine
from constellation_ws.engine.upgrading import Upgrades
from constellation_ws.http.lobby import Lobby
from constellation_ws.http.protocol import HttpProtocol
from constellation_ws.messages.admission import Rate, Refusal
from constellation_ws.messages.namespaces import Namespaces
from constellation_ws.observability.probes import dispatch
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.socketio.membership import Membership
from constellation_ws.socketio.server import Server

HOST, HOST_V6 = "127.0.0.1", "::1"
NAMESPACES = ("/", "/custom")
SOCKET_IO, ENGINE_IO = "/socket.io", "/engine.io"


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the profile is patient."""

    ping_interval_seconds: float
    ping_timeout_seconds: float
    connect_timeout_seconds: float
    linger_seconds: float
    """For a client's answer to a close."""


class SuiteServer(Server):
    """The product's server with the one sentence that the suite compares letter by letter."""

    def connect_error(self, refusal: Refusal) -> dict[str, Any]:
        """Answer as the reference server does, without a code."""
        return {"message": "Invalid namespace"}


def socket_io(engine: Engine) -> Server:
    """Echo events and greet with the handshake's payload, on both namespaces."""
    server = SuiteServer(
        engine, Membership(Namespaces(NAMESPACES)), lambda member, request_bytes: None
    )
    for namespace in NAMESPACES:

        async def connect(
            sid: str, environ: object, auth: object, namespace: str = namespace
        ) -> None:
            # After the CONNECT packet, which is sent when this handler has returned.
            server.start_background_task(
                server.emit, "auth", auth or {}, to=sid, namespace=namespace
            )

        async def message(sid: str, *args: Any, namespace: str = namespace) -> None:
            await server.emit("message-back", args, to=sid, namespace=namespace)

        async def message_with_ack(sid: str, *args: Any) -> tuple[Any, ...]:
            return args

        server.on("connect", connect, namespace=namespace)
        server.on("message", message, namespace=namespace)
        server.on("message-with-ack", message_with_ack, namespace=namespace)
    return server


def echo(engine: Engine) -> None:
    """Send every Engine.IO message back."""

    def connect(sid: str, handshake: object) -> None:
        engine.mark_used(engine.sockets[sid])

    def message(sid: str, data: str | bytes) -> Rest:
        return partial(engine.send, sid, data)

    async def disconnect(sid: str, reason: str) -> None:
        """Nothing is kept."""

    engine.on("connect", connect)
    engine.on("message", message)
    engine.on("disconnect", disconnect)


def make_engine(timing: Timing, spawn: Spawn) -> Engine:
    """Make an engine with the limits that the suites expect."""
    limits = EngineLimits(
        ping_interval_seconds=timing.ping_interval_seconds,
        ping_timeout_seconds=timing.ping_timeout_seconds,
        connect_timeout_seconds=timing.connect_timeout_seconds,
        max_payload_bytes=1_000_000,
        max_request_bytes=100_000,
        max_write_buffer_bytes=10_000_000,
        max_packets_per_ping_interval=1_000_000,
        max_connections=10_000,
        max_connections_per_address=0,
        connects=Rate(10_000, 10_000),
    )
    pending_closes.CLOSE_SECONDS = timing.linger_seconds  # the product has no setting for it
    return Engine(limits, pod_tag="test", spawn=spawn, turns=TurnQueue())


async def serve(port: int, timing: Timing) -> None:
    """Serve both protocols until interrupted, and say where."""
    group = asyncio.TaskGroup()
    engines = {path: make_engine(timing, group.create_task) for path in (SOCKET_IO, ENGINE_IO)}
    socket_io(engines[SOCKET_IO])
    echo(engines[ENGINE_IO])
    server = uvicorn.Server(_config(engines))
    with _listeners(port) as listeners:
        print(f"listening on {listeners[0].getsockname()[1]}", flush=True)
        async with group:
            tasks = [group.create_task(engine.run(lambda: None)) for engine in engines.values()]
            await server.serve(sockets=listeners)
            for task in tasks:
                task.cancel()


@contextmanager
def _listeners(port: int) -> Iterator[list[socket.socket]]:
    """Listen on both addresses of `localhost`, as clients take the one or the other first."""
    with socket.create_server((HOST, port), backlog=1024) as listener:
        listeners = [listener]
        with suppress(OSError):  # no IPv6 here, or the port is taken there: the first one will do
            port = listener.getsockname()[1]
            listeners.append(socket.create_server((HOST_V6, port), family=socket.AF_INET6))
        try:
            yield listeners
        finally:
            for one in listeners:
                one.close()


def _config(engines: dict[str, Engine]) -> uvicorn.Config:
    app: ASGIApp = _not_found
    upgrades = {}
    for path, engine in engines.items():
        admission = Admission(engine, cors_origins=("*",))
        polls = Polls(engine, admission)
        app = dispatch(app, LongPolling(engine, admission, polls, Nowhere()), path)
        upgrades[path] = Upgrades(engine, admission, Nowhere()).handle
    lobby, idle = (Lobby(10_000, admission.refuse) for _ in range(2))
    return uvicorn.Config(
        app,
        http=functools.partial(  # type: ignore[arg-type]  # called like the class
            HttpProtocol, turns=engine.turns, upgrades=upgrades, lobby=lobby, idle=idle
        ),
        ws=asyncio.Protocol,
        lifespan="off",
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


async def _not_found(scope: Any, receive: Any, send: Any) -> None:
    empty = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 404, "headers": empty})
    await send({"type": "http.response.body", "body": b""})
