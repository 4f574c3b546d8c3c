"""How sessions are written: all of them, or what has changed; and read again."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.log.ids import LogId
from constellation_ws.log.positions import Ticket
from constellation_ws.recovery.record import Fields, Unreadable, read, write

DELIVERED = (99, 5)
ROOMS = st.sampled_from(["user:u", "chat:a", "chat:Ж b", "+", "room "])
MOVES = st.lists(st.tuples(ROOMS, st.booleans()), max_size=20)


def at(number: int) -> LogId:
    return number, 0


def stored(fields: Fields, earlier: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:
    """The hash after a write."""
    found = {} if fields.is_full else dict(earlier or {})
    found |= dict(zip(fields.rooms[::2], fields.rooms[1::2], strict=True))
    for name in fields.gone:
        found.pop(name, None)
    return found | {b"record": fields.record, b"owner": b"a.1", b"user": b"u"}


class World:
    """A session, its rooms, and what was written of it."""

    def __init__(self, stale_offset: LogId | None = None) -> None:
        self.rooms = {"user:u"}
        self.ticket = Ticket(
            "p", "a.1", "u", "s", self.rooms, epoch="e", begin=at(10), has_offsets=True,
            stale_offset=stale_offset,
        )  # fmt: skip
        self.hash: dict[bytes, bytes] = {}
        self.number = 10

    def move(self, room: str, is_in: bool) -> None:
        if (room in self.rooms) is is_in:
            return
        self.number += 1
        (self.rooms.add if is_in else self.rooms.discard)(room)
        self.ticket.moved(room, at(self.number), is_in=is_in)

    def write(self) -> Fields:
        fields = write(self.ticket, DELIVERED)
        self.hash, self.ticket.is_stored = stored(fields, self.hash), True
        return fields

    def rooms_at(self, log_id: LogId) -> set[str]:
        """Where the record says that it was right after an entry."""
        record = read(self.hash)
        rooms = set(record.rooms)
        for change in record.changes:
            if change.at <= log_id:
                (rooms.add if change.is_in else rooms.discard)(change.room)
        return rooms


@given(MOVES, st.sets(st.integers(0, 20)), st.integers(0, 40))
def test_whatever_is_written_when_it_reads_as_it_was(
    moves: list[tuple[str, bool]], written_at: set[int], forgotten: int
) -> None:
    world, lived = World(), {}
    for place, (room, is_in) in enumerate(moves):
        world.move(room, is_in)
        lived[world.number] = set(world.rooms)
        if place in written_at:
            world.write()
    world.ticket.discard_before(at(forgotten))
    world.write()
    record = read(world.hash)
    assert record.final_rooms == world.rooms
    assert record.horizon == world.ticket.horizon
    for number, rooms in lived.items():
        if at(number) >= record.horizon:
            assert world.rooms_at(at(number)) == rooms


def test_what_identifies_a_session_reads_as_it_was_written() -> None:
    world = World(stale_offset=at(90))
    world.ticket.attempts = 3
    world.ticket.pinged(at(20))
    world.ticket.ponged()
    world.ticket.transport_closed(at(30))
    world.write()
    record = read(world.hash)
    assert (record.sid, record.epoch, record.rooms_at) == ("s", "e", at(30))
    assert (record.proof, record.attempts) == (world.ticket.proof, 3)


def test_the_rooms_follow_the_log_until_the_transport_is_closed() -> None:
    """However late the session is written, or written again."""
    world = World()
    world.write()
    assert read(world.hash).rooms_at == DELIVERED
    world.ticket.transport_closed(at(30))
    world.write()
    assert read(world.hash).rooms_at == at(30)
    world.ticket.close_acknowledged()
    world.write()
    assert read(world.hash).rooms_at == at(30)


def test_the_names_in_redis_stay_as_other_releases_know_them() -> None:
    world = World(stale_offset=at(90))
    world.ticket.transport_closed(at(30))
    world.ticket.attempts = 1
    world.write()
    assert set(msgspec.json.decode(world.hash[b"record"])) == {
        *("sid", "epoch", "begin", "proven", "floor", "rooms_at", "counts", "lost_at", "attempts"),
        "stale_offset",
    }


def test_what_is_as_it_mostly_is_takes_no_room() -> None:
    world = World()
    world.write()
    names = {"sid", "epoch", "begin", "proven", "floor", "rooms_at", "counts"}
    assert set(msgspec.json.decode(world.hash[b"record"])) == names
    assert (read(world.hash).attempts, read(world.hash).proof) == (0, world.ticket.proof)


def test_the_size_is_that_of_all_names_and_values() -> None:
    world = World()
    first = world.write()
    assert first.size == len(first.record) + len(b"room user:u")
    world.move("chat:a", True)
    second = world.write()
    assert second.size == len(second.record) + len(b"room chat:a+11-0")
    world.move("chat:a", False)
    world.ticket.discard_before(at(100))
    third = world.write()
    assert third.size == len(third.record) + len(b"room chat:a")


def test_a_change_writes_only_what_it_changes() -> None:
    """A client with 500 long ids made 1.8 GB of 7.7 MB: each join wrote all of them again."""
    world = World()
    sizes = []
    for number in range(500):
        world.move(f"chat:{number:0>100}", True)
        sizes.append(world.write().size)
    assert max(sizes[1:]) < 500


def test_a_room_that_it_left_long_ago_is_deleted() -> None:
    world = World()
    world.move("chat:a", True)
    world.move("chat:a", False)
    world.write()
    assert b"room chat:a" in world.hash
    world.ticket.discard_before(at(100))
    assert world.write().gone == [b"room chat:a"]
    assert world.rooms_at(at(1_000)) == {"user:u"}


@pytest.mark.parametrize(
    "damage",
    [
        {b"record": b""},
        {b"record": b"[]"},
        {b"record": b'{"user":"u","sid":"s","rooms":[],"position":"1-0"}'},
        {b"room chat:a": b"12-0"},
        {b"room chat:a": b"+x-y"},
        {b"room \xff": b""},
    ],
)
def test_what_is_no_session_of_this_release_is_unreadable(damage: dict[bytes, bytes]) -> None:
    world = World()
    world.write()
    with pytest.raises(Unreadable):
        read(world.hash | damage)
    with pytest.raises(Unreadable):
        read({b"owner": b"a.1", b"user": b"u"})
