"""A client that has joined a chat and reads nothing, and far more events than may wait for it.

Its socket is written to by hand: no client library leaves off reading.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from benchmarks.machine import Cores, pinned
from benchmarks.raw_client import TEXT, UPGRADE, frame
from benchmarks.valkey import Valkey

_EVENT = '{"recipientId":"slow","text":"%s"}' % ("x" * 20_000)
_EVENTS_PER_SECOND = 200


@contextmanager
def flood(valkey: Valkey, cores: Cores) -> Iterator[None]:
    """Publish to the slow client, whether it is there or not: 4 MB a second."""
    has_ended = threading.Event()

    def publish() -> None:
        with Redis(port=valkey.port) as redis:
            while not has_ended.wait(1 / _EVENTS_PER_SECOND):
                redis.publish("chat:newMessage", _EVENT)

    thread = threading.Thread(target=publish)
    with pinned(cores.load):
        thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()


@contextmanager
def slow_consumer(ws_port: int) -> Iterator[None]:
    """Have it connected until the gateway closes it."""
    with socket.create_connection(("127.0.0.1", ws_port)) as client:
        client.sendall(UPGRADE + frame(TEXT, b'40/chats,{"userId":"slow"}'))
        client.sendall(frame(TEXT, b'42/chats,["join-chat",{"chatId":"c1"}]'))
        yield
