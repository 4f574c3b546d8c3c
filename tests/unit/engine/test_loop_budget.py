"""The worst that one connection can send, against what one turn of the event loop may do for it.

Counted in work, not in time: frames and requests parsed, calls of the HTTP parser, messages
handled. On a slow machine one of each takes a few microseconds, a handled message some fifty. A
turn may find both a read and what an earlier read has left, so it may do twice what is allowed.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from constellation_ws.engine import inbox
from constellation_ws.engine.connection import WebSocketConnection
from constellation_ws.http.bounded_reading import PIECE_BYTES, TURN_BYTES, TURN_LOAD
from constellation_ws.http.protocol import HttpProtocol
from constellation_ws.runtime import turn_queue
from constellation_ws.websocket import Parser
from tests.conformance.wire import request
from tests.unit.engine.world import PATH, World, serving
from tests.waiting import PATIENCE_SECONDS, eventually
from tests.websocket_frames import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    client_frame,
    client_message,
)

MANY = 100_000
SMALLEST_FRAME_BYTES = 6
MOST_FRAMES = 2 * (TURN_LOAD + PIECE_BYTES // SMALLEST_FRAME_BYTES)
MOST_BYTES = 2 * (TURN_BYTES + PIECE_BYTES)
MOST_HANDLED = 2 * 4
MOST_ENDS = 2 * 5
SMALL_REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
MOST_REQUESTS = 2 * (PIECE_BYTES // len(SMALL_REQUEST) + 1)
UNLIMITED = 1_000_000_000
"""So that a flood is worked through to its end instead of being closed at its beginning."""


class Work:
    """What was done in each turn of the loop, and the most of each kind."""

    def __init__(self) -> None:
        self._now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.total: Counter[str] = Counter()

    def note(self, kind: str, count: int = 1) -> None:
        self._now[kind] += count

    def turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """End a turn, and be called again at the end of the next one."""
        self.most |= self._now
        self.total += self._now
        self._now.clear()
        loop.call_soon(self.turn, loop)


@pytest_asyncio.fixture
async def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Count the work of every turn."""
    work = Work()
    # One at a time, whatever the clock says: on a fast machine a turn has room for more.
    monkeypatch.setattr(turn_queue, "slice_seconds", lambda _: 0.0)
    _count_frames(work, monkeypatch)
    _count(work, monkeypatch, HttpProtocol, "on_message_begin", "requests")
    for callback in ("on_header", "on_body"):
        _count(work, monkeypatch, HttpProtocol, callback, "calls of the HTTP parser")
    _count(work, monkeypatch, inbox, "_dispatch", "messages")
    work.turn(asyncio.get_running_loop())
    return work


def _count(
    work: Work, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, kind: str
) -> None:
    original: Callable[..., object] = getattr(owner, name)

    def counted(*args: object) -> object:
        work.note(kind)
        return original(*args)

    monkeypatch.setattr(owner, name, counted)


def _count_frames(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Parser.feed

    def counted(parser: Parser, data: bytes) -> object:
        received = feed(parser, data)
        work.note("frames", parser.load)
        work.note("bytes", len(data))
        return received

    monkeypatch.setattr(Parser, "feed", counted)


EMPTY = client_frame(CONTINUATION, last=False)
FLOODS = {
    "pings": client_frame(PING) * MANY,
    "pings with payload": client_frame(PING, b"x" * 125) * (MANY // 10),
    "pongs": client_frame(PONG) * MANY,
    "empty binary messages": client_frame(BINARY) * 10,
    "empty fragments": (client_frame(TEXT, last=False) + EMPTY * 30_000),
    "fragments of a byte": client_message(TEXT, b"6" + b"x" * 30_000, 1),
    "a large message in fragments": client_message(BINARY, zlib.compress(b"x") * 5_000, 64),
    "a large message": client_frame(TEXT, b"6" + b"x" * 99_999),
    "texts of a byte": client_frame(TEXT, b"6") * MANY,
    "masks of all kinds": b"".join(
        client_frame(TEXT, b"6", mask=number.to_bytes(4)) for number in range(20_000)
    ),
    "events": client_frame(TEXT, b'42/chats,["x"]') * 5_000,
}


@pytest.mark.parametrize("name", FLOODS)
async def test_no_turn_parses_more_of_a_websocket_than_it_may(name: str, work: Work) -> None:
    flood = FLOODS[name]
    async with serving(max_packets_per_ping_interval=UNLIMITED) as world, world.member() as client:
        sending = asyncio.create_task(client.write(flood))
        await all_is_parsed(world, work, len(flood))
        await sending
    assert work.most["frames"] <= MOST_FRAMES
    assert work.most["bytes"] <= MOST_BYTES
    assert work.most["messages"] <= MOST_HANDLED


async def all_is_parsed(world: World, work: Work, size: int) -> None:
    """Wait until so many bytes were parsed, or the connection is closed."""
    await eventually(
        lambda: work.total["bytes"] >= size or not world.sids, PATIENCE_SECONDS, "all is parsed"
    )


HEAD = f"GET {PATH}/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n".encode()
CHUNKED = request(f"{PATH}/", [("Transfer-Encoding", "chunked")], method="POST")
HTTP_FLOODS = {
    "requests in a row": SMALL_REQUEST * 5_000,
    "requests behind one that waits": HEAD + b"\r\n" + SMALL_REQUEST * 5_000,
    "headers of two bytes": HEAD + b"a:\r\n" * MANY,
    "chunks of a byte": CHUNKED + b"1\r\nx\r\n" * MANY,
}


@pytest.mark.parametrize("name", HTTP_FLOODS)
async def test_no_turn_parses_more_of_http_than_it_may(name: str, work: Work) -> None:
    async with serving() as world, world.wired() as wire:
        ended = asyncio.create_task(wire.ended())
        with contextlib.suppress(ConnectionError):  # refused and closed meanwhile
            await wire.write(HTTP_FLOODS[name])
            wire.half_close()
        await ended
    assert work.most["requests"] <= MOST_REQUESTS
    assert work.most["calls of the HTTP parser"] <= MOST_BYTES // 4


async def test_a_request_of_many_packets_is_taken_in_turns(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(max_packets_per_ping_interval=UNLIMITED) as world, world.http() as http:
        _count(work, monkeypatch, world.engine, "receive_packet", "packets")
        polling = await http.open()
        await polling.send("40/chats")
        await polling.packets()
        answer = await polling.post("\x1e".join(["3"] * 20_000))
        assert answer.text == "ok"
    assert work.total["packets"] > 20_000
    assert work.most["packets"] <= 2 * 64


async def test_silent_connections_that_are_closed_together_end_a_few_in_each_turn(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    _count(work, monkeypatch, HttpProtocol, "connection_lost", "ends")
    async with serving() as world, AsyncExitStack() as held:
        silent = [await held.enter_async_context(world.wired()) for _ in range(200)]
        await eventually(
            lambda: world.http_connections == len(silent), PATIENCE_SECONDS, "all are accepted"
        )
        for wire in silent:
            wire.half_close()
        for wire in silent:
            await wire.ended()
    assert work.total["ends"] == len(silent)
    assert work.most["ends"] <= MOST_ENDS


async def test_sessions_whose_connections_are_closed_together_end_a_few_in_each_turn(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    _count(work, monkeypatch, WebSocketConnection, "connection_lost", "ends")
    async with serving() as world, AsyncExitStack() as held:
        members = [await held.enter_async_context(world.member()) for _ in range(100)]
        _count(work, monkeypatch, world.engine, "remove", "sessions")
        for member in members:
            member.half_close()
        await eventually(lambda: not world.sids, PATIENCE_SECONDS, "all sessions are removed")
    assert work.total["ends"] == len(members)
    assert work.most["ends"] <= MOST_ENDS
    assert work.most["sessions"] <= 2 * MOST_ENDS, "asked twice for each: at its end, and after it"
