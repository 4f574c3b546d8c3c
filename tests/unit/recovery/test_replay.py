"""What a session missed, found by index, against a naive walk past every entry."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.delivery.routes import RoutedEvent
from constellation_ws.log.ids import BEGINNING, format_id
from constellation_ws.log.layout import Logged
from constellation_ws.log.positions import RoomChange
from constellation_ws.log.recent_entries import RecentEntries
from constellation_ws.log.segment import Concerned
from constellation_ws.messages import commands
from constellation_ws.messages.commands import Disconnect, Emit, Empty, Join, Leave, Regroup
from constellation_ws.messages.events import EventName, Fields, Room
from constellation_ws.recovery.replay import DecodedEntries, Meaning, Replay, ReplayLimits, Walk

PLENTY = ReplayLimits(10_000, 1 << 30)
ME, USER = Room("sid"), Room("user:u")
CHATS = [Room(f"chat:{name}") for name in "abcd"]
ROOM = st.sampled_from([ME, USER, *CHATS, Room("user:v")])
ROOMS = st.lists(ROOM, max_size=3)
LEAVES = st.lists(st.builds(Leave, ROOM, ROOM), max_size=2)


def said_to(
    rooms: Sequence[str], except_: Sequence[str] = (), empties: Sequence[str] = (),
    removals: Sequence[Leave] = (),
) -> RoutedEvent:  # fmt: skip
    return RoutedEvent(EventName("e"), Fields(), rooms, except_, empties, removals=removals)


MESSAGES = st.builds(said_to, ROOMS, ROOMS.map(lambda rooms: rooms[:1]), ROOMS, LEAVES) | st.builds(
    said_to, ROOMS
)
EMITS = st.builds(
    lambda rooms, but: commands.Emit(msgspec.Raw(b'["e",1]'), rooms, but),
    st.none() | ROOMS.map(tuple),
    ROOMS.map(tuple),
)
REGROUPS = st.builds(
    Regroup,
    st.none() | ROOMS.map(tuple),
    ROOMS.map(lambda rooms: tuple(rooms[:1])),
    ROOMS.map(tuple),
    ROOMS.map(tuple),
)
MOVES = (
    st.builds(Join, ROOM, ROOM) | st.builds(Leave, ROOM, ROOM) | st.builds(Empty, ROOM) | REGROUPS
)
STORIES = st.lists(st.none() | MESSAGES | EMITS | MOVES | st.builds(Disconnect, ROOM), max_size=30)
PLACES = st.integers(0, 31)
CHANGES = st.lists(st.tuples(PLACES, st.sampled_from(CHATS), st.booleans()), max_size=4).map(sorted)
"""Rooms that a session entered or left, and after which place."""


def naive(
    story: Sequence[Meaning], rooms: Iterable[str], changes: Sequence[tuple[int, str, bool]],
    rooms_at: int, seen: int,
) -> tuple[list[int], set[str], list[RoomChange]]:  # fmt: skip
    """Live through everything; give which entries were seen, the rooms, and the log's moves."""
    mine, heard, moves = {ME, *rooms}, [], list[RoomChange]()
    to_come = list(changes)
    for place, meaning in enumerate(story, 1):
        while to_come and to_come[0][0] < place:
            _, room, is_in = to_come.pop(0)
            (mine.add if is_in else mine.discard)(room)
        if isinstance(meaning, RoutedEvent | Emit) and place > seen:
            to_me = meaning.rooms is None or any(room in mine for room in meaning.rooms)
            if to_me and not any(room in mine for room in meaning.except_rooms):
                heard.append(place)
        if place > rooms_at:
            before = set(mine)
            match meaning:
                case RoutedEvent(empties=empties, removals=removals):
                    mine.difference_update(empties)
                    for removal in removals:
                        if removal.who in mine:
                            mine.discard(removal.room)
                case Join(who, room) if who in mine:
                    mine.add(room)
                case Leave(who, room) if who in mine:
                    mine.discard(room)
                case Empty(room):
                    mine.discard(room)
                case Regroup(to, but, enters, leaves):
                    is_meant = to is None or any(room in mine for room in to)
                    if is_meant and not any(room in mine for room in but):
                        mine = (mine | {*enters}) - {*leaves}
            mine.add(ME)
            moves += [RoomChange((place, 0), room, room in mine) for room in mine ^ before]
    for _, room, is_in in to_come:
        (mine.add if is_in else mine.discard)(room)
    return heard, mine - {ME}, moves


def teller(story: Sequence[Meaning]) -> DecodedEntries:
    """Entries whose payload is their place in a story."""
    return DecodedEntries(lambda channel, payload: story[int(payload) - 1], 1 << 20)


def logged(place: int) -> Logged:
    return format_id((place, 0)), b"c", b"%d" % place


def walked(walk: Walk, story: Sequence[Meaning]) -> Replay:
    """Give what a session missed of a story that is in memory."""
    recent, entries = RecentEntries(1 << 30), teller(story)
    recent.append([logged(n) for n in range(1, len(story) + 1)])
    assert recent.index(entries.concerned, 1 << 30)
    assert walk.advance(recent, entries, 1 << 30)
    return walk.end()


def places(replay: Replay) -> list[int]:
    return [int(frame.offset.partition(b"-")[0]) for frame in replay.frames]


def way(
    rooms: Iterable[str], changes: Sequence[tuple[int, str, bool]] = (), *, rooms_at: int = 0,
    seen: int = 0, limits: ReplayLimits = PLENTY,
) -> Walk:  # fmt: skip
    known = [RoomChange((place, 0), room, is_in) for place, room, is_in in changes]
    return Walk(ME, rooms, known, rooms_at=(rooms_at, 0), seen=(seen, 0), limits=limits)


@given(
    STORIES, st.sets(st.sampled_from(CHATS)), CHANGES, PLACES, PLACES,
    st.integers(1, 3_000), st.data(),
)  # fmt: skip
def test_what_is_found_by_index_is_what_a_member_would_have_seen(
    story: list[Meaning], chats: set[Room], changes: list[tuple[int, str, bool]], rooms_at: int,
    seen: int,
    segment_bytes: int, data: st.DataObject,
) -> None:  # fmt: skip
    """However the log is cut and packed, and how often the walk makes way for others."""
    rooms = {USER, *chats}
    rooms_at = max([rooms_at, *(place for place, _, _ in changes)])
    recent, entries = RecentEntries(1 << 30, segment_bytes), teller(story)
    walk = way(rooms, changes, rooms_at=rooms_at, seen=seen)
    budgets = st.integers(1, 40)
    for place in range(1, len(story) + 1):
        recent.append([logged(place)])
        if data.draw(st.booleans()):
            recent.index(entries.concerned, data.draw(budgets), walk.cursor)
        if data.draw(st.booleans()):
            walk.advance(recent, entries, data.draw(budgets))
    while not recent.index(entries.concerned, data.draw(budgets), walk.cursor):
        pass
    while not walk.advance(recent, entries, data.draw(budgets)):
        pass

    heard, in_the_end, moves = naive(story, rooms, changes, rooms_at, seen)
    result = walk.end()
    assert places(result) == heard
    assert result.rooms == in_the_end
    assert sorted(result.moves) == sorted(moves)


@given(STORIES, PLACES, st.integers(1, 300))
def test_a_walk_that_goes_on_in_another_history_misses_nothing(
    story: list[Meaning], split: int, segment_bytes: int
) -> None:
    """As one does that was read back, and then finds the rest in memory."""
    entries, walk = teller(story), way([USER, *CHATS])
    read, memory = RecentEntries(1 << 30, segment_bytes), RecentEntries(1 << 30, segment_bytes)
    memory.start((split, 0))
    read.append([logged(n) for n in range(1, min(split, len(story)) + 1)])
    memory.append([logged(n) for n in range(split + 1, len(story) + 1)])
    for recent in (read, memory):
        assert recent.index(entries.concerned, 1 << 30)
        assert walk.advance(recent, entries, 1 << 30)
        walk.reach((split, 0))
    assert places(walk.end()) == naive(story, [USER, *CHATS], [], 0, 0)[0]


def test_what_concerns_nobody_here_is_not_even_decoded() -> None:
    """A quiet client's resume costs the same, whatever the log holds for others."""
    story: list[Meaning] = [said_to([Room(f"user:{n % 50}")]) for n in range(5_000)]
    story[2_500] = said_to([USER])
    recent, entries = RecentEntries(1 << 30), teller(story)
    recent.append([logged(n) for n in range(1, len(story) + 1)])
    assert recent.index(entries.concerned, 1 << 30)
    decoded: list[bytes] = []

    def read(channel: bytes, payload: bytes) -> Meaning:
        decoded.append(payload)
        return story[int(payload) - 1]

    walk = way([USER, *CHATS])
    assert walk.advance(recent, DecodedEntries(read, 1 << 20), 1)
    assert places(walk.end()) == [2_501]
    assert decoded == [b"2501"]


def test_of_what_was_seen_only_what_may_move_somebody_is_looked_at() -> None:
    """The session of a pod that was killed may have been written half a minute ago."""
    story: list[Meaning] = [said_to([USER])] * 5_000
    story[100] = Leave(USER, CHATS[0])
    recent, entries = RecentEntries(1 << 30), teller(story)
    recent.append([logged(n) for n in range(1, len(story) + 1)])
    assert recent.index(entries.concerned, 1 << 30)
    walk = way([USER, *CHATS], rooms_at=10, seen=4_999)
    assert walk.advance(recent, entries, 2)
    assert (places(walk.end()), walk.end().rooms) == ([5_000], {USER, *CHATS[1:]})


def test_an_entry_is_decoded_and_encoded_once_for_all_who_missed_it() -> None:
    decoded: list[bytes] = []

    def read(channel: bytes, payload: bytes) -> Meaning:
        decoded.append(payload)
        return said_to([USER])

    recent, entries = RecentEntries(1 << 30), DecodedEntries(read, 1 << 20)
    recent.append([logged(1)])
    assert recent.index(entries.concerned, 10)
    decoded.clear()
    walks = [way([USER]) for _ in range(3)]
    for walk in walks:
        assert walk.advance(recent, entries, 10)
    frames = [walk.end().frames[0] for walk in walks]
    assert frames[0] is frames[1] is frames[2]
    assert decoded == [b"1"]


def test_decoded_entries_are_not_kept_when_nobody_asks_for_them_or_for_too_many() -> None:
    decoded: list[bytes] = []

    def read(channel: bytes, payload: bytes) -> Meaning:
        decoded.append(payload)
        return said_to([USER])

    recent, entries = RecentEntries(1 << 30), DecodedEntries(read, 5_000)
    recent.append([logged(n) for n in range(1, 101)])
    segment = next(recent.after(BEGINNING))
    for _ in range(2):
        entries.at(segment, 0)
        entries.expire()
    assert len(decoded) == 1
    entries.expire()
    entries.at(segment, 0)
    assert len(decoded) == 2
    for place in range(100):
        entries.at(segment, place)
    entries.at(segment, 0)
    assert len(decoded) == 102


def test_an_entry_is_read_by_its_channel_and_its_payload() -> None:
    asked: list[tuple[bytes, bytes]] = []

    def read(channel: bytes, payload: bytes) -> Meaning:
        asked.append((channel, payload))
        return None

    recent, entries = RecentEntries(1 << 30), DecodedEntries(read, 1 << 20)
    recent.append([(b"1-0", b"channel", b"payload")])
    assert recent.index(entries.concerned, 10)
    entries.at(next(recent.after(BEGINNING)), 0)
    assert asked == [(b"channel", b"payload")] * 2


@pytest.mark.parametrize(("payload_bytes", "times"), [(1, 2), (1_000, 3)])
def test_large_entries_are_retained_one_at_a_time(payload_bytes: int, times: int) -> None:
    decoded: list[bytes] = []

    def read(channel: bytes, payload: bytes) -> Meaning:
        decoded.append(payload)
        return said_to([USER])

    recent, entries = RecentEntries(1 << 30), DecodedEntries(read, 3_000)
    recent.append([(format_id((n, 0)), b"c", bytes(payload_bytes)) for n in (1, 2)])
    segment = next(recent.after(BEGINNING))
    for place in (0, 1, 0):
        entries.at(segment, place)
    assert len(decoded) == times


def rooms(count: int) -> list[str]:
    return [f"user:{n}" for n in range(count)]


@pytest.mark.parametrize(
    ("sent", "moved", "concerned"),
    [
        (1_000, 0, (rooms(1_000), ())),
        (1_001, 0, ((None,), ())),
        (500, 500, (rooms(500), rooms(500))),
        (501, 500, ((None,), (None,))),
    ],
)
def test_an_event_for_very_many_rooms_is_indexed_as_one_for_everyone(
    sent: int, moved: int, concerned: Concerned
) -> None:
    entries = teller([said_to(rooms(sent), empties=rooms(moved))])
    assert entries.concerned(logged(1)) == concerned


def test_a_walk_stops_at_its_budget_and_goes_on_there() -> None:
    story = [said_to([USER])] * 3
    recent, entries, walk = RecentEntries(1 << 30), teller(story), way([USER])
    recent.append([logged(n) for n in (1, 2, 3)])
    assert recent.index(entries.concerned, 10)
    assert not walk.advance(recent, entries, 2)
    assert walk.cursor == (2, 0)
    assert walk.advance(recent, entries, 2)
    assert places(walk.end()) == [1, 2, 3]


@pytest.mark.parametrize("moves", [False, True])
def test_an_event_for_more_rooms_than_are_indexed_reaches_its_own(moves: bool) -> None:
    very_many = [Room(f"user:{n}") for n in range(5_000)]
    removals = [Leave(USER, CHATS[0])] if moves else []
    story = [said_to([*very_many, USER], removals=removals), said_to(very_many, removals=removals)]
    result = walked(way([USER, *CHATS], seen=0), story)
    assert places(result) == [1]
    assert (CHATS[0] in result.rooms) is not moves
    assert (CHATS[0] in walked(way([USER, *CHATS], seen=2), story).rooms) is not moves


def test_what_was_said_in_a_room_after_it_was_lost_is_not_read() -> None:
    said = said_to([CHATS[0]])
    result = walked(way([USER, CHATS[0]]), [said, Leave(USER, CHATS[0]), said])
    assert places(result) == [1]
    assert result.rooms == {USER}


def test_an_event_that_removes_a_user_takes_its_sessions_out_as_well() -> None:
    said = said_to([CHATS[0]])
    removal = said_to([CHATS[0]], removals=[Leave(USER, CHATS[0])])
    of_another = said_to([CHATS[0]], removals=[Leave(Room("user:v"), CHATS[0])])
    story: list[Meaning] = [said, of_another, removal, said]
    result = walked(way([USER, CHATS[0]]), story)
    assert places(result) == [1, 2, 3]
    assert result.rooms == {USER}
    for seen in (3, 4):
        assert places(walked(way([USER, CHATS[0]], seen=seen), story)) == []


def test_what_is_said_in_a_room_that_is_entered_as_another_is_left_is_read() -> None:
    move = Regroup((USER,), (), enters=(CHATS[1],), leaves=(CHATS[0],))
    result = walked(way([USER, CHATS[0]]), [move, said_to([CHATS[1]]), said_to([CHATS[0]])])
    assert places(result) == [2]


@pytest.mark.parametrize(
    ("limits", "is_too_much"),
    [
        (ReplayLimits(2, 1000), True),
        (ReplayLimits(3, 1000), False),
        (ReplayLimits(3, 20), True),
    ],
)
def test_more_than_the_limits_allow_is_found_out_early(
    limits: ReplayLimits, is_too_much: bool
) -> None:
    walk = way([USER], limits=limits)
    walked(walk, [said_to([USER])] * 3)
    assert walk.is_too_much is is_too_much


@pytest.mark.parametrize(("spare_bytes", "is_too_much"), [(0, False), (-1, True)])
def test_as_many_bytes_as_the_limit_are_not_too_much(
    spare_bytes: int, *, is_too_much: bool
) -> None:
    story = [said_to([USER])]
    (frame,) = walked(way([USER]), story).frames
    walk = way([USER], limits=ReplayLimits(1, len(frame.message) + spare_bytes))
    walked(walk, story)
    assert walk.is_too_much is is_too_much


def test_attachments_count_for_the_limit() -> None:
    args = msgspec.Raw(json.dumps(["e", {"_placeholder": True, "num": 0}]).encode())
    walk = way([USER], limits=ReplayLimits(10, 1_000))
    walked(walk, [Emit(args, (USER,), (), (bytes(2_000),))])
    assert walk.is_too_much


@given(st.integers(0, 6), st.integers(0, 6))
def test_what_was_said_in_a_room_before_it_was_joined_is_not_read(
    joined_after: int, rooms_at: int
) -> None:
    walk = way([USER], [(joined_after, CHATS[0], True)], rooms_at=max(rooms_at, joined_after))
    result = walked(walk, [said_to([CHATS[0]])] * 5)
    assert places(result) == list(range(joined_after + 1, 6))
    assert result.rooms == {USER, CHATS[0]}
    assert result.moves == []


def test_what_was_said_in_a_room_before_it_was_left_is_read() -> None:
    """It was sent to the client, which may not have got it, and left the room since."""
    changes = [(2, CHATS[0], False), (4, CHATS[0], True)]
    result = walked(way([USER, CHATS[0]], changes, rooms_at=5), [said_to([CHATS[0]])] * 5)
    assert places(result) == [1, 2, 5]
    assert result.rooms == {USER, CHATS[0]}


def test_a_second_replay_from_the_same_place_gives_the_same() -> None:
    """A client may vanish again before it has read what was replayed to it."""
    said = said_to([CHATS[0]])
    story: list[Meaning] = [said, Join(USER, CHATS[0]), said, Leave(USER, CHATS[0]), said]
    first = walked(way([USER]), story)
    changes = [(change.at[0], change.room, change.is_in) for change in first.moves]
    second = walked(way([USER], changes, rooms_at=5), story)
    assert places(first) == [3]
    assert second.frames == first.frames
    assert second.rooms == first.rooms


def test_what_is_sent_to_everyone_stays_in_the_default_namespace() -> None:
    story: list[Meaning] = [
        commands.Emit(msgspec.Raw(b'["e",1]'), None),
        commands.Emit(msgspec.Raw(b'["e",2]'), (Room("/orders,"),), namespace="/orders"),
    ]
    story.append(Regroup(None, (), enters=(Room("new"),)))
    for sid, rooms, numbers, after in (
        ("sid", set[str](), [1], {"new"}),
        ("/orders,sid", {"/orders,"}, [2], {"/orders,"}),
    ):
        walk = Walk(sid, rooms, (), rooms_at=BEGINNING, seen=BEGINNING, limits=PLENTY)
        replay = walked(walk, story)
        assert (places(replay), replay.rooms) == (numbers, after)
