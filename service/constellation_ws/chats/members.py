"""The members of all namespaces, where it does not matter which one each is in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from constellation_ws.auth.identity import Identity
from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.engine.session import EngineSession
from constellation_ws.messages.commands import Selection
from constellation_ws.messages.events import Room
from constellation_ws.messages.namespaces import Scope, scope_of
from constellation_ws.runtime.turns import paced


class MovedMember(msgspec.Struct, frozen=True, array_like=True):
    """A member as one pod gives it to another."""

    sid: str
    identity: Identity
    has_offsets: bool
    rooms: list[str]
    allowance_left: float
    overdrawn: int
    scope: Scope

    @property
    def own_room(self) -> str:
        """The room that holds this member alone."""
        return self.scope + self.sid


class Home(Protocol):
    """A namespace, as far as its members are concerned."""

    def release(self, member: Member) -> MovedMember:
        """Give a member away that goes on at another pod; its session has been given already."""

    def adopt(self, moved: MovedMember, session: EngineSession, rooms: Iterable[str]) -> Member:
        """Go on with a member of another pod, in these rooms. Nobody notices."""

    async def disconnect(self, member: Member) -> None:
        """Disconnect a member for good."""

    def begin_drain(self) -> None:
        """Refuse new members from now on."""


class Members:
    """The members of this pod."""

    def __init__(self, rooms: Rooms, homes: Mapping[Scope, Home]) -> None:
        """`homes` are the namespaces by their scopes."""
        self._rooms = rooms
        self._homes = homes

    def of_session(self, session: EngineSession) -> Sequence[Member]:
        """Give the members of an Engine.IO session, at most one in each namespace."""
        return self._rooms.of_session(session.sid)

    def serves(self, scope: Scope) -> bool:
        """Whether there is such a namespace; pods may have different tables for a while."""
        return scope in self._homes

    def release(self, member: Member) -> MovedMember:
        """Give a member away that goes on at another pod; its session has been given already."""
        return self._homes[member.scope].release(member)

    def adopt(self, moved: MovedMember, session: EngineSession, rooms: Iterable[str]) -> Member:
        """Go on with a member of another pod, in these rooms of a namespace that is served."""
        return self._homes[moved.scope].adopt(moved, session, rooms)

    def everywhere(self, room: Room) -> tuple[Room, ...]:
        """Name a room of the default namespace in all namespaces: a user's, say."""
        if scope_of(room):
            return (room,)
        return tuple(Room(scope + room) for scope in self._homes)

    def includes(self, meant: Selection) -> bool:
        """Whether there is anybody here who is meant."""
        return bool(self._rooms.audience(meant.rooms, meant.except_rooms))

    async def disconnect(self, meant: Selection) -> int:
        """Disconnect members for good; return how many there were."""
        members = tuple(self._rooms.audience(meant.rooms, meant.except_rooms))
        async for member in paced(members):
            await self._homes[member.scope].disconnect(member)
        return len(members)

    def begin_drain(self) -> None:
        """Refuse new members from now on."""
        for home in self._homes.values():
            home.begin_drain()
