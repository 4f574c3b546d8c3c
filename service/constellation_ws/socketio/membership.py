"""python-socketio's index of who is in which room, replaced by `constellation_ws.delivery.rooms`.

The method names and arguments are python-socketio's; what they mean is said there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import socketio

from constellation_ws.delivery.rooms import Member, Rooms, Stage
from constellation_ws.messages.events import NAMESPACE, Room, Sid

_NOBODY = Rooms()


class Membership(socketio.AsyncManager):  # type: ignore[misc]  # python-socketio is untyped
    """python-socketio's view of `Rooms`: the same calls, another index behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.rooms: dict[str, Rooms] = {}  # where upstream looks which namespaces there are

    def rooms_of(self, namespace: str) -> Rooms:
        """Give the index of a namespace that is served, the same object for ever."""
        rooms = self.rooms.get(namespace)
        if rooms is None:
            rooms = self.rooms[namespace] = Rooms()
        return rooms

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        rooms = self._look(namespace)
        wanted = (Room(room),) if isinstance(room, str) else room
        audience = rooms.audience(wanted, ())
        yield from [(member.sid, member.eio_sid) for member in audience]

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        session = self.server.eio.sockets.get(eio_sid)
        if session is None:
            return None
        sid = Sid(self.server.eio.generate_id())
        member = Member(sid, eio_sid, session)
        return sid if self.rooms_of(namespace).add(member) else None

    async def connect(self, sid: str, namespace: str) -> str:
        member = self.member(sid, namespace)
        if member is not None:
            member.connect()
        return sid

    def member(self, sid: str | None, namespace: str = NAMESPACE) -> Member | None:
        """Find a member of a namespace."""
        return self._look(namespace).by_sid(sid)

    def is_pre_connected(self, sid: str, namespace: str) -> bool:
        return self._stage(sid, namespace) is Stage.CONNECTING

    def is_connected(self, sid: str | None, namespace: str) -> bool:
        return self._stage(sid, namespace) is Stage.CONNECTED

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        member = self._look(namespace).by_eio_sid(eio_sid)
        return None if member is None else member.sid

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        member = self.member(sid, namespace)
        return None if member is None else member.eio_sid

    def pre_disconnect(self, sid: str, namespace: str) -> str | None:
        member = self.member(sid, namespace)
        if member is None:
            return None
        member.begin_to_leave()
        return member.eio_sid

    def basic_disconnect(self, sid: str, namespace: str, **_: Any) -> None:
        member = self.member(sid, namespace)
        if member is not None:
            self.rooms_of(namespace).remove(member)
        self.callbacks.pop(sid, None)

    def is_sid_room(self, namespace: str, room: str) -> bool:
        return self.member(room, namespace) is not None

    def basic_enter_room(
        self, sid: str, namespace: str, room: str, eio_sid: str | None = None
    ) -> None:
        member = self.member(sid, namespace)
        if member is None:
            raise ValueError("sid is not connected to requested namespace")
        self.rooms_of(namespace).enter(member, Room(room))

    def basic_leave_room(self, sid: str, namespace: str, room: str) -> None:
        member = self.member(sid, namespace)
        if member is not None:
            self.rooms_of(namespace).leave(member, Room(room))

    def basic_close_room(self, room: str, namespace: str) -> None:
        self.rooms_of(namespace).empty(Room(room))

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        member = self.member(sid, namespace)
        return [] if member is None else [sid, *member.rooms]

    def _look(self, namespace: str) -> Rooms:
        """Look into an index without making one: clients may name any namespace."""
        return self.rooms.get(namespace, _NOBODY)

    def _stage(self, sid: str | None, namespace: str) -> Stage | None:
        member = self.member(sid, namespace)
        return None if member is None else member.stage
