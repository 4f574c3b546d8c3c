"""What can be requested over HTTP: one row for each operation, and what it does.

The same rows route requests, read them, and describe them in the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import msgspec

from constellation_ws.api.keys import Scope
from constellation_ws.api.shapes import (
    Accepted,
    AllPublished,
    Disconnected,
    DisconnectQuery,
    Emission,
    Event,
    Events,
    Members,
    MembersQuery,
    NoParameters,
    Presence,
    Published,
    RoomPath,
    UserEmission,
    UserPath,
    UserRoomPath,
    Users,
    UsersQuery,
)
from constellation_ws.messages.events import Room, UserId, user_room
from constellation_ws.services.acks import SentToUser, sent_with_acks
from constellation_ws.services.actions import Actions
from constellation_ws.services.once import RetryKey
from constellation_ws.services.refusals import RequestRefused

Parameters = TypeVar("Parameters", bound=msgspec.Struct)
Body = TypeVar("Body")


@dataclass(frozen=True, slots=True)
class Call(Generic[Parameters, Body]):
    """One request that was read."""

    at: Parameters
    body: Body
    retry_key: RetryKey | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One row."""

    method: str
    template: str
    name: str
    summary: str
    scope: Scope
    status: HTTPStatus
    """Of an answer that is no refusal."""
    parameters: type[msgspec.Struct]
    answers: tuple[type[msgspec.Struct], ...]
    """The types that such an answer may have."""
    handle: Callable[[Call[Any, Any]], Awaitable[msgspec.Struct]]
    """Raises RequestRefused."""
    body: Any = None
    """The type of the body; None where there is none."""
    may_repeat: bool = False
    """Whether an Idempotency-Key makes it happen once, however often it is requested."""


class Operations:
    """The handlers. Each does one of the actions, in the words of HTTP."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions

    def rows(self) -> Sequence[Operation]:
        """Give every operation."""
        return (
            *self._publish_rows(),
            *self._user_rows(),
            *self._connection_rows(),
            *self._room_rows(),
        )

    def _publish_rows(self) -> Sequence[Operation]:
        """Events on the channels of the route table."""
        return (
            Operation(
                "POST",
                "/v1/publish",
                "publish",
                "Publish an event, or a list of events in their order: all, or none if one is "
                "refused",
                Scope.PUBLISH,
                HTTPStatus.ACCEPTED,
                NoParameters,
                (Published, AllPublished),
                self.publish,
                body=Events,
                may_repeat=True,
            ),
        )

    def _user_rows(self) -> Sequence[Operation]:
        """Who is online, and events for one user."""
        return (
            Operation(
                "GET",
                "/v1/users",
                "listUsers",
                "List who is online, a page at a time",
                Scope.READ,
                HTTPStatus.OK,
                UsersQuery,
                (Users,),
                self.list_users,
            ),
            Operation(
                "GET",
                "/v1/users/{user}",
                "getUser",
                "Tell whether a user is online",
                Scope.READ,
                HTTPStatus.OK,
                UserPath,
                (Presence,),
                self.get_user,
            ),
            Operation(
                "POST",
                "/v1/users/{user}/send",
                "sendToUser",
                "Send an event to all connections of a user, and collect their acks if `ack` is "
                "given",
                Scope.SEND,
                HTTPStatus.ACCEPTED,
                UserPath,
                (SentToUser,),
                self.send_to_user,
                body=UserEmission,
                may_repeat=True,
            ),
        )

    def _connection_rows(self) -> Sequence[Operation]:
        """The connections of a user."""
        return (
            Operation(
                "PUT",
                "/v1/users/{user}/rooms/{room}",
                "joinRoom",
                "Put all connections of a user into a room",
                Scope.ROOMS,
                HTTPStatus.ACCEPTED,
                UserRoomPath,
                (Accepted,),
                self.join_room,
            ),
            Operation(
                "DELETE",
                "/v1/users/{user}/rooms/{room}",
                "leaveRoom",
                "Take all connections of a user out of a room",
                Scope.ROOMS,
                HTTPStatus.ACCEPTED,
                UserRoomPath,
                (Accepted,),
                self.leave_room,
            ),
            Operation(
                "DELETE",
                "/v1/users/{user}/connections",
                "disconnectUser",
                "Close all connections of a user; its clients do not reconnect by themselves",
                Scope.ROOMS,
                HTTPStatus.OK,
                DisconnectQuery,
                (Disconnected,),
                self.disconnect_user,
            ),
        )

    def _room_rows(self) -> Sequence[Operation]:
        """Rooms."""
        return (
            Operation(
                "POST",
                "/v1/rooms/{room}/send",
                "sendToRoom",
                "Send an event to everyone in a room",
                Scope.SEND,
                HTTPStatus.ACCEPTED,
                RoomPath,
                (Accepted,),
                self.send_to_room,
                body=Emission,
                may_repeat=True,
            ),
            Operation(
                "GET",
                "/v1/rooms/{room}/members",
                "listMembers",
                "List the users who are in a room, a page at a time",
                Scope.READ,
                HTTPStatus.OK,
                MembersQuery,
                (Members,),
                self.list_members,
            ),
        )

    async def publish(
        self, call: Call[NoParameters, Event | list[Event]]
    ) -> Published | AllPublished:
        """Do what a publish on Redis does, durably."""
        events = call.body if isinstance(call.body, list) else [call.body]
        messages = [(event.channel, bytes(event.data)) for event in events]
        ids = await self._actions.publish_all(messages, call.retry_key)
        return AllPublished(ids) if isinstance(call.body, list) else Published(ids[0])

    async def list_users(self, call: Call[UsersQuery, None]) -> Users:
        """List the cluster's online users."""
        page = await self._actions.online(call.at.cursor or "", call.at.limit)
        return Users(page.users, page.cursor)

    async def get_user(self, call: Call[UserPath, None]) -> Presence:
        """Return whether a user has a connection to any pod."""
        user = UserId(call.at.user)
        return Presence(user, await self._actions.is_online(user))

    async def send_to_user(self, call: Call[UserPath, UserEmission]) -> SentToUser:
        """Send to the room that has all of a user's connections."""
        room, emission = user_room(UserId(call.at.user)), call.body
        if emission.ack is None:
            await self._send(room, emission, call.retry_key)
            return SentToUser()
        if call.retry_key is not None:
            sentence = "`ack` does not go with an Idempotency-Key: acks are collected only once"
            raise RequestRefused("invalid_request", sentence)
        event, data, timeout_ms = emission.event, emission.argument(), emission.ack.timeout_ms
        return sent_with_acks(
            await self._actions.emit_with_ack(room, event, data, timeout_ms, emission.namespace)
        )

    async def send_to_room(self, call: Call[RoomPath, Emission]) -> Accepted:
        """Send to a room."""
        return await self._send(Room(call.at.room), call.body, call.retry_key)

    async def join_room(self, call: Call[UserRoomPath, None]) -> Accepted:
        """Put a user's connections into a room."""
        at = call.at
        await self._actions.join(UserId(at.user), Room(at.room), at.namespace)
        return Accepted()

    async def leave_room(self, call: Call[UserRoomPath, None]) -> Accepted:
        """Take a user's connections out of a room."""
        at = call.at
        await self._actions.leave(UserId(at.user), Room(at.room), at.namespace)
        return Accepted()

    async def disconnect_user(self, call: Call[DisconnectQuery, None]) -> Disconnected:
        """Close a user's connections."""
        user = UserId(call.at.user)
        return Disconnected(await self._actions.disconnect(user, call.at.reason))

    async def list_members(self, call: Call[MembersQuery, None]) -> Members:
        """List the users in a room, of all pods that answer in time."""
        at = call.at
        room, cursor = Room(at.room), at.cursor or ""
        page = await self._actions.members(room, cursor, at.limit, at.namespace)
        return Members(page.users, page.is_complete, page.cursor)

    async def _send(self, room: Room, emission: Emission, retry_key: RetryKey | None) -> Accepted:
        event, data, namespace = emission.event, emission.argument(), emission.namespace
        if retry_key is None:
            await self._actions.emit(room, event, data, namespace)
        else:
            await self._actions.emit_once(room, event, data, retry_key, namespace)
        return Accepted()
