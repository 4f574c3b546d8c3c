"""Who is in which room on this pod: an index and its bookkeeping, without any I/O.

python-socketio's own index walks every room of the pod when one socket leaves, and keeps two
dictionaries per room. This one costs what the socket itself has joined.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from enum import Enum, auto
from typing import Any, Protocol

from constellation_ws.auth.identity import Identity
from constellation_ws.log.positions import Ticket
from constellation_ws.messages.events import Sid, UserId, user_room
from constellation_ws.messages.namespaces import DEFAULT_SCOPE, Scope


class Stage(Enum):
    """How far a namespace connection has come."""

    CONNECTING = auto()
    CONNECTED = auto()
    LEAVING = auto()


class Outlet(Protocol):
    """Where a member's bytes leave: an Engine.IO session, as far as `fanout` needs it."""

    closed: bool
    write: Callable[[bytes], None] | None
    """Sends ready WebSocket frames; None while the session polls, and once it is closed."""
    descriptor: int
    """Of the socket, while it may be written to past its transport; else -1. For `direct`."""
    pending: bytes | list[bytes] | None
    """Room for what a batch brings; `fanout` empties it soon. What else is written comes behind."""

    def queue(self, packet: str) -> None:
        """Keep a packet, in polling's encoding, for the next poll."""


class Member:
    """One socket's connection to the namespace. Identity is what counts: compared by `is`."""

    __slots__ = (
        "allowance",
        "eio_sid",
        "has_offsets",
        "identity",
        "outlet",
        "rooms",
        "scope",
        "sid",
        "stage",
        "ticket",
        "unanswered",
        "user",
    )

    def __init__(
        self, sid: Sid, eio_sid: str, outlet: Outlet, scope: Scope = DEFAULT_SCOPE
    ) -> None:
        self.sid = sid
        self.eio_sid = eio_sid
        self.scope = scope
        """Of its namespace: what the names of its rooms begin with."""
        self.outlet = outlet
        self.stage = Stage.CONNECTING
        self.user: UserId | None = None
        self.identity: Identity | None = None
        """What proved the user. A refreshed token replaces it."""
        self.ticket: Ticket | None = None
        self.has_offsets = False
        """Whether each event ends with its log ID, which a client presents when it resumes."""
        self.rooms: set[str] = set()
        self.allowance: Any = None
        """What it may still ask for; None before its first request: most ask for nothing."""
        self.unanswered = 0
        """Requests of it that a backend has not answered, while its next ones are handled."""

    @property
    def own_room(self) -> str:
        """The room that holds this member alone."""
        return self.scope + self.sid

    @property
    def key(self) -> str:
        """Names its namespace and its Engine.IO session."""
        return self.scope + self.eio_sid

    def connect(self) -> None:
        """Note that its CONNECT was answered."""
        self.stage = Stage.CONNECTED

    def begin_to_leave(self) -> None:
        """Note that it is about to leave the namespace."""
        self.stage = Stage.LEAVING

    def admit(self, user: UserId) -> None:
        """Note who it is."""
        self.user = user

    def allow(self, allowance: Any) -> None:
        """Note what it may ask for."""
        self.allowance = allowance

    def identify(self, identity: Identity) -> None:
        """Note what proves its user now."""
        self.identity = identity

    def begin_request(self) -> None:
        """Note that a request waits for a backend."""
        self.unanswered += 1

    def end_request(self) -> None:
        """Note that a request does not wait any more."""
        self.unanswered -= 1

    def hold(self, ticket: Ticket | None) -> None:
        """Hold a session; None where another connection holds it by now, or nobody does."""
        self.ticket = ticket

    def give_offsets(self, wanted: bool = True) -> None:
        """Decide whether its events carry their offsets."""
        self.has_offsets = wanted


def session_of(key: str) -> str:
    """Read the Engine.IO session out of `Member.key`."""
    return key.rpartition(",")[2]


class Rooms:
    """The index of all namespaces. A member's sid is also the name of a room that holds it alone.

    Rooms of other namespaces than the default one begin with their scope.
    """

    def __init__(self, scopes: Collection[Scope] = (DEFAULT_SCOPE,)) -> None:
        self._scopes = scopes
        self._by_own_room: dict[str, Member] = {}
        self._by_session: dict[str, Member] = {}
        """By scope and Engine.IO session id."""
        self._rooms: dict[str, set[Member]] = {}

    def __len__(self) -> int:
        return len(self._by_own_room)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._by_own_room.values())

    @property
    def room_count(self) -> int:
        """Rooms with at least one member; sid rooms are not counted."""
        return len(self._rooms)

    def names(self) -> list[str]:
        """Name the rooms that `room_count` counts: a copy, to be walked while rooms change."""
        return list(self._rooms)

    def add(self, member: Member) -> bool:
        """Take a new member; False when its Engine.IO session has one in this namespace already."""
        key = member.key
        if key in self._by_session:
            return False
        self._by_own_room[member.own_room] = self._by_session[key] = member
        return True

    def remove(self, member: Member) -> None:
        """Forget a member and take it out of all its rooms; harmless when it is gone already."""
        for room in tuple(member.rooms):
            self.leave(member, room)
        if self._by_own_room.get(member.own_room) is member:
            del self._by_own_room[member.own_room]
            del self._by_session[member.key]

    def rename(self, member: Member, sid: str) -> None:
        """Give a member, in no room yet, the sid that it had before; nobody else may have it."""
        del self._by_own_room[member.own_room]
        member.sid = Sid(sid)
        self._by_own_room[member.own_room] = member

    def by_sid(self, sid: str | None, scope: Scope = DEFAULT_SCOPE) -> Member | None:
        """Find a member of a namespace by its Socket.IO session id."""
        return self._by_own_room.get(scope + sid) if sid is not None else None

    def by_own_room(self, room: str) -> Member | None:
        """Find the member whose own room it is."""
        return self._by_own_room.get(room)

    def by_session(self, eio_sid: str, scope: Scope = DEFAULT_SCOPE) -> Member | None:
        """Find the member that an Engine.IO session has in a namespace."""
        return self._by_session.get(scope + eio_sid)

    def of_session(self, eio_sid: str) -> list[Member]:
        """Give the members of an Engine.IO session, at most one in each namespace."""
        by_session = self._by_session
        found = (by_session.get(scope + eio_sid) for scope in self._scopes)
        return [member for member in found if member is not None]

    def is_online(self, user: UserId) -> bool:
        """Whether a user has a member in any namespace; a member is in its user's room."""
        return any(scope + user_room(user) in self._rooms for scope in self._scopes)

    def enter(self, member: Member, room: str) -> None:
        """Put a member into a room; harmless when it is there already. A sid's room is closed."""
        if room in self._by_own_room:
            return
        self._rooms.setdefault(room, set()).add(member)
        member.rooms.add(room)

    def leave(self, member: Member, room: str) -> None:
        """Take a member out of a room; harmless when it is not there."""
        members = self._rooms.get(room)
        if members is None or member not in members:
            return
        members.discard(member)
        member.rooms.discard(room)
        if not members:
            del self._rooms[room]

    def empty(self, room: str) -> Collection[Member]:
        """Take every member out of a room; give those who were in it."""
        gone = self._rooms.pop(room, ())
        for member in gone:
            member.rooms.discard(room)
        return gone

    def enter_all(self, members: Collection[Member], room: str) -> Collection[Member]:
        """Put members into a room; give those who were not in it. As `enter`, for thousands."""
        come = [member for member in members if room not in member.rooms]
        for member in come:
            self.enter(member, room)
        return [member for member in come if room in member.rooms]

    def leave_all(self, members: Collection[Member], room: str) -> Collection[Member]:
        """Take members out of a room; give those who were in it. As `leave`, for thousands."""
        there = self._rooms.get(room, set())
        gone = there.intersection(members)
        if len(gone) == len(there):
            return self.empty(room)
        there -= gone
        for member in gone:
            member.rooms.discard(room)
        return gone

    def members(self, room: str) -> Collection[Member]:
        """Give the members of a room, or of a sid; do not change rooms while walking them."""
        found = self._rooms.get(room)
        if found is not None:
            return found
        member = self._by_own_room.get(room)
        return () if member is None else (member,)

    def audience(
        self, rooms: Collection[str] | None, except_rooms: Collection[str]
    ) -> Collection[Member]:
        """Give the members of any of the rooms, each once, less those of the excepted rooms.

        None stands for everyone in the default namespace. The answer may be a room itself: walk it
        before rooms change.
        """
        if rooms is None:
            union = {
                one
                for one in self._by_own_room.values()
                if one.stage is Stage.CONNECTED and not one.scope
            }
        else:
            found, by_own_room = self._rooms, self._by_own_room
            populated: list[set[Member]] = []
            for room in rooms:
                if room in found:
                    populated.append(found[room])
                elif room in by_own_room:
                    populated.append({by_own_room[room]})
            if not except_rooms:
                if len(populated) < 2:
                    return populated[0] if populated else ()
                # Most often the recipient has joined the chat as well: the room is the answer, and
                # the same object for every message of a batch, which lets `fanout` join them.
                largest = max(populated, key=len)
                if all(one is largest or largest.issuperset(one) for one in populated):
                    return largest
            union = set().union(*populated)
        for room in except_rooms:
            union.difference_update(self.members(room))
        return union
