"""The packed form of an entry: what goes in comes out, and nothing else does."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.log.ids import parse_id
from constellation_ws.log.packing import Unreadable, ids_up_to, pack, unpack
from constellation_ws.log.pubsub_positions import Received, Run

CHANNELS = st.sampled_from([b"chat:new", b"chat:typing", b"", b"\xff"])
STRETCHES = st.lists(
    st.tuples(st.sampled_from([b"a.1", b"b:2", b""]), st.integers(0, 9)), min_size=1, max_size=9
)


@st.composite
def streams(draw: st.DrawFn) -> list[Received]:
    """Some messages of a stream: ticks in between, and perhaps places that were passed over."""
    received = []
    for number, (tick, first) in enumerate(draw(STRETCHES)):
        for index in range(first, first + draw(st.integers(1, 5))):
            payload = draw(st.binary(max_size=20))
            received.append(Received(tick + b"%d" % number, index, draw(CHANNELS), payload))
    return received


@given(streams(), st.integers(0, 1 << 40))
def test_messages_come_out_as_they_went_in(received: list[Received], before: int) -> None:
    log_id = b"1700000000000-%d" % (before + len(received) - 1)
    runs, logged = unpack(log_id, pack(received))
    assert [one[1:] for one in logged] == [(one.channel, one.payload) for one in received]
    positions = [b"%b:%d" % (run.tick, run.first + n) for run in runs for n in range(run.length)]
    assert positions == [one.position for one in received]
    ids = [parse_id(one[0]) for one in logged]
    assert ids == [(1_700_000_000_000, before + n) for n in range(len(received))]
    assert logged[-1][0] == log_id


def test_positions_in_a_row_take_one_run() -> None:
    received = [Received(b"a", n, b"c", b"") for n in range(4, 9)]
    assert unpack(b"1-4", pack(received)).runs == [Run(b"a", 4, 5)]


@given(streams(), st.data())
def test_a_truncated_entry_is_unreadable(received: list[Received], data: st.DataObject) -> None:
    packed = pack(received)
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(Unreadable):
        unpack(b"1-999", packed[:cut])


@given(st.binary(max_size=60))
def test_garbage_is_unreadable_or_messages(garbage: bytes) -> None:
    for packed in (garbage, b"\x01" + garbage):
        try:
            runs, logged = unpack(b"1-999", packed)
        except Unreadable:
            continue
        assert len(logged) == sum(run.length for run in runs) > 0


@given(streams(), st.data())
def test_an_entry_with_a_changed_byte_is_unreadable_or_messages(
    received: list[Received], data: st.DataObject
) -> None:
    packed = bytearray(pack(received))
    packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        runs, logged = unpack(b"1-999", bytes(packed))
    except Unreadable:
        return
    assert len(logged) == sum(run.length for run in runs) > 0


RUN = (b"t", 0, 1)


@pytest.mark.parametrize(
    "body",
    [
        ([], [], [], []),
        ([RUN], [b"c"], [0], []),
        ([RUN], [b"c"], [], [b"p"]),
        ([], [b"c"], [0], [b"p"]),
        ([(b"t", 0, 2)], [b"c"], [0], [b"p"]),
        ([(b"t", 0, 2)], [b"c"], [0, 0], [b"p"]),
        ([RUN], [b"c"], [0], [b"p", b"p"]),
        ([(b"t", 0, 0), RUN], [b"c"], [0], [b"p"]),
        ([(b"t", -1, 1)], [b"c"], [0], [b"p"]),
        ([RUN], [b"c"], [1], [b"p"]),
        ([RUN], [b"c"], [-1], [b"p"]),
        ([RUN], [b"c"], [0], ["text"]),
        ([RUN], [b"c"], [0], [b"p"], b"more"),
    ],
)
def test_what_does_not_fit_together_is_unreadable(body: tuple[object, ...]) -> None:
    with pytest.raises(Unreadable, match="damaged"):
        unpack(b"1-999", b"\x01" + msgspec.msgpack.encode(body))


@pytest.mark.parametrize("version", [b"", b"\x00", b"\x02", b"{"])
def test_another_version_is_unreadable(version: bytes) -> None:
    packed = pack([Received(b"t", 0, b"c", b"p")])
    with pytest.raises(Unreadable, match="another release"):
        unpack(b"1-0", version + packed[1:] if version else b"")


def test_an_id_without_room_for_all_messages_is_unreadable() -> None:
    packed = pack([Received(b"t", n, b"c", b"p") for n in range(3)])
    assert unpack(b"1-2", packed).logged[0][0] == b"1-0"
    with pytest.raises(Unreadable, match="ID"):
        unpack(b"1-1", packed)


@given(st.integers(1, 600), st.integers(0, 2_000))
def test_ids_are_neighbors_up_to_that_of_the_entry(count: int, before: int) -> None:
    ids = ids_up_to(b"7-%d" % (before + count - 1), count)
    assert ids == [b"7-%d" % (before + n) for n in range(count)]
