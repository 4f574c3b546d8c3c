"""What services may do: ask who is online, publish, send, move users between rooms, disconnect.

Any pod does all of it for the whole cluster: what concerns sockets elsewhere goes through Redis.
Requests come as values, whatever port they came from. What is sent is given away before the first
wait, so that requests that begin in an order are sent in that order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Raw

from constellation_ws.chats.presence import OnlinePage, Presence, PresenceUnavailable
from constellation_ws.delivery.routes import Table
from constellation_ws.messages import commands
from constellation_ws.messages.acks import Acks
from constellation_ws.messages.commands import AckRequest, DisconnectAll, Join, Leave, Regroup
from constellation_ws.messages.events import (
    UNSENDABLE_EVENTS,
    MalformedEvent,
    Room,
    UserId,
    user_room,
)
from constellation_ws.messages.namespaces import DEFAULT_NAMESPACES, Namespaces
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.redis_io.ack_collection import AckCollection, TooManyCollected
from constellation_ws.redis_io.all_pods import AllPods
from constellation_ws.redis_io.link import RedisUnavailable
from constellation_ws.redis_io.names import DEFAULT, Names
from constellation_ws.services.once import Once, RetryKey
from constellation_ws.services.refusals import PartlyPublished, RequestRefused
from constellation_ws.services.sending import Message, Sending, Sent

_MAX_LISTING = 8
"""Questions to all pods at a time; others wait. Each keeps every pod busy for some milliseconds."""


@dataclass(frozen=True, slots=True)
class MembersPage:
    """Users in the order of their ids; `cursor` fetches the next page, None at the end."""

    users: list[UserId]
    cursor: str | None
    is_complete: bool
    """Whether every pod has answered: if not, some of its users may be missing."""


class Actions:
    """The actions. Each raises RequestRefused."""

    def __init__(
        self,
        all_pods: AllPods,
        presence: Presence,
        table: Table,
        sending: Sending,
        once: Once,
        tracing: Tracing | NoTracing = NO_TRACING,
        names: Names = DEFAULT,
        namespaces: Namespaces = DEFAULT_NAMESPACES,
        *,
        max_event_bytes: int,
    ) -> None:
        self._all_pods = all_pods
        self._presence = presence
        self._table = table
        self._sending = sending
        self._once = once
        self._tracing = tracing
        self._commands = names.commands
        self._namespaces = namespaces
        self._max_event_bytes = max_event_bytes
        self._listing = asyncio.Semaphore(_MAX_LISTING)

    async def is_online(self, user: UserId) -> bool:
        """Return whether a user has a socket on any pod."""
        try:
            return await self._presence.is_online(user)
        except PresenceUnavailable as error:
            raise RequestRefused("unavailable", str(error)) from error

    async def online(self, cursor: str, limit: int) -> OnlinePage:
        """List the cluster's online users, a page at a time."""
        try:
            return await self._presence.online(cursor, limit)
        except PresenceUnavailable as error:
            raise RequestRefused("unavailable", str(error)) from error

    async def members(
        self, room: Room, cursor: str, limit: int, namespace: str = ""
    ) -> MembersPage:
        """List the users who are in a room on any pod, a page at a time."""
        room = self._rooms(namespace, room)[0]
        async with self._listing:
            try:
                pods = await self._presence.pods()
                # One more than is given: it says whether there is another page.
                users, is_complete = await self._all_pods.list_members(
                    room, cursor, limit + 1, pods
                )
            except (RedisUnavailable, PresenceUnavailable) as error:
                raise RequestRefused("unavailable", str(error)) from error
        next_cursor = users[limit - 1] if len(users) > limit else None
        return MembersPage(users[:limit], next_cursor, is_complete)

    async def publish(self, channel: str, event: bytes) -> None:
        """Do what a publish on a channel of the table does."""
        self._check_event(channel, event)
        with self._tracing.publishing(channel, event) as (_, traced):
            await self._send(channel, self._fitting(traced, event))

    async def publish_all(
        self, events: Sequence[Message], retry_key: RetryKey | None
    ) -> list[Sent]:
        """Publish events in their order, or none of them where one is at fault.

        Gives their IDs in the log. Raises PartlyPublished where Redis accepted some of them; with a
        retry key it accepts all or none.
        """
        for place, (channel, event) in enumerate(events, 1):
            try:
                self._check_event(channel, event)
            except RequestRefused as refusal:
                if len(events) > 1:
                    refusal = RequestRefused(refusal.code, f"event {place}: {refusal.message}")
                raise refusal from None
        return await self._send_all([self._traced(*event) for event in events], retry_key)

    async def emit(self, room: Room, event: str, data: Raw, namespace: str = "") -> None:
        """Send an event to everyone in a room, on every pod; no namespace is the default one."""
        await self._send(*self._emission(room, event, data, namespace))

    async def emit_with_ack(
        self, room: Room, event: str, data: Raw, timeout_ms: int, namespace: str = ""
    ) -> Acks:
        """Do what `emit` does, and wait until all of the room's sockets have acknowledged it.

        Gives what there is after `timeout_ms`. The event is a part of the log like any other.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_ms / 1_000
        try:
            with self._all_pods.acks.collecting() as collection:
                ack = AckRequest(collection.ack_id, self._all_pods.reply_channel, timeout_ms)
                await self._send(*self._emission(room, event, data, namespace, ack))
                await self._expect_all(collection)
                return await collection.complete(until - loop.time())
        except TooManyCollected as error:
            sentence = "this pod waits for the acks of too many events; try again later"
            raise RequestRefused("overloaded", sentence) from error

    async def _expect_all(self, collection: AckCollection) -> None:
        """Have all pods answer; where it is not known which there are, it is never complete."""
        with contextlib.suppress(PresenceUnavailable):
            collection.expect({self._all_pods.instance, *await self._presence.pods()})

    async def emit_once(
        self, room: Room, event: str, data: Raw, retry_key: RetryKey, namespace: str = ""
    ) -> None:
        """Do what `emit` does, unless the same request has done it already."""
        await self._send_all([self._emission(room, event, data, namespace)], retry_key)

    async def join(self, user: UserId, room: Room, namespace: str = "") -> None:
        """Put all of a user's sockets in a namespace, on every pod, into a room."""
        who, where = self._rooms(namespace, user_room(user), room)
        await self._send(self._commands, commands.encode(Join(who, where)))

    async def leave(self, user: UserId, room: Room, namespace: str = "") -> None:
        """Take all of a user's sockets in a namespace, on every pod, out of a room."""
        who, where = self._rooms(namespace, user_room(user), room)
        await self._send(self._commands, commands.encode(Leave(who, where)))

    async def regroup(
        self, who: Room, namespace: str, *, enters: Sequence[Room] = (), leaves: Sequence[Room] = ()
    ) -> None:
        """Have everyone in a room, or the socket of a sid, enter and leave rooms, on every pod."""
        meant = self._rooms(namespace, who)
        come, gone = self._rooms(namespace, *enters), self._rooms(namespace, *leaves)
        await self._send(self._commands, commands.encode(Regroup(meant, (), come, gone)))

    async def disconnect_all(self, who: Room, namespace: str) -> None:
        """Disconnect everyone in a room, or the socket of a sid, from a namespace, on every pod."""
        command = DisconnectAll(self._rooms(namespace, who), ())
        await self._send(self._commands, commands.encode(command))

    async def disconnect(self, user: UserId, reason: str) -> int:
        """Disconnect all of a user's sockets, on every pod, and say how many there were."""
        await self._sending.flushed()  # what was sent before reaches the user first
        try:
            pods = await self._presence.pods()
            return await self._all_pods.disconnect(user_room(user), reason, pods)
        except (RedisUnavailable, PresenceUnavailable) as error:
            raise RequestRefused("unavailable", str(error)) from error

    def _check_event(self, channel: str, event: bytes) -> None:
        route = self._table.get(channel)
        if route is None:
            known = ", ".join(sorted(self._table))
            sentence = f"{channel!r} is no channel of the route table; its channels are {known}"
            raise RequestRefused("unknown_channel", sentence)
        self._check_size(event)
        try:
            route.route(event)
        except MalformedEvent as error:
            raise RequestRefused("invalid_request", f"{channel}: {error}") from error

    def _rooms(self, namespace: str, *rooms: Room) -> tuple[Room, ...]:
        """Name rooms of a namespace as the pods do."""
        scope = self._namespaces.scopes.get(namespace or self._namespaces.default)
        if scope is None:
            served = ", ".join(sorted(self._namespaces.scopes))
            sentence = f"{namespace!r} is no namespace of the table; its namespaces are {served}"
            raise RequestRefused("invalid_request", sentence)
        try:
            return self._namespaces.rooms(scope, rooms)
        except MalformedEvent as error:
            sentence = f"{error}; name the namespace as `namespace`, and the room without it"
            raise RequestRefused("invalid_request", sentence) from error

    def _emission(
        self, room: Room, event: str, data: Raw, namespace: str, ack: AckRequest | None = None
    ) -> Message:
        if event in UNSENDABLE_EVENTS:
            message = f"{event} is an event name that Socket.IO reserves; use another name"
            raise RequestRefused("invalid_request", message)
        rooms = self._rooms(namespace, room)
        command = commands.encode(commands.emit(event, data, rooms, namespace, ack))
        self._check_size(command)
        return self._commands, self._fitting(self._tracing.inject(command), command)

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

    def _traced(self, channel: str, event: bytes) -> Message:
        with self._tracing.publishing(channel, event) as (_, traced):
            return channel, self._fitting(traced, event)

    async def _send_all(
        self, messages: Sequence[Message], retry_key: RetryKey | None
    ) -> list[Sent]:
        if retry_key is not None:
            try:
                return await self._once.send_all(retry_key, messages)
            except RedisUnavailable as error:
                raise RequestRefused("unavailable", str(error)) from error
        accepted = [self._sending.send(*message) for message in messages]
        answers = await asyncio.gather(*accepted, return_exceptions=True)
        faults = [one for one in answers if isinstance(one, BaseException)]
        if not faults:
            return [one for one in answers if not isinstance(one, BaseException)]
        if len(faults) == len(messages):
            raise RequestRefused("unavailable", str(faults[0])) from faults[0]
        raise PartlyPublished([not isinstance(one, BaseException) for one in answers])

    async def _send(self, channel: str, payload: bytes) -> None:
        try:
            await self._sending.send(channel, payload)
        except RedisUnavailable as error:
            raise RequestRefused("unavailable", str(error)) from error
