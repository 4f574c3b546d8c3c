"""Frames -> sockets: all get what is meant for them, once and in order, over either transport.

How WebSocket frames are put together is `frames`' business; here a frame is told by its bytes.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.delivery.fanout import AT_ONCE, Fanout
from constellation_ws.delivery.rooms import Member, Stage
from constellation_ws.messages.events import Sid
from constellation_ws.messages.frames import Frame
from constellation_ws.runtime.direct import NOT_DIRECT
from tests.loop_turns import Others

FRAMES = [Frame(b"42/chats,[%d]" % number, (), b"%d-0" % number) for number in range(4)]
BINARY = Frame(b'451-/chats,["file",{"_placeholder":true,"num":0}]', (b"\x00\xff",), b"9-0")


class Outlet:
    """A socket that remembers what was written to it, and in how many calls."""

    is_flushed = True

    def __init__(self, websocket: bool, has_offsets: bool) -> None:
        self.has_offsets = has_offsets
        self.closed = False
        self.pending: bytes | list[bytes] | None = None
        self.writes: list[bytes] = []
        self.packets: list[str] = []
        self.descriptor = NOT_DIRECT
        self.write = self.writes.append if websocket else None

    def queue(self, packet: str) -> None:
        self.packets.append(packet)

    def has(self, *frames: Frame) -> bool:
        """Whether exactly these were written, in this order."""
        forms = [
            (frame.websocket(with_offset=wants), frame.polling(with_offset=wants))
            for frame in frames
            for wants in [self.has_offsets]
        ]
        if self.write is None:
            return self.packets == [packet for _, packets in forms for packet in packets]
        return b"".join(self.writes) == b"".join(data for data, _ in forms)


def member(websocket: bool = True, has_offsets: bool = False) -> tuple[Member, Outlet]:
    outlet = Outlet(websocket, has_offsets)
    one = Member(Sid("s"), "e", outlet)
    one.stage = Stage.CONNECTED
    one.has_offsets = has_offsets
    return one, outlet


@pytest.mark.parametrize("frame", [FRAMES[0], BINARY], ids=["text", "binary"])
def test_a_frame_reaches_everyone_in_the_form_of_their_transport(frame: Frame) -> None:
    fanout = Fanout()
    (a, over_websocket), (b, over_polling) = member(), member(websocket=False)
    fanout.add(frame, [a, b])
    fanout.flush()
    assert over_websocket.has(frame)
    assert over_polling.has(frame)


@pytest.mark.parametrize("websocket", [True, False])
@pytest.mark.parametrize("rooms", [1, 2])
def test_who_wants_offsets_gets_them_and_nobody_else(websocket: bool, rooms: int) -> None:
    fanout = Fanout()
    (a, of_a), (b, of_b) = member(websocket, has_offsets=True), member(websocket)
    for frame in FRAMES[:rooms]:
        fanout.add(frame, [a, b])
    fanout.flush()
    assert of_a.has(*FRAMES[:rooms])
    assert of_b.has(*FRAMES[:rooms])
    assert (of_a.writes, of_a.packets) != (of_b.writes, of_b.packets)


def test_nothing_is_written_before_the_flush_and_nothing_twice() -> None:
    fanout = Fanout()
    one, outlet = member()
    fanout.add(FRAMES[0], [one])
    assert outlet.has()
    fanout.flush()
    fanout.flush()
    assert outlet.has(FRAMES[0])


def test_what_a_batch_brings_leaves_in_one_write_a_socket() -> None:
    fanout = Fanout()
    (a, of_a), (b, of_b) = member(), member()
    room = {a, b}
    for frame in FRAMES[:3]:
        fanout.add(frame, room)
    fanout.add(FRAMES[3], [a])
    fanout.flush()
    assert of_a.has(*FRAMES)
    assert of_b.has(*FRAMES[:3])
    assert (len(of_a.writes), len(of_b.writes)) == (1, 1)


def test_writes_are_counted_and_those_that_carry_several_frames() -> None:
    fanout = Fanout()
    (a, _), (b, _), (polls, _) = member(), member(), member(websocket=False)
    fanout.add(FRAMES[0], [a, b, polls])
    fanout.flush()
    assert (fanout.writes, fanout.coalesced_writes) == (2, 0)
    for frame in FRAMES[:2]:
        fanout.add(frame, room := [a, polls])
        fanout.add(frame, room)
        fanout.flush()
    assert (fanout.writes, fanout.coalesced_writes) == (4, 2)
    for audience in ([a], [b], [a, polls]):
        fanout.add(FRAMES[0], audience)
    fanout.flush()
    assert (fanout.writes, fanout.coalesced_writes) == (6, 3)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), max_size=6),
    st.lists(st.sampled_from(["reads", "polls", "has gone"]), min_size=3, max_size=3),
)
def test_what_is_counted_is_what_was_written(
    batch: list[tuple[int, int]], clients: list[str]
) -> None:
    fanout = Fanout()
    members = [member(websocket=client != "polls") for client in clients]
    for client, (_, outlet) in zip(clients, members, strict=True):
        if client == "has gone":
            outlet.closed, outlet.write = True, None
    for first, frames in batch:
        audience = [one for one, _ in members[first:]]
        for frame in FRAMES[:frames]:
            fanout.add(frame, audience)
    fanout.flush()
    writes = [write for _, outlet in members for write in outlet.writes]
    singles = {frame.websocket() for frame in FRAMES}
    assert fanout.writes == len(writes)
    assert fanout.coalesced_writes == sum(write not in singles for write in writes)


@pytest.mark.parametrize("websocket", [True, False])
@pytest.mark.parametrize("rooms", [1, 2])
def test_a_closed_socket_gets_nothing(websocket: bool, rooms: int) -> None:
    fanout = Fanout()
    (gone, of_gone), (here, of_here) = member(websocket), member(websocket)
    of_gone.closed, of_gone.write = True, None
    for frame in FRAMES[:rooms]:
        fanout.add(frame, [gone, here])
    fanout.flush()
    assert (of_gone.writes, of_gone.packets) == ([], [])
    assert of_here.has(*FRAMES[:rooms])


def test_a_socket_that_is_closed_by_one_write_is_spared_and_spares_the_others() -> None:
    fanout = Fanout()
    (slow, of_slow), (here, of_here) = member(), member()

    def too_much(data: bytes) -> None:
        of_slow.writes.append(data)
        of_slow.closed, of_slow.write = True, None

    of_slow.write = too_much
    for frames in (FRAMES[:1], FRAMES[1:3]):
        for frame in frames:
            fanout.add(frame, [slow, here])
        fanout.flush()
    assert of_slow.writes == [FRAMES[0].websocket()]
    assert of_here.has(*FRAMES[:3])
    assert of_slow.pending is None
    assert (fanout.writes, fanout.coalesced_writes) == (3, 1)


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4),
    st.lists(st.tuples(st.sampled_from([*FRAMES, BINARY]), st.sets(st.integers(0, 3))), max_size=8),
    st.sets(st.integers(0, 7)),
)
def test_any_batches_reach_each_socket_whole_and_in_order(
    transports: list[tuple[bool, bool]], deliveries: list[tuple[Frame, set[int]]], flushes: set[int]
) -> None:
    fanout, members = Fanout(), [member(*transport) for transport in transports]
    # Audiences are often the very same set, a room.
    rooms: dict[frozenset[int], set[Member]] = {}
    for number, (frame, places) in enumerate(deliveries):
        audience = {members[place][0] for place in places if place < len(members)}
        fanout.add(frame, rooms.setdefault(frozenset(places), audience))
        if number in flushes:
            fanout.flush()
    fanout.flush()
    for place, (_, outlet) in enumerate(members):
        assert outlet.has(*(frame for frame, places in deliveries if place in places))
        assert outlet.pending is None


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock ends a turn."""
    monkeypatch.setattr("constellation_ws.runtime.turns.TURN_SECONDS", 0)


async def drained(outlets: list[Outlet]) -> None:
    """Let the loop turn until nothing waits for any socket."""
    for _ in range(len(outlets)):
        if all(outlet.pending is None for outlet in outlets):
            return
        await asyncio.sleep(0)
    raise AssertionError("something waits for ever")


@pytest.mark.usefixtures("short_turns")
async def test_what_goes_to_thousands_leaves_turns_to_others() -> None:
    fanout = Fanout()
    pairs = [member() for _ in range(3 * AT_ONCE)]
    members, outlets = [one for one, _ in pairs], [outlet for _, outlet in pairs]
    fanout.add(FRAMES[0], members)
    fanout.flush()
    assert 0 < sum(outlet.has(FRAMES[0]) for outlet in outlets) <= AT_ONCE
    others = Others()
    with others.having_turns():
        await drained(outlets)
    assert others.turns > 1
    assert all(outlet.has(FRAMES[0]) for outlet in outlets)
    assert fanout.writes == len(outlets)


@pytest.mark.usefixtures("short_turns")
async def test_what_comes_meanwhile_comes_behind_and_once() -> None:
    fanout = Fanout()
    pairs = [member() for _ in range(3 * AT_ONCE)]
    members, outlets = [one for one, _ in pairs], [outlet for _, outlet in pairs]
    fanout.add(FRAMES[0], members)
    fanout.flush()
    fanout.add(FRAMES[1], members[:1])
    fanout.flush()
    fanout.add(FRAMES[2], members)
    fanout.add(FRAMES[3], members[-1:])
    fanout.flush()
    await drained(outlets)
    assert outlets[0].has(*FRAMES[:3])
    assert outlets[-1].has(FRAMES[0], FRAMES[2], FRAMES[3])
    assert all(outlet.has(FRAMES[0], FRAMES[2]) for outlet in outlets[1:-1])


@pytest.mark.usefixtures("short_turns")
async def test_a_socket_that_closes_before_its_turn_gets_nothing_more() -> None:
    fanout = Fanout()
    pairs = [member() for _ in range(2 * AT_ONCE)]
    members, outlets = [one for one, _ in pairs], [outlet for _, outlet in pairs]
    fanout.add(FRAMES[0], members)
    fanout.flush()
    waiting = [outlet for outlet in outlets if outlet.pending is not None]
    for outlet in waiting:
        outlet.write, outlet.closed = None, True
    await drained(outlets)
    assert not any(outlet.writes for outlet in waiting)
    assert fanout.writes == len(outlets) - len(waiting)
