"""`python -m benchmarks.flood`: what five hundred others notice of one user who floods a gateway.

Rounds with and without the flood alternate on one server. Each flooder asks as fast as its socket
takes, is closed for it, and connects again: as many as one user may be.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import statistics
import sys
import threading
from collections.abc import Iterator

from benchmarks import load, machine, servers
from benchmarks.machine import Cores, pinned
from benchmarks.observed import observed
from benchmarks.workloads import Options

OTHERS = 500
FLOODERS = 10
ROUNDS = 3
_LISTENING: Options = {
    "workload": "latency",
    "clients": OTHERS,
    "warm-clients": 100,
    "chats": 1,
    "rate": 20,
    "warmup-seconds": 1,
    "seconds": 5,
    "settle-seconds": 0.5,
}
_UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def main() -> int:
    """0, or 1 when it could not be measured."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no server behind
    machine.allow_open_files()
    alone, beside = [], []
    try:
        with observed() as server:
            server.load(_LISTENING)
            for _ in range(ROUNDS):
                alone.append(server.load(_LISTENING).p99_ms)
                with flooders(server.running.ws_port, server.cores):
                    beside.append(server.load(_LISTENING).p99_ms)
            limited = server.metrics_when_empty()
    except (servers.ServerFailed, load.LoadFailed) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"p99 of {OTHERS} others, ms: {_figures(alone)} alone, {_figures(beside)} beside a flood")
    for name, count in limited.items():
        if name in {"constellation_disconnects_total", "constellation_client_requests_total"}:
            print(f"{name} {count:.0f}")
    return 0


@contextlib.contextmanager
def flooders(ws_port: int, cores: Cores) -> Iterator[None]:
    """One user who floods on several connections."""
    has_ended = threading.Event()
    threads = [threading.Thread(target=_flood, args=(ws_port, has_ended)) for _ in range(FLOODERS)]
    with pinned(cores.load):
        for thread in threads:
            thread.start()
    try:
        yield
    finally:
        has_ended.set()
        for thread in threads:
            thread.join()


def _flood(ws_port: int, has_ended: threading.Event) -> None:
    requests = b"".join(_text(f'42/chats,{n}["join-chat","x"]') for n in range(500))
    while not has_ended.is_set():
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", ws_port), 1) as client,
        ):
            client.sendall(_UPGRADE + _text('40/chats,{"userId":"mallory"}'))
            while not has_ended.is_set():
                client.sendall(requests)
                client.recv(1 << 20)


def _text(message: str) -> bytes:
    """Write a short text frame; a mask of zeros leaves the text as it is."""
    return bytes([0x81, 0x80 | len(message)]) + bytes(4) + message.encode()


def _figures(figures: list[float]) -> str:
    rounds = ", ".join(f"{one:.1f}" for one in figures)
    return f"{statistics.median(figures):.1f} ({rounds})"


if __name__ == "__main__":
    sys.exit(main())
