"""The story of one request on the TCP port: read it, ask Redis or tell every pod, answer.

Any pod answers any pattern: what concerns sockets elsewhere goes through Redis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from opentelemetry.trace import SpanKind, get_current_span

from constellation_ws import __version__
from constellation_ws.chats.presence import Presence, PresenceUnavailable
from constellation_ws.delivery.routes import Route, Table
from constellation_ws.messages import commands, trace_context
from constellation_ws.messages.commands import Join, Leave
from constellation_ws.messages.events import (
    UNSENDABLE_EVENTS,
    MalformedEvent,
    Room,
    UserId,
    user_room,
)
from constellation_ws.messages.ids import read_id
from constellation_ws.nest.sending import Sending
from constellation_ws.nest.server import Handler, Pattern, RequestRefused
from constellation_ws.observability.spans import inject
from constellation_ws.observability.tracing import Tracing, act, publishing
from constellation_ws.redis_io.bus import RedisBus
from constellation_ws.redis_io.link import RedisUnavailable
from constellation_ws.redis_io.names import DEFAULT, Names

MAX_PAGE = 10_000
"""Most users that one `getOnlineUsers` answers; a cursor leads on."""

Id = msgspec.Raw
"""As the caller wrote it, and echoed like that; `_user_id` reads it."""
Name = Annotated[str, Meta(min_length=1)]
Request = TypeVar("Request", bound=msgspec.Struct)


class UserRequest(msgspec.Struct, frozen=True):
    """`isUserOnline`"""

    userId: Id


class PageRequest(msgspec.Struct, frozen=True):
    """`getOnlineUsers`"""

    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = MAX_PAGE


class UserEventRequest(msgspec.Struct, frozen=True):
    """`sendToUser`"""

    userId: Id
    event: Name
    data: msgspec.Raw = msgspec.Raw(b"null")


class RoomEventRequest(msgspec.Struct, frozen=True):
    """`sendToRoom`"""

    room: Name
    event: Name
    data: msgspec.Raw = msgspec.Raw(b"null")


class RoomRequest(msgspec.Struct, frozen=True):
    """`joinRoom`, `leaveRoom`"""

    userId: Id
    roomName: Name


class DisconnectRequest(msgspec.Struct, frozen=True):
    """`disconnectUser`"""

    userId: Id
    reason: str | None = None


class Rpc:
    """The patterns of CONTRACT section 3 and what each does."""

    def __init__(
        self,
        bus: RedisBus,
        presence: Presence,
        table: Table,
        pod: str,
        sending: Sending,
        tracing: Tracing | None = None,
        names: Names = DEFAULT,
        *,
        max_event_bytes: int,
    ) -> None:
        self._bus = bus
        self._commands = names.commands
        self._sending = sending
        self._presence = presence
        self._table = table
        self._pod = pod
        self._tracing = tracing
        self._max_event_bytes = max_event_bytes

    def patterns(self) -> Mapping[str, Pattern]:
        """Give what is done for every pattern."""
        own = {
            "ping": Pattern(self.ping),
            "isUserOnline": Pattern(self.is_user_online),
            "getOnlineUsers": Pattern(self.get_online_users),
            "sendToUser": Pattern(self.send_to_user, is_question=False),
            "sendToRoom": Pattern(self.send_to_room, is_question=False),
            "joinRoom": Pattern(self.join_room, is_question=False),
            "leaveRoom": Pattern(self.leave_room, is_question=False),
            "disconnectUser": Pattern(self.disconnect_user, is_question=False),
        }
        published = {
            channel: Pattern(self._publisher(channel, route), is_question=False)
            for channel, route in self._table.items()
        }
        seen = {
            name: replace(pattern, handle=self._seen(name, pattern.handle))
            for name, pattern in own.items()
        }
        return {**published, **seen}

    async def ping(self, _: bytes) -> object:
        """Say that this pod is there, and which it is."""
        return _success({"pong": True, "version": __version__, "pod": self._pod})

    async def is_user_online(self, data: bytes) -> object:
        """Tell whether a user has a socket on any pod."""
        request = _read(data, UserRequest)
        user = _user_id(request.userId)
        try:
            online = await self._presence.is_online(user)
        except PresenceUnavailable as error:
            raise RequestRefused("unavailable", str(error)) from error
        return _success({"userId": request.userId, "online": online})

    async def get_online_users(self, data: bytes) -> object:
        """List the cluster's online users, a page at a time."""
        request = _read(data if data != b"null" else b"{}", PageRequest)
        try:
            page = await self._presence.online(request.cursor or "", request.limit)
        except PresenceUnavailable as error:
            raise RequestRefused("unavailable", str(error)) from error
        answer: dict[str, Any] = {"users": page.users}
        if page.cursor is not None:
            answer["cursor"] = page.cursor
        return _success(answer)

    async def send_to_user(self, data: bytes) -> object:
        """Send an event to all of a user's sockets, on every pod."""
        request = _read(data, UserEventRequest)
        return await self._emit(_user(request.userId), request.event, request.data)

    async def send_to_room(self, data: bytes) -> object:
        """Send an event to a room, on every pod."""
        request = _read(data, RoomEventRequest)
        return await self._emit(Room(request.room), request.event, request.data)

    async def join_room(self, data: bytes) -> object:
        """Put all of a user's sockets, on every pod, into a room."""
        request = _read(data, RoomRequest)
        await self._tell(Join(_user(request.userId), Room(request.roomName)))
        return _success(
            {"userId": request.userId, "roomName": request.roomName, "status": "success"}
        )

    async def leave_room(self, data: bytes) -> object:
        """Take all of a user's sockets, on every pod, out of a room."""
        request = _read(data, RoomRequest)
        await self._tell(Leave(_user(request.userId), Room(request.roomName)))
        return _success(
            {"userId": request.userId, "roomName": request.roomName, "status": "success"}
        )

    async def disconnect_user(self, data: bytes) -> object:
        """Disconnect all of a user's sockets, on every pod, and say how many there were."""
        request = _read(data, DisconnectRequest)
        who = _user(request.userId)
        await self._sending.flushed()  # what was sent before reaches the user first
        try:
            pods = await self._presence.pods()
            count = await self._bus.disconnect(who, request.reason or "", pods)
        except (RedisUnavailable, PresenceUnavailable) as error:
            raise RequestRefused("unavailable", str(error)) from error
        return _success({"disconnected": count})

    def _seen(self, pattern: str, handle: Handler) -> Handler:
        """Give a request a span, below the caller's where it names one."""
        tracing = self._tracing
        if tracing is None:
            return handle

        async def handle_seen(data: bytes) -> object:
            caller = trace_context.read(data)
            with act(tracing, pattern, SpanKind.SERVER, parent=caller) as span:
                span.set_attributes({"rpc.system": "nestjs", "rpc.method": pattern})
                return await handle(data)

        return handle_seen

    def _publisher(self, channel: str, route: Route) -> Handler:
        async def publish(data: bytes) -> object:
            self._check_size(data)
            try:
                route.route(data)
            except MalformedEvent as error:
                raise RequestRefused("invalid_request", f"{channel}: {error}") from error
            with publishing(self._tracing, channel, data) as (_, traced):
                await self._send_or_refuse(channel, self._fitting(traced, data))
            return _success({"accepted": True})

        return publish

    async def _emit(self, room: Room, event: str, data: msgspec.Raw) -> object:
        if event in UNSENDABLE_EVENTS:
            message = f"{event} is an event name that Socket.IO reserves; use another name"
            raise RequestRefused("invalid_request", message)
        command = commands.encode(commands.emit(event, data, (room,)))
        self._check_size(command)
        if self._tracing is not None:
            command = self._fitting(inject(get_current_span(), command), command)
        await self._send_or_refuse(self._commands, command)
        return _success({"accepted": True})

    def _check_size(self, event: bytes) -> None:
        if len(event) > self._max_event_bytes:
            sentence = (
                f"the event has {len(event):,} bytes; "
                f"CONSTELLATION_MAX_EVENT_BYTES allows {self._max_event_bytes:,}"
            )
            raise RequestRefused("too_large", sentence)

    def _fitting(self, traced: bytes, untraced: bytes) -> bytes:
        """Give the event with its trace context, unless that makes it too large."""
        return traced if len(traced) <= self._max_event_bytes else untraced

    async def _tell(self, command: commands.Command) -> None:
        await self._send_or_refuse(self._commands, commands.encode(command))

    async def _send_or_refuse(self, channel: str, payload: bytes) -> None:
        try:
            await self._sending.send(channel, payload)
        except RedisUnavailable as error:
            raise RequestRefused("unavailable", str(error)) from error


def _read(data: bytes, shape: type[Request]) -> Request:
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefused("invalid_request", str(error)) from error


def _user_id(raw: msgspec.Raw) -> UserId:
    user = read_id(raw)
    if user is None:
        sentence = "userId must be a non-empty string or a whole number"
        raise RequestRefused("invalid_request", sentence)
    return UserId(user)


def _user(raw: msgspec.Raw) -> Room:
    return user_room(_user_id(raw))


def _success(data: object) -> object:
    return {"success": True, "data": data}
