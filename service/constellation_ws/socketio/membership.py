"""python-socketio's index of who is in which room, replaced by `constellation_ws.delivery.rooms`.

The method names and arguments are python-socketio's; what they mean is said there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import socketio

from constellation_ws.delivery.rooms import Member, Rooms, Stage
from constellation_ws.messages.events import Sid
from constellation_ws.messages.namespaces import DEFAULT_NAMESPACES, Namespaces


class Membership(socketio.AsyncManager):  # type: ignore[misc]  # python-socketio is untyped
    """python-socketio's view of `Rooms`: the same calls, another index behind them."""

    def __init__(self, namespaces: Namespaces = DEFAULT_NAMESPACES) -> None:
        super().__init__()
        self.namespaces = namespaces
        self.index = Rooms(tuple(namespaces.scopes.values()))
        # Where upstream looks which namespaces there are.
        self.rooms = dict.fromkeys(namespaces.scopes, self.index)

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        scope = self.namespaces.scope(namespace)
        rooms: list[str] | None = [scope] if scope else None
        if room is not None:
            rooms = [scope + one for one in ([room] if isinstance(room, str) else room)]
        audience = self.index.audience(rooms, ())
        yield from [(member.sid, member.eio_sid) for member in audience]

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        session = self.server.eio.sockets.get(eio_sid)
        if session is None:
            return None
        sid = Sid(self.server.eio.generate_id())
        member = Member(sid, eio_sid, session, self.namespaces.scope(namespace))
        return sid if self.index.add(member) else None

    async def connect(self, sid: str, namespace: str) -> str:
        member = self.member(sid, namespace)
        if member is not None:
            member.connect()
        return sid

    def member(self, sid: str | None, namespace: str) -> Member | None:
        """Find a member of a namespace; None also for an unknown namespace."""
        scope = self.namespaces.scopes.get(namespace)
        return None if scope is None else self.index.by_sid(sid, scope)

    def member_of(self, eio_sid: str, namespace: str) -> Member | None:
        """Find the member that a session has in a namespace; None also for an unknown namespace."""
        scope = self.namespaces.scopes.get(namespace)
        return None if scope is None else self.index.by_session(eio_sid, scope)

    def is_pre_connected(self, sid: str, namespace: str) -> bool:
        return self._stage(sid, namespace) is Stage.CONNECTING

    def is_connected(self, sid: str | None, namespace: str) -> bool:
        return self._stage(sid, namespace) is Stage.CONNECTED

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        member = self.member_of(eio_sid, namespace)
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
            self.index.remove(member)
        self.callbacks.pop(sid, None)

    def is_sid_room(self, namespace: str, room: str) -> bool:
        return self.member(room, namespace) is not None

    def basic_enter_room(
        self, sid: str, namespace: str, room: str, eio_sid: str | None = None
    ) -> None:
        member = self.member(sid, namespace)
        if member is None:
            raise ValueError("sid is not connected to requested namespace")
        self.index.enter(member, member.scope + room)

    def basic_leave_room(self, sid: str, namespace: str, room: str) -> None:
        member = self.member(sid, namespace)
        if member is not None:
            self.index.leave(member, member.scope + room)

    def basic_close_room(self, room: str, namespace: str) -> None:
        self.index.empty(self.namespaces.scope(namespace) + room)

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        member = self.member(sid, namespace)
        return (
            []
            if member is None
            else [sid, *(one.removeprefix(member.scope) for one in member.rooms)]
        )

    def _stage(self, sid: str | None, namespace: str) -> Stage | None:
        member = self.member(sid, namespace)
        return None if member is None else member.stage
