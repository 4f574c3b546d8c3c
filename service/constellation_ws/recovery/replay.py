"""What a session missed: which entries of the log it would have been sent, had it been there.

Pure. Neither where entries are kept nor what else waits for them is known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from constellation_ws.delivery.routes import RoutedEvent
from constellation_ws.log.ids import LogId, parse_id
from constellation_ws.log.layout import Logged
from constellation_ws.log.positions import RoomChange
from constellation_ws.log.recent_entries import RecentEntries
from constellation_ws.log.segment import Concerned, Segment
from constellation_ws.messages.commands import Command, Emit, Empty, Join, Leave, Regroup
from constellation_ws.messages.frames import Frame, encode_emit, encode_event
from constellation_ws.messages.namespaces import Scope, scope_of

Meaning = RoutedEvent | Command | None
Move = Join | Leave | Empty | Regroup
"""What changes the rooms of members and is sent to nobody."""
Read = Callable[[bytes, bytes], Meaning]
"""(channel, payload) -> what an entry means; None where nobody gets anything."""

_MAX_INDEXED_ROOMS = 1_000
"""An entry that concerns more rooms is indexed as one for everyone: an event may name a hundred
thousand users, and every name in the index takes ten times its own size."""
_EVERYONE: Sequence[str | None] = (None,)
_NOBODY: Sequence[str] = ()
_HOT_ENTRY_BYTES = 600


@dataclass(frozen=True, slots=True)
class Replay:
    """What a session missed, and the rooms that it is in after all of it."""

    frames: list[Frame]
    rooms: set[str]
    moves: list[RoomChange]
    """How the log has changed its rooms since they were written."""


@dataclass(frozen=True, slots=True)
class ReplayLimits:
    """How much is replayed to one session; above it the session is not recovered."""

    max_events: int
    max_bytes: int


class DecodedEntry:
    """An entry of the log that somebody missed, decoded, and encoded once for all of them."""

    __slots__ = ("_frame", "_meaning", "except_rooms", "id", "move", "offset", "to")

    def __init__(self, logged: Logged, read: Read) -> None:
        self.offset = logged[0]
        log_id = parse_id(self.offset)
        assert log_id is not None, "Redis has made it"
        self.id: LogId = log_id
        self._meaning = meaning = read(logged[1], logged[2])
        self._frame: Frame | None = None
        self.to: Sequence[str] | None = _NOBODY
        """The rooms that it is sent to, None for everyone in the default namespace."""
        self.except_rooms: Sequence[str] = _NOBODY
        if isinstance(meaning, RoutedEvent | Emit):
            self.to, self.except_rooms = meaning.rooms, meaning.except_rooms
        self.move: RoutedEvent | Move | None = None
        """What may change the rooms of a member."""
        if isinstance(meaning, Move) or (
            isinstance(meaning, RoutedEvent) and (meaning.empties or meaning.removals)
        ):
            self.move = meaning

    def reaches(self, member_of: set[str], scope: Scope) -> bool:
        """Return whether a member of these rooms, in a namespace, is sent it."""
        is_addressed = not scope if self.to is None else not member_of.isdisjoint(self.to)
        return is_addressed and member_of.isdisjoint(self.except_rooms)

    def frame(self) -> Frame:
        """Encode it, where it reaches anybody."""
        if self._frame is None:
            meaning, self._meaning = self._meaning, None
            if isinstance(meaning, RoutedEvent):
                self._frame = encode_event(
                    meaning.event, meaning.body, self.offset, meaning.namespace
                )
            else:
                assert isinstance(meaning, Emit), "nothing else is addressed to anybody"
                self._frame = encode_emit(meaning, self.offset)
        return self._frame


class DecodedEntries:
    """The entries that somebody missed lately: a storm asks for the same ones again and again."""

    def __init__(self, read: Read, max_bytes: int) -> None:
        self._read = read
        self._max_bytes = max_bytes
        self._bytes = 0
        self._hot: dict[bytes, DecodedEntry] = {}
        self._is_used = False

    def at(self, segment: Segment, index: int) -> DecodedEntry:
        """Return an entry, decoded now where it was not lately."""
        self._is_used = True
        entry = self._hot.get(segment.raw_id_at(index))
        if entry is None:
            logged = segment.entry_at(index)
            entry = DecodedEntry(logged, self._read)
            if self._bytes > self._max_bytes:
                self._clear()
            self._bytes += _HOT_ENTRY_BYTES + 3 * len(logged[2])
            self._hot[entry.offset] = entry
        return entry

    def expire(self) -> None:
        """Forget them, where nobody has asked for any since the last call."""
        if not self._is_used:
            self._clear()
        self._is_used = False

    def _clear(self) -> None:
        self._hot.clear()
        self._bytes = 0

    def concerned(self, logged: Logged) -> Concerned:
        """Find whom an entry concerns, for the index."""
        sent, moved = whom_it_concerns(self._read(logged[1], logged[2]))
        if len(sent) + len(moved) > _MAX_INDEXED_ROOMS:
            return _EVERYONE, (_EVERYONE if moved else _NOBODY)
        return sent, moved


def whom_it_concerns(meaning: Meaning) -> Concerned:
    """Name the rooms that an entry is sent to, and those whose members it may move."""
    match meaning:
        case RoutedEvent():
            is_move = meaning.empties or meaning.removals
            return meaning.rooms, (_moved(meaning) if is_move else _NOBODY)
        case Emit(rooms=rooms):
            return (_EVERYONE if rooms is None else rooms), _NOBODY
        case Join(who) | Leave(who):
            return _NOBODY, (who,)
        case Empty(room):
            return _NOBODY, (room,)
        case Regroup(rooms=rooms):
            return _NOBODY, (_EVERYONE if rooms is None else rooms)
    return _NOBODY, _NOBODY


def _moved(message: RoutedEvent) -> Sequence[str]:
    return [*message.empties, *{removal.who for removal in message.removals}]


class Walk:
    """One session's way through what was logged while it was away, as if it had been there.

    What was said in a room before the session entered it, or after it left it, is not its to read.
    `changes` says how its rooms have changed since `rooms`, in order, up to `rooms_at`; after that
    entries move it. Entries up to `seen` move it without being replayed: what a client says that it
    has seen takes it out of no room, and must not keep it in one.
    """

    def __init__(
        self,
        sid: str,
        rooms: Iterable[str],
        changes: Sequence[RoomChange],
        *,
        rooms_at: LogId,
        seen: LogId,
        limits: ReplayLimits,
    ) -> None:
        self.cursor = min(seen, rooms_at)
        """The last entry that was passed."""
        self.size = 0
        """Bytes of what is to be replayed so far."""
        self._sid = sid
        self._scope = scope_of(sid)
        self._pending = list(reversed(changes))
        self._moves: list[RoomChange] = []
        self._member_of = {sid, *rooms}
        self._rooms_at = rooms_at
        self._seen = seen
        self._limits = limits
        self._frames: list[Frame] = []
        self._wanted = self._find_wanted()

    @property
    def count(self) -> int:
        """Events that are to be replayed so far."""
        return len(self._frames)

    @property
    def is_too_much(self) -> bool:
        """Whether it is more than may be replayed: nothing of it is, then."""
        limits = self._limits
        return len(self._frames) > limits.max_events or self.size > limits.max_bytes

    def end(self) -> Replay:
        """Give what was missed, once all has been passed."""
        while self._pending:
            self._change(self._pending.pop())
        return Replay(self._frames, self._member_of - {self._sid}, self._moves)

    def advance(self, recent: RecentEntries, entries: DecodedEntries, budget: int) -> bool:
        """Go on to the end of what is indexed, or until so many entries have been looked at.

        False where some are left. They must not begin after the cursor.
        """
        for segment in recent.after(self.cursor):
            indexes = self._indexes_in(segment)
            while indexes and not self.is_too_much:
                if budget == 0:
                    return False
                budget -= 1
                if self._pass(entries.at(segment, indexes.pop())):
                    indexes = self._indexes_in(segment)
            if segment.indexed:
                self.reach(segment.id_at(segment.indexed - 1))
        return True

    def reach(self, log_id: LogId) -> None:
        """Note that up to this entry there is nothing that was not passed."""
        self.cursor = max(self.cursor, log_id)

    def _indexes_in(self, segment: Segment) -> list[int]:
        """Find the indexes of what may concern it, the next one last."""
        first = segment.index_after(self.cursor)
        first_sent = segment.index_after(self._seen) if self._seen > self.cursor else first
        return segment.find(self._wanted, first, first_sent)

    def _find_wanted(self) -> frozenset[str | None]:
        """Name the rooms that it is in or will be, without further moves."""
        everyone = () if self._scope else _EVERYONE
        pending = (change.room for change in self._pending)
        return frozenset([*everyone, *self._member_of, *pending])

    def _pass(self, entry: DecodedEntry) -> bool:
        """Go past an entry; say whether that has moved it."""
        self.cursor = entry.id
        while self._pending and self._pending[-1].at < entry.id:
            self._change(self._pending.pop())
        if entry.id > self._seen and entry.reaches(self._member_of, self._scope):
            frame = entry.frame()
            self._frames.append(frame)
            self.size += len(frame.message) + sum(map(len, frame.attachments))
        if entry.move is None or entry.id <= self._rooms_at:
            return False
        before = frozenset(self._member_of)
        _move(entry.move, self._member_of, self._scope)
        self._member_of.add(self._sid)  # no room that can be left
        for room in self._member_of.symmetric_difference(before):
            self._moves.append(RoomChange(entry.id, room, room in self._member_of))
        self._wanted = self._find_wanted()
        return self._member_of != before

    def _change(self, change: RoomChange) -> None:
        (self._member_of.add if change.is_in else self._member_of.discard)(change.room)


def _move(move: RoutedEvent | Move, member_of: set[str], scope: Scope) -> None:
    """Let an entry change the rooms of a member."""
    match move:
        case RoutedEvent(empties=empties, removals=removals):
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
        case Regroup() if move.reaches(member_of, scope):
            member_of.update(move.enters)
            member_of.difference_update(move.leaves)
