"""Reading in turns: every byte once and in order, and nothing read while bytes wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.http.bounded_reading import PIECE_BYTES, TURN_BYTES, TURN_LOAD, BoundedReading
from constellation_ws.runtime import turn_queue
from constellation_ws.runtime.turn_queue import TurnQueue


class Transport:
    """Remembers whether it may be read."""

    def __init__(self) -> None:
        self.is_read = True
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        assert not self.closing
        self.is_read = False

    def resume_reading(self) -> None:
        assert not self.closing
        self.is_read = True


class Clock:
    """Stands still unless somebody uses time."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection's turn in each turn of the loop, whatever the clock says."""
    monkeypatch.setattr(turn_queue, "slice_seconds", lambda _: 0.0)


class Protocol(BoundedReading):
    """Keeps what it was given to parse, turn by turn."""

    def __init__(self, load: int = 0, turns: TurnQueue | None = None) -> None:
        self.transport = Transport()
        turns = TurnQueue(clock=Clock()) if turns is None else turns
        self.begin_reading(cast("Any", self.transport), turns)
        self.load = load
        self.pieces: list[bytes] = []
        self.pause_at: int | None = None

    def parse(self, piece: bytes) -> int:
        assert len(piece) <= PIECE_BYTES
        self.pieces.append(piece)
        if self.pause_at == len(self.pieces):
            self.pause_reading()
        return self.load

    @property
    def parsed(self) -> bytes:
        return b"".join(self.pieces)


def numbered(size: int) -> bytes:
    return b"".join(b"%07d|" % number for number in range(size // 8 + 1))[:size]


async def turn() -> None:
    await asyncio.sleep(0)


async def test_a_small_read_is_parsed_at_once_and_nothing_is_paused() -> None:
    protocol = Protocol()
    protocol.data_received(b"x" * PIECE_BYTES)
    protocol.data_received(b"y")
    assert protocol.pieces == [b"x" * PIECE_BYTES, b"y"]
    assert protocol.transport.is_read


async def test_a_large_read_is_parsed_over_several_turns_and_then_more_is_read() -> None:
    protocol, data = Protocol(), numbered(10 * TURN_BYTES)
    protocol.data_received(data)
    for turns in range(10):
        assert protocol.parsed == data[: turns * TURN_BYTES]
        assert not protocol.transport.is_read
        await turn()
    assert protocol.parsed == data
    assert protocol.transport.is_read


async def test_what_costs_much_ends_a_turn_early() -> None:
    protocol = Protocol(load=TURN_LOAD // 2)
    protocol.data_received(numbered(TURN_BYTES))
    await turn()
    assert len(protocol.pieces) == 2
    await turn()
    assert len(protocol.pieces) == 4


async def test_while_the_client_has_to_wait_nothing_is_parsed_or_read() -> None:
    protocol, data = Protocol(), numbered(2 * TURN_BYTES)
    protocol.pause_at = 3
    protocol.data_received(data)
    for _ in range(5):
        await turn()
    assert len(protocol.pieces) == 3
    assert not protocol.transport.is_read
    protocol.resume_reading()
    for _ in range(5):
        await turn()
    assert protocol.parsed == data
    assert protocol.transport.is_read


async def test_paused_and_resumed_within_one_turn_it_goes_on_once_a_turn() -> None:
    class Resuming(Protocol):
        def parse(self, piece: bytes) -> int:
            super().parse(piece)
            self.pause_reading()
            self.resume_reading()
            return TURN_LOAD

    protocol = Resuming()
    protocol.data_received(numbered(8 * PIECE_BYTES))
    for pieces in range(8):
        assert len(protocol.pieces) == pieces
        await turn()
    assert protocol.transport.is_read


@pytest.mark.parametrize("is_read", [True, False])
async def test_once_it_is_over_nothing_is_parsed_any_more(is_read: bool) -> None:
    protocol = Protocol()
    protocol.data_received(numbered(3 * TURN_BYTES))
    await turn()
    (protocol.stop_parsing if is_read else protocol.stop_reading)()
    parsed = protocol.parsed
    protocol.data_received(b"more")
    protocol.resume_reading()
    await turn()
    assert protocol.parsed == parsed
    assert protocol.transport.is_read is is_read


async def test_what_is_closed_meanwhile_is_left_alone() -> None:
    protocol = Protocol()
    protocol.data_received(numbered(3 * TURN_BYTES))
    await turn()
    parsed, protocol.transport.closing = protocol.parsed, True
    await turn()
    protocol.pause_reading()
    protocol.resume_reading()
    assert protocol.parsed == parsed


async def test_what_was_not_parsed_can_be_handed_over() -> None:
    protocol, data = Protocol(), numbered(3 * TURN_BYTES)
    protocol.data_received(data)
    await turn()
    assert protocol.pop_unparsed() == data[TURN_BYTES:]
    await turn()
    assert protocol.parsed == data[:TURN_BYTES]
    assert protocol.transport.is_read


@given(
    reads=st.lists(st.integers(0, 20_000), max_size=4),
    load=st.integers(0, TURN_LOAD),
    pauses=st.lists(st.booleans(), max_size=20),
)
def test_every_byte_is_parsed_once_and_in_order(
    reads: list[int], load: int, pauses: list[bool]
) -> None:
    async def play() -> None:
        protocol, sent = Protocol(load), b""
        doings = iter(pauses)
        for size in reads:
            data = numbered(len(sent) + size)[len(sent) :]
            sent += data
            protocol.data_received(data)
            if next(doings, False):
                protocol.pause_reading()
                await turn()
                protocol.resume_reading()
        for _ in range(100):
            await turn()
        assert protocol.parsed == sent
        assert protocol.transport.is_read

    asyncio.run(play())


async def test_all_is_parsed_once_nothing_that_was_read_waits() -> None:
    protocol = Protocol()
    assert protocol.has_parsed_all()
    protocol.data_received(numbered(10))
    assert protocol.has_parsed_all()
    protocol.data_received(numbered(3 * TURN_BYTES))
    assert not protocol.has_parsed_all()
    while not protocol.has_parsed_all():
        await turn()
    assert len(protocol.parsed) == 10 + 3 * TURN_BYTES


async def test_what_waits_for_a_client_that_has_to_wait_is_not_parsed() -> None:
    protocol = Protocol()
    protocol.pause_at = 1
    protocol.data_received(numbered(2 * PIECE_BYTES))
    await turn()
    assert not protocol.has_parsed_all()
    protocol.resume_reading()
    await turn()
    assert protocol.has_parsed_all()


class Costly(Protocol):
    """Each piece takes some time."""

    def __init__(self, seconds: float) -> None:
        self.clock, self.pauses = Clock(), 0
        super().__init__(turns=TurnQueue(self.count_pause, self.clock))
        self.seconds = seconds

    def count_pause(self) -> None:
        self.pauses += 1

    def parse(self, piece: bytes) -> int:
        self.clock.now += self.seconds
        return super().parse(piece)


async def test_who_costs_more_than_the_share_is_not_read_until_it_is_repaid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later: list[tuple[float, Callable[[], None]]] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_later", lambda seconds, call: later.append((seconds, call)))
    protocol = Costly(seconds=0.001)
    sent = 0
    while not later:
        protocol.data_received(b"x")
        sent += 1
        await turn()
        assert sent < 100
    assert sent >= 5, "a burst is free"
    assert protocol.pauses == 1
    assert not protocol.transport.is_read
    seconds, go_on = later[0]
    protocol.clock.now += seconds + 0.000001
    go_on()
    await turn()
    assert protocol.transport.is_read
    assert protocol.parsed == b"x" * sent


async def test_small_reads_of_many_connections_do_not_hold_the_loop_together() -> None:
    first = Costly(seconds=0.0002)
    many = [first, *(Costly(seconds=0.0002) for _ in range(99))]
    for one in many:
        one.clock, one._turns = first.clock, first._turns
        one.data_received(b"x")
    assert sum(len(one.pieces) for one in many) < 5
    for turns in range(1, 101):
        await turn()
        assert sum(len(one.pieces) for one in many) < 5 + turns
    assert [one.parsed for one in many] == [b"x"] * 100
