"""Serve what the official Socket.IO v5 and Engine.IO v4 test suites talk to.

`python -m tests.conformance --port 3000 --ping-interval 1 --ping-timeout 1`

The suites: github.com/socketio/socket.io-protocol and github.com/socketio/engine.io-protocol,
folder `test-suite` of each. Socket.IO answers on `/socket.io/` (namespaces `/` and `/custom`), an
Engine.IO echo on `/engine.io/`. Port 0 takes a free one; the line `listening on <port>` names it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib

import uvloop

from constellation_ws.engine.pending_closes import CLOSE_SECONDS
from tests.conformance.profile import Timing, serve

DEFAULT_CONNECT_SECONDS = 45.0
# Three heartbeats and a half: the suites wait for three before they connect to any namespace.
CONNECT_HEARTBEATS = 3.5


def main() -> None:
    """Read the command line and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ping-interval", type=float, default=25, help="seconds")
    parser.add_argument("--ping-timeout", type=float, default=20, help="seconds")
    parser.add_argument("--connect-timeout", type=float, help="seconds")
    parser.add_argument("--linger", type=float, default=CLOSE_SECONDS, help="seconds")
    chosen = parser.parse_args()
    connect_timeout = chosen.connect_timeout or min(
        DEFAULT_CONNECT_SECONDS, CONNECT_HEARTBEATS * chosen.ping_interval
    )
    timing = Timing(chosen.ping_interval, chosen.ping_timeout, connect_timeout, chosen.linger)
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(serve(chosen.port, timing))


if __name__ == "__main__":
    main()
