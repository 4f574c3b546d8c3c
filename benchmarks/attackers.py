"""`python -m benchmarks.attackers KIND WS_PORT TCP_PORT`: one kind of attack, until it is killed.

A process of its own, so that what attacks does not share an interpreter with what measures. Each
attacker sends as fast as its socket takes it, and connects again when it is closed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

from benchmarks.raw_client import CONTINUATION, PING, TEXT, UPGRADE, frame

_HOST = "127.0.0.1"
_HALF_OPEN = 1_250
"""Of each attacker: four hold five thousand, as many as the table of attacks has."""
_Attack = Callable[[int, int], Iterator[None]]


def _nest(packet: bytes) -> bytes:
    """Write a packet as NestJS' TCP transport does."""
    return b"%d#%s" % (len(packet), packet)


def _websocket(begin: bytes, endless: bytes, connect: bytes = b"") -> _Attack:
    """On a WebSocket: something to begin with, and something for ever."""

    def attack(ws_port: int, _: int) -> Iterator[None]:
        block = endless * max(1, 60_000 // len(endless))
        with socket.create_connection((_HOST, ws_port), 5) as client:
            client.sendall(UPGRADE + connect + begin)
            while True:
                client.sendall(block)
                with contextlib.suppress(BlockingIOError):
                    client.recv(1 << 20, socket.MSG_DONTWAIT)
                yield

    return attack


def _raw(is_tcp_port: bool, *parts: bytes) -> _Attack:
    """On a plain connection, once, until it is closed; then again."""

    def attack(ws_port: int, tcp_port: int) -> Iterator[None]:
        port = tcp_port if is_tcp_port else ws_port
        with socket.create_connection((_HOST, port), 5) as client:
            for part in parts:
                client.sendall(part)
                yield
            client.shutdown(socket.SHUT_WR)
            while client.recv(1 << 16):
                yield

    return attack


def _half_open(ws_port: int, _: int) -> Iterator[None]:
    """Thousands of connections that say nothing."""
    with contextlib.ExitStack() as held:
        for _number in range(_HALF_OPEN):
            held.enter_context(socket.create_connection((_HOST, ws_port), 5))
            yield
        time.sleep(5)


def _come_and_go(ws_port: int, _: int) -> Iterator[None]:
    """Connect, enter the namespace, and vanish."""
    with socket.create_connection((_HOST, ws_port), 5) as client:
        client.sendall(UPGRADE + frame(TEXT, b'40/chats,{"userId":"mallory%d"}' % os.getpid()))
        client.recv(1 << 16)
        yield


_CONNECT = frame(TEXT, b'40/chats,{"userId":"mallory"}')
_JOINS = b"".join(
    frame(TEXT, b'42/chats,%d["join-chat",{"chatId":"%d%s"}]' % (n, n, b"x" * 60))
    for n in range(300)
)
_POST = (
    b"POST /socket.io/?EIO=4&transport=polling&sid=nobody HTTP/1.1\r\nHost: x\r\n"
    b"Content-Length: 1000000\r\n\r\n" + b"4" * 1_000_000
)
_GET = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"
_REQUEST = _nest(b'{"pattern":"no-such","data":{},"id":"12345678"}')
_NESTED = b"[" * 50_000 + b"]" * 50_000
ATTACKS: dict[str, _Attack] = {
    "empty fragments": _websocket(
        frame(TEXT, b"4", is_last=False), frame(CONTINUATION, is_last=False)
    ),
    "fragments of a byte": _websocket(
        frame(TEXT, b"4", is_last=False), frame(CONTINUATION, b"x", is_last=False)
    ),
    "pings": _websocket(b"", frame(PING, b"x" * 125)),
    "heartbeats": _websocket(b"", frame(TEXT, b"3")),
    "connects": _websocket(b"", frame(TEXT, b'40/chats,{"userId":true}')),
    "joins": _websocket(b"", _JOINS, _CONNECT),
    "unknown events": _websocket(b"", frame(TEXT, b'42/chats,["no-such-event"]'), _CONNECT),
    "large requests": _websocket(
        b"", frame(TEXT, b'42/chats,1["join-chat","' + b"x" * 50_000 + b'"]'), _CONNECT
    ),
    "half-open connections": _half_open,
    "come and go": _come_and_go,
    "polling handshakes": _raw(False, *[_GET] * 100),
    "posts of a megabyte": _raw(False, _POST),
    "endless heads": _raw(False, b"GET / HTTP/1.1\r\nHost: x\r\n", *[b"X-A: b\r\n" * 1_000] * 10),
    "nested JSON on the TCP port": _raw(
        True, _nest(b'{"pattern":"ping","data":%s,"id":"1"}' % _NESTED)
    ),
    "requests on the TCP port": _raw(True, *[_REQUEST] * 999),
}


def main(kind: str, ws_port: int, tcp_port: int, attackers: int) -> None:
    """Attack until killed.

    Only in the time that no other process wants: attackers elsewhere would take none from Valkey
    and the load generator, whose core these share.
    """
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    threads = [
        threading.Thread(target=_go_on, args=(ATTACKS[kind], ws_port, tcp_port), daemon=True)
        for _ in range(attackers)
    ]
    for thread in threads:
        thread.start()
    threads[0].join()


def _go_on(attack: _Attack, ws_port: int, tcp_port: int) -> None:
    for _ in itertools.count():
        with contextlib.suppress(OSError):
            for _step in attack(ws_port, tcp_port):
                pass


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
