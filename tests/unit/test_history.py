"""What a session missed: replay against a naive model, and the log's recent entries."""

from __future__ import annotations

import json
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import commands
from service.commands import Emit, Empty, Join, Leave
from service.events import EventName, Fields, Room
from service.history import (
    BEGINNING,
    Entry,
    History,
    Logged,
    LogId,
    Meaning,
    ReplayLimits,
    entries_of,
    format_id,
    parse_id,
    replay,
)
from service.routes import Message

PLENTY = ReplayLimits(10_000, 1 << 30)
IDS = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))


@given(IDS)
def test_an_id_is_read_as_it_is_written(log_id: LogId) -> None:
    assert parse_id(format_id(log_id)) == log_id
    assert parse_id(format_id(log_id).decode()) == log_id


@given(st.text() | st.text(string.digits + "-٣²+ "))
def test_what_is_no_id_is_none_and_nothing_is_raised(text: str) -> None:
    parsed = parse_id(text)
    if parsed is not None:
        head, _, tail = text.partition("-")
        assert head.isascii()
        assert head.isdigit()
        assert parsed == (int(head), int(tail))


@pytest.mark.parametrize(
    "text", ["", "-", "1", "1-", "-1", "1-2-3", "1.5-0", "+1-0", " 1-0", "1-0 ", "٣-٣", "9" * 50]
)
def test_a_few_texts_that_are_no_ids(text: str) -> None:
    assert parse_id(text) is None


def test_an_id_beyond_what_redis_can_hold_is_none() -> None:
    assert parse_id(f"{2**64}-0") is None
    assert parse_id(f"0-{2**64}") is None


def logged(place: int, channel: str = "emit", payload: bytes = b"{}") -> Logged:
    return format_id((place, 0)), channel.encode(), payload


@given(
    st.lists(st.lists(st.integers(0, 40), max_size=5), max_size=12),
    st.integers(0, 200),
    st.integers(0, 70),
)
def test_history_gives_all_after_a_place_or_says_that_it_cannot(
    batches: list[list[int]], max_bytes: int, start: int
) -> None:
    history = History(max_bytes)
    history.start((0, 0))
    everything: list[int] = []
    for sizes in batches:
        batch = [logged(len(everything) + n + 1, payload=b"x" * s) for n, s in enumerate(sizes)]
        everything += range(len(everything) + 1, len(everything) + 1 + len(sizes))
        history.append(batch)

    found = history.after((start, 0))

    if found is None:
        assert (start, 0) < history.floor
    else:
        assert [entry.id[0] for entry in found] == [n for n in everything if n > start]
    assert sum(len(e.logged[2]) for e in history.after(history.floor) or []) <= max_bytes


def test_older_entries_are_taken_where_they_fit() -> None:
    history = History(100)
    history.start((5, 0))
    history.append([logged(6)])
    history.prepend([logged(4), logged(5)], (3, 0), (5, 0))
    assert [entry.id[0] for entry in history.after((3, 0)) or []] == [4, 5, 6]
    assert history.after((2, 0)) is None


def test_older_entries_are_not_taken_twice_or_over_the_bound() -> None:
    history = History(100)
    history.start((5, 0))
    history.prepend([logged(5, payload=b"x" * 101)], (3, 0), (5, 0))
    assert history.floor == (5, 0)
    history.prepend([logged(5)], (3, 0), (5, 0))
    history.prepend([logged(5)], (3, 0), (5, 0))
    assert [entry.id[0] for entry in history.after((3, 0)) or []] == [5]


def test_a_meaning_is_worked_out_once() -> None:
    asked: list[bytes] = []

    def read(channel: bytes, payload: bytes) -> Meaning:
        asked.append(payload)

    entry = Entry(logged(1))
    assert entry.meaning(read) is None
    assert entry.meaning(read) is None
    assert len(asked) == 1


def test_starting_anew_forgets_everything() -> None:
    history = History(100)
    history.append([logged(1)])
    history.start((9, 0))
    assert history.after((9, 0)) == []
    assert history.after(BEGINNING) is None


ME, USER = "sid", "user:u"
ROOM_NAMES = ["chat:a", "chat:b", USER, ME, "chat:c"]
ROOM = st.sampled_from([Room(name) for name in ROOM_NAMES])
EMITS = st.builds(
    lambda n, rooms, but: commands.Emit(commands.emit("e", n, ()).args, rooms, but),
    st.integers(0, 99).map(lambda n: msgspec.Raw(b"%d" % n)),
    st.none() | st.lists(ROOM, max_size=2).map(tuple),
    st.lists(ROOM, max_size=1).map(tuple),
)
COMMANDS = EMITS | st.builds(Join, ROOM, ROOM) | st.builds(Leave, ROOM, ROOM) | st.builds(
    Empty, ROOM
)  # fmt: skip
NAIVE_ROOMS = st.sets(st.sampled_from(["chat:a", "chat:b"])).map(lambda rooms: {USER, *rooms})


@given(st.lists(COMMANDS, max_size=20), NAIVE_ROOMS, st.integers(0, 20), st.integers(0, 21))
def test_replay_is_what_a_member_would_have_seen(
    story: list[commands.Command], rooms: set[str], rooms_at: int, claimed: int
) -> None:
    missed = [logged(n + 1, payload=commands.encode(command)) for n, command in enumerate(story)]

    result = replay(
        ME, rooms, {}, (rooms_at, 0), entries_of(missed), read_command, PLENTY, (claimed, 0)
    )

    assert result is not None
    mine = {ME, *rooms}
    seen: list[bytes] = []
    for place, command in enumerate(story, 1):
        if isinstance(command, Emit):
            to_me = command.rooms is None or mine & set(command.rooms)
            if to_me and not mine & set(command.except_rooms) and place > claimed:
                seen.append(format_id((place, 0)))
        elif place > rooms_at:
            if isinstance(command, Join) and command.who in mine:
                mine |= {command.room}
            elif (isinstance(command, Leave) and command.who in mine) or isinstance(command, Empty):
                mine -= {command.room}
            mine |= {ME}
    assert [frame.offset for frame in result.frames] == seen
    assert result.rooms == mine - {ME}


def read_command(channel: bytes, payload: bytes) -> Meaning:
    return commands.decode(payload)


def test_what_was_said_in_a_room_after_it_was_lost_is_not_read() -> None:
    said = commands.encode(commands.emit("e", msgspec.Raw(b"1"), (Room("chat:a"),)))
    lost = commands.encode(Leave(Room(USER), Room("chat:a")))
    missed = entries_of([logged(1, payload=said), logged(2, payload=lost), logged(3, payload=said)])

    result = replay(ME, [USER, "chat:a"], {}, (0, 0), missed, read_command, PLENTY)

    assert result is not None
    assert [frame.offset for frame in result.frames] == [b"1-0"]
    assert result.rooms == {USER}


def test_an_event_that_removes_a_user_takes_its_sessions_out_as_well() -> None:
    said = Message(EventName("e"), Fields(), [Room("chat:a")], (), ())
    removal = msgspec.structs.replace(said, removals=[Leave(Room(USER), Room("chat:a"))])
    of_another = msgspec.structs.replace(said, removals=[Leave(Room("user:v"), Room("chat:a"))])
    story = [said, of_another, removal, said]
    missed = entries_of([logged(n, payload=b"%d" % n) for n in range(1, 5)])

    result = replay(
        ME, [USER, "chat:a"], {}, (0, 0), missed, lambda _, n: story[int(n) - 1], PLENTY
    )

    assert result is not None
    assert [frame.offset for frame in result.frames] == [b"1-0", b"2-0", b"3-0"]
    assert result.rooms == {USER}


@pytest.mark.parametrize(
    ("limits", "is_too_much"),
    [
        (ReplayLimits(2, 1000), True),
        (ReplayLimits(3, 1000), False),
        (ReplayLimits(3, 20), True),
    ],
)
def test_more_than_the_limits_allow_is_not_replayed_at_all(
    limits: ReplayLimits, is_too_much: bool
) -> None:
    said = commands.encode(commands.emit("e", msgspec.Raw(json.dumps(1).encode()), (Room(USER),)))
    missed = entries_of([logged(n, payload=said) for n in (1, 2, 3)])
    result = replay(ME, [USER], {}, (0, 0), missed, read_command, limits)
    assert (result is None) is is_too_much


@given(st.integers(0, 6), st.integers(0, 6))
def test_what_was_said_in_a_room_before_it_was_joined_is_not_read(
    joined_after: int, rooms_at: int
) -> None:
    said = commands.encode(commands.emit("e", msgspec.Raw(b"1"), (Room("chat:a"),)))
    missed = entries_of([logged(n, payload=said) for n in range(1, 6)])
    joined = {"chat:a": (joined_after, 0)}

    result = replay(
        ME, [USER, "chat:a"], joined, (max(rooms_at, joined_after), 0), missed, read_command, PLENTY
    )

    assert result is not None
    assert [frame.offset for frame in result.frames] == [
        b"%d-0" % n for n in range(joined_after + 1, 6)
    ]
    assert result.rooms == {USER, "chat:a"}
    assert result.joined == joined


def test_a_second_replay_from_the_same_place_gives_the_same() -> None:
    """A client may vanish again before it has read what was replayed to it."""
    said = commands.encode(commands.emit("e", msgspec.Raw(b"1"), (Room("chat:a"),)))
    enters = commands.encode(Join(Room(USER), Room("chat:a")))
    missed = entries_of(
        [logged(1, payload=said), logged(2, payload=enters), logged(3, payload=said)]
    )
    first = replay(ME, [USER], {}, (0, 0), missed, read_command, PLENTY)
    assert first is not None
    second = replay(ME, first.rooms, first.joined, (3, 0), missed, read_command, PLENTY)
    assert second is not None
    assert [frame.offset for frame in first.frames] == [b"3-0"]
    assert second.frames == first.frames
