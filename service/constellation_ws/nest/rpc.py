"""The story of one request on the TCP port: read it, have it done, answer.

Any pod answers any pattern: what is done, for the whole cluster, is `services.actions`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from opentelemetry.trace import SpanKind

from constellation_ws import __version__
from constellation_ws.messages import trace_context
from constellation_ws.messages.events import Room, UserId, user_room
from constellation_ws.messages.ids import read_id
from constellation_ws.nest.server import Handler, Pattern
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.services.actions import Actions
from constellation_ws.services.refusals import RequestRefused

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
    namespace: str = ""
    """Empty for the default namespace, as in all requests."""


class RoomEventRequest(msgspec.Struct, frozen=True):
    """`sendToRoom`"""

    room: Name
    event: Name
    data: msgspec.Raw = msgspec.Raw(b"null")
    namespace: str = ""
    """Empty for the default namespace, as in all requests."""


class RoomRequest(msgspec.Struct, frozen=True):
    """`joinRoom`, `leaveRoom`"""

    userId: Id
    roomName: Name
    namespace: str = ""


class DisconnectRequest(msgspec.Struct, frozen=True):
    """`disconnectUser`"""

    userId: Id
    reason: str | None = None


class Rpc:
    """The patterns of CONTRACT section 3 and what each does."""

    def __init__(
        self,
        actions: Actions,
        channels: Iterable[str],
        pod: str,
        tracing: Tracing | NoTracing = NO_TRACING,
    ) -> None:
        """Each of the channels is a pattern too."""
        self._actions = actions
        self._channels = channels
        self._pod = pod
        self._tracing = tracing

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
            channel: Pattern(self._publisher(channel), is_question=False)
            for channel in self._channels
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
        """Return whether a user has a socket on any pod."""
        request = _read(data, UserRequest)
        online = await self._actions.is_online(_user_id(request.userId))
        return _success({"userId": request.userId, "online": online})

    async def get_online_users(self, data: bytes) -> object:
        """List the cluster's online users, a page at a time."""
        request = _read(data if data != b"null" else b"{}", PageRequest)
        page = await self._actions.online(request.cursor or "", request.limit)
        answer: dict[str, Any] = {"users": page.users}
        if page.cursor is not None:
            answer["cursor"] = page.cursor
        return _success(answer)

    async def send_to_user(self, data: bytes) -> object:
        """Send an event to all of a user's sockets, on every pod."""
        request = _read(data, UserEventRequest)
        room = user_room(_user_id(request.userId))
        await self._actions.emit(room, request.event, request.data, request.namespace)
        return _success({"accepted": True})

    async def send_to_room(self, data: bytes) -> object:
        """Send an event to a room, on every pod."""
        request = _read(data, RoomEventRequest)
        room = Room(request.room)
        await self._actions.emit(room, request.event, request.data, request.namespace)
        return _success({"accepted": True})

    async def join_room(self, data: bytes) -> object:
        """Put all of a user's sockets, on every pod, into a room."""
        request = _read(data, RoomRequest)
        user, room = _user_id(request.userId), Room(request.roomName)
        await self._actions.join(user, room, request.namespace)
        return _moved(request)

    async def leave_room(self, data: bytes) -> object:
        """Take all of a user's sockets, on every pod, out of a room."""
        request = _read(data, RoomRequest)
        user, room = _user_id(request.userId), Room(request.roomName)
        await self._actions.leave(user, room, request.namespace)
        return _moved(request)

    async def disconnect_user(self, data: bytes) -> object:
        """Disconnect all of a user's sockets, on every pod, and say how many there were."""
        request = _read(data, DisconnectRequest)
        user = _user_id(request.userId)
        return _success(
            {"disconnected": await self._actions.disconnect(user, request.reason or "")}
        )

    def _seen(self, pattern: str, handle: Handler) -> Handler:
        """Give a request a span, below the caller's where it names one."""
        if not self._tracing.is_on:
            return handle  # a TCP request is not read for a context that nobody uses

        async def handle_seen(data: bytes) -> object:
            caller = trace_context.read(data)
            with self._tracing.act(pattern, SpanKind.SERVER, parent=caller) as span:
                span.set_attributes({"rpc.system": "nestjs", "rpc.method": pattern})
                return await handle(data)

        return handle_seen

    def _publisher(self, channel: str) -> Handler:
        async def publish(data: bytes) -> object:
            await self._actions.publish(channel, data)
            return _success({"accepted": True})

        return publish


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


def _moved(request: RoomRequest) -> object:
    return _success({"userId": request.userId, "roomName": request.roomName, "status": "success"})


def _success(data: object) -> object:
    return {"success": True, "data": data}
