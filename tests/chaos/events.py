"""Which events publishers send: for whom, and as what.

Lives here: drawing them. Some users are addressed all the time, some now and then, some never.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tests.chaos.ledger import Event, Ledger, Way

_SELDOM = 0.03
"""How often a quiet user is addressed, in the measure of a busy one."""
_CHATS = 7
"""Of users who are notified of new chats, where the log has partitions: some for each."""
Asked = tuple[str, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Parcel:
    """An event, and the forms in which it can be handed over."""

    event: Event
    channel: str
    data: bytes
    """What is published on the channel."""
    request: Asked
    """The pattern and data of a request on the TCP port with the same effect."""


class Audience:
    """Users and rooms that events are drawn for, and everybody there is."""

    def __init__(
        self,
        busy: Sequence[str],
        quiet: Sequence[str],
        never: Sequence[str],
        rooms: Sequence[str],
        quiet_rooms: Sequence[str],
    ) -> None:
        self.everybody = [*busy, *quiet, *never]
        self.all_rooms = [*rooms, *quiet_rooms]
        self._rooms = rooms
        self._drawn = [*busy, *quiet]
        weights = [1.0] * len(busy) + [_SELDOM] * len(quiet)
        self._weights = list(itertools.accumulate(weights))

    def draw(self, chance: Random) -> tuple[str, str]:
        """Draw a user and a room."""
        (user,) = chance.choices(self._drawn, cum_weights=self._weights)
        return user, chance.choice(self._rooms)


class Events:
    """Makes events, each entered into the ledger with a number of its own."""

    def __init__(
        self, ledger: Ledger, audience: Audience, seed: str, first: int, *, in_parts: bool = False
    ) -> None:
        """Number them from `first`: what an earlier run has left over is none of them.

        `in_parts` says that the log has partitions, so that only events of one room keep an order.
        """
        self._in_parts = in_parts
        self._ledger = ledger
        self._audience = audience
        self._chance = Random(seed)
        self._numbers = itertools.count(first)

    def next(self, way: Way) -> Parcel:
        """Draw an event: for a user, for a room, or for a room and a user that may be in it."""
        user, room = self._audience.draw(self._chance)
        kind = self._chance.randrange(3)
        if kind == 0:
            return self._to_user(way, user)
        if kind == 1:
            return self._to_room(way, room, user, "x" * 200)
        return self._to_room(way, room, None, "Привет 👋")

    def last(self, way: Way) -> Iterator[Parcel]:
        """Make an event for every user at once, and one for each room."""
        users = self._audience.everybody
        number = next(self._numbers)
        data = {"userId": "nobody", "status": "x", "notifyUsers": users, "timestamp": number}
        yield self._parcel(number, way, "user:status", data, f"user:{users[0]}", users=users)
        for room in self._audience.all_rooms:
            yield self._to_room(way, room, None, "last")

    def _to_user(self, way: Way, user: str) -> Parcel:
        number = next(self._numbers)
        chat = f"c{number % _CHATS}" if self._in_parts else "c"
        data = {"userId": user, "chatId": chat, "timestamp": number}
        notice = {"timestamp": number}
        request: dict[str, object] = {"userId": user, "event": "notice", "data": notice}
        room = f"user:{user}" if way is Way.TCP else f"chat:{chat}"
        ask = ("sendToUser", request)
        return self._parcel(number, way, "chat:new", data, room, [user], ask=ask)

    def _to_room(self, way: Way, room: str, user: str | None, text: str) -> Parcel:
        number = next(self._numbers)
        data = {
            "chatId": room, "messageId": number, "senderId": "s", "text": text,
            "recipientId": user or "nobody", "timestamp": number,
        }  # fmt: skip
        users = [user] if user else []
        return self._parcel(number, way, "chat:newMessage", data, f"chat:{room}", users, [room])

    def _parcel(
        self,
        number: int,
        way: Way,
        channel: str,
        data: dict[str, object],
        goes_by: str,
        users: Sequence[str] = (),
        rooms: Sequence[str] = (),
        ask: Asked | None = None,
    ) -> Parcel:
        event = Event(number, way, frozenset(users), frozenset(rooms))
        event.sequence = goes_by if self._in_parts else ""
        self._ledger.enter(event)
        return Parcel(event, channel, json.dumps(data).encode(), ask or (channel, data))
