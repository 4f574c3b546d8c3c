"""The log's recent entries as this pod delivered them, and which of them a session missed.

Pure. A reconnect storm asks for the same seconds of the log thousands of times: they are kept here,
and each entry is routed once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from service.commands import Command, Emit, Empty, Join, Leave
from service.frames import Frame, encode_emit, encode_event
from service.routes import Message

LogId = tuple[int, int]
"""A stream entry's ID, milliseconds and sequence: compares as the stream orders."""

Logged = tuple[bytes, bytes, bytes]
"""An entry as it came: ID, channel, payload. A bare tuple: one is made per message."""

Meaning = Message | Command | None
Read = Callable[[bytes, bytes], Meaning]
"""(channel, payload) -> what an entry means; None where nobody gets anything."""

BEGINNING: LogId = (0, 0)


def parse_id(text: bytes | str) -> LogId | None:
    """Read an ID as Redis writes it; None where the text is none."""
    raw = text.encode() if isinstance(text, str) else text
    milliseconds, dash, sequence = raw.partition(b"-")
    if not (dash and milliseconds.isdigit() and sequence.isdigit() and len(raw) <= 41):
        return None
    log_id = int(milliseconds), int(sequence)
    return log_id if max(log_id) < 1 << 64 else None


def format_id(log_id: LogId) -> bytes:
    """Write an ID as Redis does."""
    return b"%d-%d" % log_id


class Entry:
    """An entry and, once somebody asked, what it means."""

    __slots__ = ("_meaning", "id", "logged")

    def __init__(self, logged: Logged) -> None:
        parsed = parse_id(logged[0])
        assert parsed is not None, "IDs are Redis's own"
        self.id: LogId = parsed
        self.logged = logged
        self._meaning: Meaning | bool = False

    def meaning(self, read: Read) -> Meaning:
        """Read it, once; False stands for not yet."""
        if isinstance(self._meaning, bool):
            self._meaning = read(self.logged[1], self.logged[2])
        return self._meaning


class History:
    """What this pod has delivered lately, in the log's order, bounded by bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: deque[Entry] = deque()
        self._fresh: list[Logged] = []
        """Delivered since somebody last asked: most entries are forgotten before anybody does."""
        self.floor: LogId = BEGINNING
        """All entries after this one, up to the last delivered, are here."""

    def start(self, floor: LogId) -> None:
        """Begin anew: nothing up to `floor` is here."""
        self._entries.clear()
        self._fresh.clear()
        self._bytes, self.floor = 0, floor

    def append(self, batch: Iterable[Logged]) -> None:
        """Take what was delivered; forget the oldest where it gets too much."""
        before = len(self._fresh)
        self._fresh.extend(batch)
        self._bytes += sum([len(logged[2]) for logged in self._fresh[before:]])
        if self._bytes > self._max_bytes:
            self._forget()

    def _forget(self) -> None:
        """Make room for a while: an eighth at a time, so that not every batch has to."""
        self._settle()
        while self._bytes > self._max_bytes * 7 // 8 and self._entries:
            oldest = self._entries.popleft()
            self._bytes -= len(oldest.logged[2])
            self.floor = oldest.id

    def _settle(self) -> None:
        self._entries.extend(map(Entry, self._fresh))
        self._fresh.clear()

    def prepend(self, older: Iterable[Logged], start: LogId, floor: LogId) -> None:
        """Take the entries between `start` and `floor`, read from the log, where they fit.

        They do not when there is no room, or when the floor has moved since they were asked for.
        """
        entries = entries_of(older)
        size = sum(len(entry.logged[2]) for entry in entries)
        if self.floor == floor and start < floor and self._bytes + size <= self._max_bytes:
            self._entries.extendleft(reversed(entries))
            self._bytes += size
            self.floor = start

    def after(self, start: LogId) -> list[Entry] | None:
        """Give the entries after `start`; None where they do not all stand here."""
        if start < self.floor:
            return None
        self._settle()
        entries = self._entries
        if not entries or start >= entries[-1].id:
            return []
        first = bisect_right(entries, start, key=lambda entry: entry.id)
        return list(islice(entries, first, None))


def entries_of(logged: Iterable[Logged]) -> list[Entry]:
    """Make entries of what was read from the log."""
    return [Entry(one) for one in logged]


@dataclass(frozen=True, slots=True)
class Replay:
    """What a session missed, and the rooms that it is in after all of it."""

    frames: list[Frame]
    rooms: set[str]
    joined: dict[str, LogId]
    """Rooms that it was not in from the beginning, and after which entry it was."""


@dataclass(frozen=True, slots=True)
class ReplayLimits:
    """How much is replayed to one session; above it the session is not recovered."""

    max_events: int
    max_bytes: int


def replay(
    sid: str,
    rooms: Iterable[str],
    joined: Mapping[str, LogId],
    rooms_at: LogId,
    missed: Iterable[Entry],
    read: Read,
    limits: ReplayLimits,
    seen: LogId = BEGINNING,
) -> Replay | None:
    """Walk what was logged while a session was away, as if it had been there.

    What was said in a room before it joined, or after it lost it, is not its to read: `joined` says
    after which entry it was in a room, where that was on the way; after `rooms_at` entries move it.
    Entries up to `seen` move it without being replayed: what a client says that it has seen takes
    it out of no room, and must not keep it in one. None where that is more than the limits allow.
    """
    to_join, joined = sorted(joined.items(), key=lambda one: one[1], reverse=True), dict(joined)
    member_of = {sid, *rooms}.difference(joined)
    frames: list[Frame] = []
    size = 0
    for entry in missed:
        while to_join and to_join[-1][1] < entry.id:
            member_of.add(to_join.pop()[0])
        frame = _witness(entry, entry.meaning(read), member_of) if entry.id > seen else None
        if entry.id > rooms_at:
            before = frozenset(member_of)
            _move(entry.meaning(read), sid, member_of)
            joined.update(dict.fromkeys(member_of.difference(before), entry.id))
        if frame is not None:
            frames.append(frame)
            size += len(frame.message)
            if len(frames) > limits.max_events or size > limits.max_bytes:
                return None
    member_of.update(room for room, _ in to_join)
    member_of.discard(sid)
    return Replay(frames, member_of, joined)


def _witness(entry: Entry, meaning: Meaning, member_of: set[str]) -> Frame | None:
    """Give what a member of these rooms is sent of an entry, if anything."""
    offset = entry.logged[0]
    match meaning:
        case Message(event, body, to, except_rooms):
            if _is_in(to, member_of) and not _is_in(except_rooms, member_of):
                return encode_event(event, body, offset)
        case Emit(_, to_rooms, except_rooms):
            is_addressed = to_rooms is None or _is_in(to_rooms, member_of)
            if is_addressed and not _is_in(except_rooms, member_of):
                return encode_emit(meaning, offset)
    return None


def _move(meaning: Meaning, sid: str, member_of: set[str]) -> None:
    """Let an entry change the rooms of a member; its sid is not a room that can be left."""
    match meaning:
        case Message(empties=empties, removals=removals):
            member_of.difference_update(empties)
            for removal in removals:
                if removal.who in member_of:
                    member_of.discard(removal.room)
        case Join(who, room) if who in member_of:
            member_of.add(room)
        case Leave(who, room) if who in member_of:
            member_of.discard(room)
        case Empty(room):
            member_of.discard(room)
    member_of.add(sid)


def _is_in(rooms: Iterable[str], member_of: set[str]) -> bool:
    return any(room in member_of for room in rooms)
