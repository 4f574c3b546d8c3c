"""The `/chats` namespace: what clients may ask, and what they are answered.

Who a client is comes from `auth`, what it may do from `admission`; which bytes it gets is not
decided here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import structlog
from opentelemetry.trace import Span, SpanKind, get_current_span
from socketio.exceptions import ConnectionRefusedError as HandshakeRefused

from constellation_ws.auth.identity import Headers, Identity, renewed
from constellation_ws.chats.neighbours import (
    Access,
    Attendance,
    Authentication,
    Recovery,
    Server,
    Sessions,
)
from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.delivery.welcome import RetryLater, Welcome
from constellation_ws.engine.session import Session
from constellation_ws.messages import trace_context
from constellation_ws.messages.admission import (
    DISCONNECTED,
    DRAINING,
    UNAVAILABLE,
    Allowance,
    Arrivals,
    Limits,
    Refusal,
    may_connect,
    may_join,
    read_chat_id,
)
from constellation_ws.messages.commands import Selection
from constellation_ws.messages.events import NAMESPACE, ChatId, Sid, chat_room, user_room
from constellation_ws.messages.trace_context import PARENT, STATE, TraceContext
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.spans import ids_of
from constellation_ws.observability.tracing import Tracing
from constellation_ws.runtime.due import DueTimes
from constellation_ws.runtime.turns import paced

logger = structlog.get_logger(__name__)

Answer = dict[str, Any]
Request = Callable[..., Awaitable[Answer]]
"""Handles (sid, whatever the client sent)."""

_HOLD_SECONDS = (1.0, 5.0)
"""How long a client waits whose refusal passes by itself, least and most, before it is closed."""
_FOR_GOOD = ("client disconnect", "server disconnect")
"""Reasons of python-socketio after which nobody resumes: somebody meant it."""


class MovedMember(msgspec.Struct, frozen=True, array_like=True):
    """A member as one pod gives it to another."""

    sid: str
    identity: Identity
    wants_offsets: bool
    rooms: list[str]
    tokens: float
    overdrawn: int


class Chats:
    """The namespace's handlers, registered on construction."""

    def __init__(
        self,
        server: Server,
        rooms: Rooms,
        limits: Limits,
        metrics: Metrics,
        *,
        authentication: Authentication,
        access: Access,
        recovery: Recovery,
        sessions: Sessions,
        attendance: Attendance,
        tracing: Tracing | NoTracing = NO_TRACING,
    ) -> None:
        self._server = server
        self._access = access
        self._recovery = recovery
        self._sessions = sessions
        self._attendance = attendance
        self._limits = limits
        self._metrics = metrics
        self._tracing = tracing
        self._authentication = authentication
        self.rooms = rooms
        self._arriving = Arrivals()
        self.expiries = DueTimes()
        """When which connection's token ends; to close it then is somebody else's."""
        self._is_draining = False
        for event, handler in (
            ("connect", self._connect),
            ("disconnect", self._disconnect),
            ("join-chat", self._seen("join-chat", self._join)),
            ("leave-chat", self._seen("leave-chat", self._leave)),
            ("*", self._unknown),
        ):
            server.on(event, handler, namespace=NAMESPACE)
        if authentication.has_tokens:
            refresh = self._seen("refresh-token", self._refresh)
            server.on("refresh-token", refresh, namespace=NAMESPACE)

    def begin_drain(self) -> None:
        """Refuse new members from now on."""
        self._is_draining = True

    def release(self, member: Member) -> MovedMember:
        """Give a member away that goes on at another pod; its session has been given already."""
        assert member.user is not None, "connected"
        assert member.identity is not None, "connected"
        tokens, overdrawn = member.allowance.spent
        moved = MovedMember(
            member.sid,
            member.identity,
            member.wants_offsets,
            sorted(member.rooms),
            tokens,
            overdrawn,
        )
        self.expiries.remove(member.eio_sid)
        self.rooms.remove(member)
        if not self.rooms.members(user_room(member.user)):
            self._attendance.depart(member.user)
        return moved

    def adopt(self, moved: MovedMember, session: Session, rooms: Iterable[str]) -> Member:
        """Go on with a member of another pod, in these rooms. Nobody notices."""
        member = Member(Sid(moved.sid), session.sid, session)
        former = self.rooms.by_sid(moved.sid)
        if former is not None:
            self.rooms.remove(former)
        self.rooms.add(member)
        user = moved.identity.user
        allowance = Allowance(self._limits.requests, time.monotonic())
        allowance.go_on(moved.tokens, moved.overdrawn)
        member.admit(user, allowance)
        self._note(member, moved.identity)
        member.give_offsets(moved.wants_offsets)
        member.connect()
        for room in rooms:
            self.rooms.enter(member, room)
        self._attendance.arrive(user)
        return member

    async def disconnect(self, meant: Selection) -> int:
        """Disconnect members for good; say how many there were."""
        members = tuple(self.rooms.audience(meant.rooms, meant.except_rooms))
        async for member in paced(members):
            await self._server.disconnect(member.sid, namespace=NAMESPACE)
        return len(members)

    async def _connect(self, sid: str, environ: object, auth: object) -> Welcome | None:
        headers = getattr(environ, "headers", ())
        with self._tracing.act("connect", SpanKind.SERVER, link=_link_in(headers)) as span:
            return await self._let_in(sid, auth, headers, span)

    async def _let_in(self, sid: str, auth: object, headers: Headers, span: Span) -> Welcome | None:
        identify = self._authentication.identify
        identity = DRAINING if self._is_draining else await identify(auth, headers)
        if isinstance(identity, Refusal):
            raise await self._refused_connect(identity, span)
        here = user_room(identity.user)
        with self._arriving.one_of(identity.user) as before:
            refusal = may_connect(before + len(self.rooms.members(here)), self._limits)
            if refusal is not None:
                raise await self._refused_connect(refusal, span)
            return await self._enter(sid, identity, auth, span)

    async def _refused_connect(self, refusal: Refusal, span: Span) -> HandshakeRefused | RetryLater:
        self._metrics.connects.add(refusal.code)
        span.set_attribute("constellation.code", refusal.code)
        if not refusal.is_temporary:
            return HandshakeRefused(refusal.message, {"code": refusal.code})
        # The code is in the text, since repetitions of one text are left out of the log.
        logger.warning(f"client refused for now: {refusal.code}")
        if refusal is not DRAINING:
            # Every pod may be in this state. The transport could be opened, so socket.io-client
            # does not back off: without the wait each client would be back after a second.
            await asyncio.sleep(random.uniform(*_HOLD_SECONDS))
        return RetryLater(refusal.code)

    async def _enter(
        self, sid: str, identity: Identity, auth: object, span: Span
    ) -> Welcome | None:
        member = self.rooms.by_sid(sid)
        assert member is not None, "pre-connected by the server"
        user = identity.user
        span.set_attribute("user.id", user)
        member.admit(user, Allowance(self._limits.requests, time.monotonic()))
        self._note(member, identity)
        welcome = await self._recovery.open(member, user, auth)
        # From here on nothing waits: what is delivered next reaches a member of its rooms.
        self.rooms.enter(member, user_room(user))
        self._metrics.connects.add("ok")
        self._attendance.arrive(user)
        return welcome

    def _disconnect(self, sid: str, reason: str) -> None:
        self._metrics.disconnects.add(reason)
        member = self.rooms.by_sid(sid)
        if member is None or member.user is None:
            return
        self.expiries.remove(member.eio_sid)
        self._sessions.leave(member, for_good=reason in _FOR_GOOD)
        self.rooms.leave(member, user_room(member.user))
        if not self.rooms.members(user_room(member.user)):
            self._attendance.depart(member.user)

    def _seen(self, event: str, handle: Request) -> Request:
        """Give a request a span, and tell the client its trace where it asks for that.

        What a client says of its own trace becomes a link, never a parent: else whoever can reach
        the port could have all that it does recorded.
        """

        async def handle_seen(sid: str, request: object = None, *rest: object) -> Answer:
            said = request if isinstance(request, dict) else {}
            link = trace_context.parse(said.get(PARENT), said.get(STATE))
            with self._tracing.act(event, SpanKind.SERVER, link=link) as span:
                answer = await handle(sid, request, *rest)
                ids = ids_of(span)
            return {**answer, "traceId": ids["trace_id"]} if ids and PARENT in said else answer

        return handle_seen

    async def _join(self, sid: str, request: object = None, *_: object) -> Answer:
        member = self._member(sid)
        chat = read_chat_id(request, self._limits.max_id_chars)
        if isinstance(chat, Refusal):
            return self._answer("join-chat", chat)
        room = chat_room(chat)
        if room not in member.rooms:
            refusal = may_join(len(member.rooms) - 1, self._limits)
            if refusal is None:
                refusal = await self._ask_access(member, chat)
            if refusal is not None:
                return self._answer("join-chat", refusal)
            # Nothing has waited since the answer: an end of membership comes before it or finds it.
            self.rooms.enter(member, room)
            if not await self._sessions.joined(member, room):
                return self._answer("join-chat", UNAVAILABLE)
        return self._answer("join-chat", {"chatId": chat})

    async def _ask_access(self, member: Member, chat: ChatId) -> Refusal | None:
        assert member.identity is not None, "set before it was connected"
        refusal = await self._access.refusal(member.identity, chat)
        return refusal if self.rooms.by_sid(member.sid) is member else DISCONNECTED

    async def _leave(self, sid: str, request: object = None, *_: object) -> Answer:
        member = self._member(sid)
        chat = read_chat_id(request, self._limits.max_id_chars)
        if isinstance(chat, Refusal):
            return self._answer("leave-chat", chat)
        room = chat_room(chat)
        # Written before it is done: an event that comes meanwhile is still the member's.
        if not await self._sessions.left(member, room):
            return self._answer("leave-chat", UNAVAILABLE)
        self.rooms.leave(member, room)
        return self._answer("leave-chat", {"chatId": chat})

    async def _refresh(self, sid: str, request: object = None, *_: object) -> Answer:
        """Let a newer token of the same user carry the connection on."""
        member = self._member(sid)
        token = request.get("token") if isinstance(request, dict) else None
        identity = renewed(member.user, await self._authentication.verify(token))
        if isinstance(identity, Refusal):
            return self._answer("refresh-token", identity)
        self._note(member, identity)
        if lost := self._access.outdated(identity, member.rooms):
            for room in lost:
                self.rooms.leave(member, room)
            await self._sessions.removed(member, lost)
        return self._answer("refresh-token", {"expiresAt": identity.expires_at})

    def _note(self, member: Member, identity: Identity) -> None:
        member.identify(identity)
        if identity.expires_at is not None:
            self.expiries.put(member.eio_sid, identity.expires_at)

    def _member(self, sid: str) -> Member:
        member = self.rooms.by_sid(sid)
        assert member is not None, "a connected client asked"
        if member.user is not None:
            get_current_span().set_attribute("user.id", member.user)
        return member

    def _unknown(self, event: str, sid: str, *_: object) -> Answer:
        message = "Unknown request; use join-chat or leave-chat."
        return self._answer("unknown", Refusal("unknown_event", message))

    def _answer(self, event: str, result: Refusal | dict[str, Any]) -> Answer:
        outcome = result.code if isinstance(result, Refusal) else "ok"
        self._metrics.requests.labels(event, outcome).inc()
        get_current_span().set_attribute("constellation.outcome", outcome)
        if isinstance(result, Refusal):
            return result.acknowledgement()
        return {"success": True, "data": result}


def _link_in(headers: Headers) -> TraceContext | None:
    said = dict(headers)
    return trace_context.parse_fields(said.get(PARENT.encode()), said.get(STATE.encode()))
