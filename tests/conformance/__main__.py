"""Serve what the official Socket.IO v5 and Engine.IO v4 test suites talk to.

`python -m tests.conformance --port 3000 --ping-interval 1 --ping-timeout 1`

The suites: github.com/socketio/socket.io-protocol and github.com/socketio/engine.io-protocol, folder
`test-suite` of each. Socket.IO answers on `/socket.io/` (namespaces `/` and `/custom`), an Engine.IO
echo on `/engine.io/`.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
from typing import Any

import uvicorn

from service.admission import Rate
from service.engine import Engine, EngineLimits, HttpProtocol, LongPolling, Server
from service.http import dispatch

NAMESPACES = ("/", "/custom")
SOCKET_IO, ENGINE_IO = "/socket.io", "/engine.io"


class SuiteServer(Server):
    """The product's server with the one sentence that the suite compares letter by letter."""

    def invalid_namespace(self) -> dict[str, Any]:
        """Answer as the reference server does, without a code."""
        return {"message": "Invalid namespace"}


def socket_io(engine: Engine) -> Server:
    """Echo events and greet with the handshake's payload, on both namespaces."""
    server = SuiteServer(engine)
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
        engine.settle(engine.sockets[sid])

    async def message(sid: str, data: str | bytes) -> None:
        await engine.send(sid, data)

    async def disconnect(sid: str, reason: str) -> None:
        """Nothing is kept."""

    engine.on("connect", connect)
    engine.on("message", message)
    engine.on("disconnect", disconnect)


def make_engine(ping_interval_seconds: float, ping_timeout_seconds: float) -> Engine:
    """Make an engine with the limits that the suites expect."""
    limits = EngineLimits(
        ping_interval_seconds=ping_interval_seconds,
        ping_timeout_seconds=ping_timeout_seconds,
        connect_timeout_seconds=1,
        max_payload_bytes=1_000_000,
        max_write_buffer_bytes=10_000_000,
        max_connections=10_000,
        connects=Rate(10_000, 10_000),
    )
    return Engine(limits, pod_tag="test", cors_origins=("*",))


async def serve(port: int, ping_interval_seconds: float, ping_timeout_seconds: float) -> None:
    """Serve both protocols until interrupted."""
    engines = {
        path: make_engine(ping_interval_seconds, ping_timeout_seconds)
        for path in (SOCKET_IO, ENGINE_IO)
    }
    socket_io(engines[SOCKET_IO])
    echo(engines[ENGINE_IO])
    upgrades = {path: engine.upgrade for path, engine in engines.items()}
    app = dispatch(_nothing, LongPolling(engines[SOCKET_IO]), SOCKET_IO)
    app = dispatch(app, LongPolling(engines[ENGINE_IO]), ENGINE_IO)
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        http=functools.partial(HttpProtocol, upgrades=upgrades),  # type: ignore[arg-type]  # a class
        ws=asyncio.Protocol,
        lifespan="off",
        log_level="warning",
    )
    async with asyncio.TaskGroup() as group:
        for engine in engines.values():
            engine.spawn = group.create_task
            group.create_task(engine.run(lambda: None))
        await uvicorn.Server(config).serve()
        raise KeyboardInterrupt


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ping-interval", type=float, default=25, help="seconds")
    parser.add_argument("--ping-timeout", type=float, default=20, help="seconds")
    chosen = parser.parse_args()
    try:
        asyncio.run(serve(chosen.port, chosen.ping_interval, chosen.ping_timeout))
    except* KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
