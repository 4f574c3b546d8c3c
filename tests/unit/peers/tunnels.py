"""A tunnel between two pods, for tests.

The client's end is on pod `a`, the session on pod `b`. Nothing is carried between them but by
`carry` and `settle`, so each test says what has crossed what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from constellation_ws.peers.link import Link
from constellation_ws.peers.tunnel_entrance import TunnelEntrance
from constellation_ws.peers.tunnel_exit import TunnelExit
from constellation_ws.peers.wire import Kind
from tests.peer_lines import Line, Two

WELCOME = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
REFUSAL = b"HTTP/1.1 400 Bad Request\r\n\r\n"
BOUND = 262_144


class Owner(asyncio.Protocol):
    """Who has the session: keeps what it is told."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost_count = 0
        self.pauses: list[bool] = []

    def data_received(self, data: bytes) -> None:
        assert not self.lost_count, "bytes after the end"
        self.heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost_count += 1

    def pause_writing(self) -> None:
        self.pauses.append(True)

    def resume_writing(self) -> None:
        self.pauses.append(False)


class Arrivals:
    """Who takes sessions at the entrance: answers when a test does."""

    def __init__(self) -> None:
        self.answers: list[Callable[[bool], None]] = []
        self.offers: list[bytes] = []
        self.taken: list[tuple[bytes, int, asyncio.Transport, bytes]] = []

    def expect(self, offer: bytes, answer: Callable[[bool], None]) -> int:
        self.offers.append(offer)
        self.answers.append(answer)
        return 1_000 + len(self.offers)

    def take(
        self, session: bytes, expected: int, transport: asyncio.Transport, early: bytes
    ) -> None:
        self.taken.append((session, expected, transport, early))


class Tunnel:
    """A tunnel between two pods, not opened yet."""

    def __init__(self) -> None:
        self.two = Two(begin=self._begin).greet()
        self.client = Line()
        self.owner, self.arrivals = Owner(), Arrivals()
        self.is_refused = False
        self.exit: Any = None
        self.closed_sessions = 0
        self.ended: list[TunnelEntrance] = []
        self.entrance = TunnelEntrance(
            self.client,
            welcome=WELCOME,
            refusal=lambda: REFUSAL,
            arrivals=self.arrivals,
            closed=self.ended.append,
            max_waiting_bytes=BOUND,
        )
        self.client.protocol = self.entrance

    def open(self) -> Tunnel:
        """Lead the client to its session, until its handshake is answered."""
        self.entrance.open(self.two.a, b"opening")
        self.two.settle()
        assert self.client.taken() == WELCOME
        assert self.client.is_read
        return self

    def say(self, data: bytes) -> None:
        """Let the client send something."""
        self.entrance.data_received(data)

    @property
    def stream_count(self) -> tuple[int, int]:
        """Streams that either pod still keeps."""
        return len(self.two.a.streams), len(self.two.b.streams)

    def _begin(self, link: Link, kind: int, stream: int, payload: bytes) -> None:
        if kind != Kind.OPEN:
            return  # late news of a stream that has ended
        assert payload == b"opening"
        self.exit = TunnelExit(link, stream, self._close_session)
        if self.is_refused:
            self.exit.refuse()
        else:
            self.exit.start(self.owner)

    def _close_session(self) -> None:
        self.closed_sessions += 1
