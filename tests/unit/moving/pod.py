"""A pod as far as moves need it: a real engine and rooms, and small stand-ins for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from constellation_ws.auth.identity import Identity
from constellation_ws.chats.members import MovedMember
from constellation_ws.delivery.rooms import Member
from constellation_ws.engine.admission import Admission
from constellation_ws.engine.connection import WebSocketConnection
from constellation_ws.engine.server import Engine
from constellation_ws.engine.session import EngineSession
from constellation_ws.messages.commands import Selection
from constellation_ws.messages.events import NAMESPACE, Room, Sid, UserId, chat_room, user_room
from constellation_ws.messages.namespaces import DEFAULT_SCOPE, Namespaces, Scope
from constellation_ws.observability.metrics import Metrics
from constellation_ws.recovery.missed import Found
from constellation_ws.recovery.moving import LogPosition, MovedTicket
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.socketio.membership import Membership
from constellation_ws.socketio.server import Server
from tests.peer_lines import Line
from tests.unit.engine.world import LIMITS

USER = UserId("u")
NAMESPACES = Namespaces(["/chats", "/orders"])
ORDERS = NAMESPACES.scope("/orders")
PLACE = LogPosition("epoch", (7, 0))


class Members:
    """The members of a pod, without what they may ask."""

    def __init__(self, server: Server) -> None:
        self.rooms = server.membership.index
        self.disconnected: list[str] = []
        self.served = {DEFAULT_SCOPE}

    def of_session(self, session: EngineSession) -> list[Member]:
        return self.rooms.of_session(session.sid)

    def serves(self, scope: Scope) -> bool:
        return scope in self.served

    def adopt(self, moved: MovedMember, session: EngineSession, rooms: Iterable[str]) -> Member:
        member = Member(Sid(moved.sid), session.sid, session, moved.scope)
        self.rooms.add(member)
        member.admit(moved.identity.user)
        member.identify(moved.identity)
        member.give_offsets(moved.has_offsets)
        member.connect()
        for room in rooms:
            self.rooms.enter(member, room)
        return member

    def release(self, member: Member) -> MovedMember:
        assert member.identity is not None
        moved = MovedMember(
            member.sid,
            member.identity,
            member.has_offsets,
            sorted(member.rooms),
            1.0,
            0,
            member.scope,
        )
        self.rooms.remove(member)
        return moved

    async def disconnect(self, meant: Selection) -> int:
        self.disconnected += meant.rooms or ()
        return 1


class Log:
    """What sessions have in the log."""

    can_move = True

    def __init__(self) -> None:
        self.place: LogPosition | None = PLACE
        self.is_expected = True
        self.ticket: MovedTicket | None = a_ticket()
        self.found: Found | None = found()
        self.may_find = asyncio.Event()
        self.may_find.set()
        self.went_on: list[str] = []

    def position_of(self, member: Member) -> LogPosition | None:
        return self.place

    def can_release(self, member: Member) -> bool:
        return self.ticket is not None

    def release(self, member: Member) -> MovedTicket | None:
        return self.ticket

    async def expects(self, place: LogPosition) -> bool:
        assert place == PLACE
        await asyncio.sleep(0)
        return self.is_expected

    async def find(self, ticket: MovedTicket, sid: str, rooms: frozenset[str]) -> Found | None:
        await self.may_find.wait()
        return self.found

    def go_on(self, member: Member, moved: MovedTicket, found: Found) -> None:
        self.went_on.append(member.sid)


class Pod:
    """One pod's parts."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.lost: list[tuple[str, str]] = []
        self.engine = Engine(LIMITS, pod_tag="podA", spawn=self.spawn, turns=TurnQueue())
        self.admission = Admission(self.engine, cors_origins=("*",))
        self.server = Server(
            self.engine, Membership(NAMESPACES), lambda member, request_bytes: None
        )
        self.server.on("connect", lambda *_: None, namespace=NAMESPACE)
        self.server.on("disconnect", self._disconnect, namespace=NAMESPACE)
        self.members: Any = Members(self.server)
        self.log: Any = Log()
        self.metrics = Metrics()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.tasks.append(task)
        return task

    async def settled(self) -> None:
        """Let all that was spawned come to its end, or to where it waits for the test."""
        for _ in range(50):
            await asyncio.sleep(0)
        for task in self.tasks:
            if task.done():
                task.result()

    def on_websocket(self) -> tuple[EngineSession, Line]:
        """Open a session on a WebSocket."""
        line = Line()
        session = self.engine.open("EIO=4", "10.0.0.9", [])
        connection = WebSocketConnection(self.engine, line)
        connection.carry(session)
        line.protocol = connection
        return session, line

    def with_member(
        self, session: EngineSession, sid: str = "sio", scope: Scope = DEFAULT_SCOPE
    ) -> Member:
        """Let a session be connected to a namespace."""
        moved = MovedMember(sid, Identity(USER), False, [], 1.0, 0, scope)
        rooms = [scope + user_room(USER), scope + chat_room_of("7")]
        member: Member = self.members.adopt(moved, session, rooms)
        self.engine.mark_used(session)
        return member

    def moved(self, direction: str, outcome: str) -> int:
        return int(self.metrics.moved_sessions.labels(direction, outcome)._value.get())

    def _disconnect(self, sid: str, reason: str) -> None:
        self.lost.append((sid, reason))


def chat_room_of(chat: str) -> Room:
    return chat_room(chat)  # type: ignore[arg-type]  # any text


def a_ticket() -> MovedTicket:
    return MovedTicket(
        PLACE, "pid", "podB.1", USER, (1, 0), (1, 0), True, (5, 0), None, [], [], True, 0
    )


def found(*frames: Any, rooms: Iterable[str] = ()) -> Found:
    return Found((9, 0), list(frames), {user_room(USER), *rooms}, (), set(), False)
