"""The story of one request on the TCP port: read it, have it done, answer.

Any pod answers any pattern: what is done, for the whole cluster, is `services.actions`'.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from opentelemetry.trace import SpanKind

from constellation_ws import __version__
from constellation_ws.messages import half_pairs, trace_context
from constellation_ws.messages.events import Room, UserId, user_room
from constellation_ws.messages.ids import read_id
from constellation_ws.nest.server import Handler, Pattern
from constellation_ws.nest.shapes import (
    Accepted,
    Disconnected,
    DisconnectRequest,
    Moved,
    OnlineUsers,
    PageRequest,
    Pong,
    Presence,
    RoomEventRequest,
    RoomRequest,
    UserEventRequest,
    UserRequest,
)
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.services.acks import SentToUser, sent_with_acks
from constellation_ws.services.actions import Actions
from constellation_ws.services.refusals import RequestRefused


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
            name: Pattern(self._seen(name, self._reader(row)), row.is_question)
            for name, row in REQUESTS.items()
        }
        published = {
            channel: Pattern(self._publisher(channel), is_question=False)
            for channel in self._channels
        }
        return {**published, **own}

    async def ping(self, _: object) -> Pong:
        """Say that this pod is there, and which it is."""
        return Pong(True, __version__, self._pod)

    async def is_user_online(self, request: UserRequest) -> Presence:
        """Return whether a user has a socket on any pod."""
        online = await self._actions.is_online(_user_id(request.userId))
        return Presence(request.userId, online)

    async def get_online_users(self, request: PageRequest | None) -> OnlineUsers:
        """List the cluster's online users, a page at a time."""
        wanted = request or PageRequest()
        page = await self._actions.online(wanted.cursor or "", wanted.limit)
        return OnlineUsers(page.users, page.cursor)

    async def send_to_user(self, request: UserEventRequest) -> SentToUser:
        """Send an event to all of a user's sockets, on every pod; collect their acks if asked."""
        room, data = user_room(_user_id(request.userId)), _given(request.data)
        if request.ack is None:
            await self._actions.emit(room, request.event, data, request.namespace)
            return SentToUser()
        timeout_ms = request.ack.timeout_ms
        return sent_with_acks(
            await self._actions.emit_with_ack(
                room, request.event, data, timeout_ms, request.namespace
            )
        )

    async def send_to_room(self, request: RoomEventRequest) -> Accepted:
        """Send an event to a room, on every pod."""
        room = Room(request.room)
        await self._actions.emit(room, request.event, _given(request.data), request.namespace)
        return Accepted()

    async def join_room(self, request: RoomRequest) -> Moved:
        """Put all of a user's sockets, on every pod, into a room."""
        user, room = _user_id(request.userId), Room(request.roomName)
        await self._actions.join(user, room, request.namespace)
        return Moved(request.userId, request.roomName)

    async def leave_room(self, request: RoomRequest) -> Moved:
        """Take all of a user's sockets, on every pod, out of a room."""
        user, room = _user_id(request.userId), Room(request.roomName)
        await self._actions.leave(user, room, request.namespace)
        return Moved(request.userId, request.roomName)

    async def disconnect_user(self, request: DisconnectRequest) -> Disconnected:
        """Disconnect all of a user's sockets, on every pod, and say how many there were."""
        user = _user_id(request.userId)
        return Disconnected(await self._actions.disconnect(user, request.reason or ""))

    def _reader(self, row: TcpRequest) -> Handler:
        handle = partial(row.handle, self)

        async def read_and_handle(data: bytes) -> object:
            return _success(await handle(_read(data, row.request)))

        return read_and_handle

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
            return _success(Accepted())

        return publish


@dataclass(frozen=True, slots=True)
class TcpRequest:
    """A pattern of the port's own: what it reads, does and answers."""

    request: Any
    """The type of `data`; `msgspec.Raw` where it is not read."""
    answer: type[msgspec.Struct]
    """The type of the response's `data`."""
    handle: Callable[[Rpc, Any], Awaitable[msgspec.Struct]]
    is_question: bool = False
    """As `Pattern.is_question`."""


REQUESTS: Mapping[str, TcpRequest] = {
    "ping": TcpRequest(msgspec.Raw, Pong, Rpc.ping, is_question=True),
    "isUserOnline": TcpRequest(UserRequest, Presence, Rpc.is_user_online, is_question=True),
    "getOnlineUsers": TcpRequest(
        PageRequest | None, OnlineUsers, Rpc.get_online_users, is_question=True
    ),
    "sendToUser": TcpRequest(UserEventRequest, SentToUser, Rpc.send_to_user),
    "sendToRoom": TcpRequest(RoomEventRequest, Accepted, Rpc.send_to_room),
    "joinRoom": TcpRequest(RoomRequest, Moved, Rpc.join_room),
    "leaveRoom": TcpRequest(RoomRequest, Moved, Rpc.leave_room),
    "disconnectUser": TcpRequest(DisconnectRequest, Disconnected, Rpc.disconnect_user),
}
"""What the port does beside publishing: `constellation-ws schema` describes it by these rows."""


def _read(data: bytes, shape: Any) -> Any:
    if shape is msgspec.Raw:
        return msgspec.Raw(data)
    try:
        try:
            return msgspec.json.decode(data, type=shape)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            return half_pairs.read_request(data.decode(), shape)
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
        raise RequestRefused("invalid_request", str(error)) from error


def _given(data: msgspec.Raw | msgspec.UnsetType) -> msgspec.Raw:
    return data if isinstance(data, msgspec.Raw) else msgspec.Raw(b"null")


def _user_id(raw: msgspec.Raw) -> UserId:
    user = read_id(raw)
    if user is None:
        sentence = "userId must be a non-empty string or a whole number"
        raise RequestRefused("invalid_request", sentence)
    return UserId(user)


def _success(data: object) -> object:
    return {"success": True, "data": data}
