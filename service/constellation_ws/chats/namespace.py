"""One namespace: who gets in, who leaves, and a newer token of somebody who is in.

Who a client is comes from `auth`, what it may do from `admission`, what it may ask from `requests`;
which bytes it gets is not decided here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Sequence

import structlog
from opentelemetry.trace import Span, SpanKind
from socketio.exceptions import ConnectionRefusedError as ConnectRefused

from constellation_ws.auth.identity import Headers, Identity, renewed
from constellation_ws.chats.answering import Answering
from constellation_ws.chats.client_request import ClientRequest
from constellation_ws.chats.members import MovedMember
from constellation_ws.chats.neighbours import (
    Access,
    Attendance,
    Authentication,
    Board,
    Recovery,
    Server,
    Sessions,
)
from constellation_ws.chats.requests import AckData, Handler, RoomRequests
from constellation_ws.chats.watching import Watching
from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.delivery.welcome import RetryLater, Welcome
from constellation_ws.engine.session import EngineSession
from constellation_ws.interface.built_in import REFRESH
from constellation_ws.interface.rows import RequestRow
from constellation_ws.messages import trace_context
from constellation_ws.messages.admission import (
    DRAINING,
    Allowance,
    Arrivals,
    Limits,
    Refusal,
    may_connect,
)
from constellation_ws.messages.events import Sid, UserId, user_room
from constellation_ws.messages.namespaces import Scope, standing_rooms
from constellation_ws.messages.trace_context import PARENT, STATE, TraceContext
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.runtime.due import DueTimes

logger = structlog.get_logger(__name__)

_HOLD_SECONDS = (1.0, 5.0)
"""How long a client waits whose refusal passes by itself, least and most, before it is closed."""
_FOR_GOOD = ("client disconnect", "server disconnect")
"""Reasons of python-socketio after which nobody resumes: somebody meant it."""
_MOVED = "moved"
"""Why a user is gone whose session went to another pod."""


class Namespace:
    """A namespace's handlers, registered on construction."""

    def __init__(
        self,
        name: str,
        scope: Scope,
        requests: Sequence[RequestRow],
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
        board: Board,
        expiries: DueTimes,
        tracing: Tracing | NoTracing = NO_TRACING,
    ) -> None:
        """`requests` are the namespace's rows; those with `to` are answered by backends.

        `expiries` says when the tokens of which members end, by `Member.key`; to close them then is
        somebody else's.
        """
        self._name = name
        self._scope = scope
        self._server = server
        self._access = access
        self._recovery = recovery
        self._sessions = sessions
        self._attendance = attendance
        self._limits = limits
        self._metrics = metrics
        self._tracing = tracing
        self._authentication = authentication
        self._rooms = rooms
        self._expiries = expiries
        self._arriving = Arrivals()
        self._is_draining = False
        self._register(requests, board)

    def _register(self, requests: Sequence[RequestRow], board: Board) -> None:
        """Register what answers; of the events for backends only the names are known here."""
        asked = RoomRequests(self._rooms, self._limits, self._access, self._sessions)
        watching = Watching(self._rooms, self._limits, self._access, self._sessions, board)
        handlers: dict[str, Handler] = {
            row.event: (watching if row.watches or row.unwatches else asked).handler(row)
            for row in requests
            if row.to is None
        }
        if self._authentication.has_tokens:
            handlers[REFRESH] = self._refresh
        forwarded = [row.event for row in requests if row.to is not None]
        server, name = self._server, self._name
        answering = Answering(self._metrics, self._tracing)
        server.on("connect", self._connect, namespace=name)
        server.on("disconnect", self._disconnect, namespace=name)
        for event, handler in handlers.items():
            server.requests.answer(name, event, answering.seen(event, handler))
        server.on("*", answering.unknown([*handlers, *forwarded]), namespace=name)

    def begin_drain(self) -> None:
        """Refuse new members from now on."""
        self._is_draining = True

    def release(self, member: Member) -> MovedMember:
        """Give a member away that goes on at another pod; its session has been given already."""
        assert member.identity is not None, "connected"
        allowance = member.allowance or Allowance(self._limits.requests, time.monotonic())
        allowance_left, overdrawn = allowance.spent
        moved = MovedMember(
            member.sid,
            member.identity,
            member.has_offsets,
            sorted(member.rooms),
            allowance_left,
            overdrawn,
            self._scope,
        )
        self._expiries.remove(member.key)
        self._rooms.remove(member)
        self._depart(member.user, _MOVED)
        return moved

    def adopt(self, moved: MovedMember, session: EngineSession, rooms: Iterable[str]) -> Member:
        """Go on with a member of another pod, in these rooms. Nobody notices."""
        member = Member(Sid(moved.sid), session.sid, session, self._scope)
        former = self._rooms.by_own_room(member.own_room)
        if former is not None:
            self._rooms.remove(former)
        self._rooms.add(member)
        user = moved.identity.user
        allowance = Allowance(self._limits.requests, time.monotonic())
        allowance.go_on(moved.allowance_left, moved.overdrawn)
        member.admit(user)
        member.allow(allowance)
        self._note(member, moved.identity)
        member.give_offsets(moved.has_offsets)
        member.connect()
        for room in rooms:
            self._rooms.enter(member, room)
        self._arrive(user)
        return member

    async def disconnect(self, member: Member) -> None:
        """Disconnect a member for good."""
        await self._server.disconnect(member.sid, namespace=self._name)

    async def _connect(self, sid: str, environ: object, auth: object) -> Welcome | None:
        headers = getattr(environ, "headers", ())
        with self._tracing.act("connect", SpanKind.SERVER, link=_link_in(headers)) as span:
            return await self._let_in(sid, auth, headers, span)

    async def _let_in(self, sid: str, auth: object, headers: Headers, span: Span) -> Welcome | None:
        identify = self._authentication.identify
        identity = DRAINING if self._is_draining else await identify(auth, headers)
        if isinstance(identity, Refusal):
            raise await self._refused_connect(identity, span)
        if not identity.user:
            return await self._enter(sid, identity, auth, span)
        here = self._scope + user_room(identity.user)
        with self._arriving.one_of(identity.user) as before:
            refusal = may_connect(before + len(self._rooms.members(here)), self._limits)
            if refusal is not None:
                raise await self._refused_connect(refusal, span)
            return await self._enter(sid, identity, auth, span)

    async def _refused_connect(self, refusal: Refusal, span: Span) -> ConnectRefused | RetryLater:
        self._metrics.connects.add(refusal.code)
        span.set_attribute("constellation.code", refusal.code)
        if not refusal.is_temporary:
            return ConnectRefused(refusal.message, {"code": refusal.code})
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
        member = self._rooms.by_sid(sid, self._scope)
        assert member is not None, "pre-connected by the server"
        user = identity.user
        span.set_attribute("user.id", user)
        member.admit(user)
        self._note(member, identity)
        welcome = await self._recovery.open(member, user, auth)
        # From here on nothing waits: what is delivered next reaches a member of its rooms.
        for room in standing_rooms(self._scope, user):
            self._rooms.enter(member, room)
        self._metrics.connects.add("ok")
        self._arrive(user)
        return welcome

    def _disconnect(self, sid: str, reason: str) -> None:
        self._metrics.disconnects.add(reason)
        member = self._rooms.by_sid(sid, self._scope)
        if member is None or member.user is None:
            return
        self._expiries.remove(member.key)
        self._sessions.leave(member, for_good=reason in _FOR_GOOD)
        for room in standing_rooms(self._scope, member.user):
            self._rooms.leave(member, room)
        self._depart(member.user, reason)

    def _arrive(self, user: UserId) -> None:
        if user:
            self._attendance.arrive(user)

    def _depart(self, user: UserId | None, reason: str) -> None:
        """Note that a user is gone, once it has no member in any namespace."""
        if user and not self._rooms.is_online(user):
            self._attendance.depart(user, reason)

    async def _refresh(self, request: ClientRequest) -> AckData | Refusal:
        """Let a newer token of the same user carry the connection on."""
        member, said = request.member, request.argument
        token = said.get("token") if isinstance(said, dict) else None
        identity = renewed(member.user, await self._authentication.verify(token))
        if isinstance(identity, Refusal):
            return identity
        self._note(member, identity)
        if lost := self._access.outdated(identity, member.rooms):
            for room in lost:
                self._rooms.leave(member, room)
            await self._sessions.removed(member, lost)
        return {"expiresAt": identity.expires_at}

    def _note(self, member: Member, identity: Identity) -> None:
        member.identify(identity)
        if identity.expires_at is not None:
            self._expiries.put(member.key, identity.expires_at)


def _link_in(headers: Headers) -> TraceContext | None:
    said = dict(headers)
    return trace_context.parse_fields(said.get(PARENT.encode()), said.get(STATE.encode()))
