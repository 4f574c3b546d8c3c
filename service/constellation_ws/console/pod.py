"""What this pod answers to a question of the console. What is asked of whom is `cluster`'s."""

from __future__ import annotations

import hashlib
import heapq
import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Raw

from constellation_ws.console import questions
from constellation_ws.console.questions import (
    History,
    PodHistory,
    PodListing,
    PodRooms,
    PodSockets,
    PodStatus,
    PodTail,
    RoomInfo,
    SocketInfo,
    Sockets,
    Status,
    Tail,
    TopRooms,
    Who,
)
from constellation_ws.console.samples import STEP_SECONDS, Samples
from constellation_ws.console.tail import Tails
from constellation_ws.delivery.rooms import Member, Rooms, Stage
from constellation_ws.engine.server import Engine
from constellation_ws.messages.events import Room, UserId, user_room
from constellation_ws.messages.namespaces import Namespaces
from constellation_ws.runtime.turns import paced

MAX_SOCKETS = 50
MAX_SHOWN_ROOMS = 50
MAX_ROOMS = 200
MAX_LISTED = 200
"""Sockets that are listed without naming a user: 64 KB and 0.6 ms, with 11 rooms each."""
_MEMORY = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CHUNK = 1_000
"""Rooms that are looked at in one step: half a millisecond at most."""

Answer = PodStatus | PodHistory | PodSockets | PodListing | PodRooms | PodTail


class Pod:
    """Answers questions about this process."""

    def __init__(
        self,
        engine: Engine,
        rooms: Rooms,
        namespaces: Namespaces,
        name: str,
        address_of: Callable[[str], str],
        status: Callable[[], PodStatus],
        samples: Samples,
        tails: Tails,
    ) -> None:
        """`address_of` gives the IP address of the client of an Engine.IO session."""
        self._engine = engine
        self._rooms = rooms
        self._namespaces = namespaces
        self._of_users = tuple(one + user_room(UserId("")) for one in namespaces.scopes.values())
        """How the names of rooms of single users begin."""
        self._name = name
        self._address_of = address_of
        self._status = status
        self._samples = samples
        self._tails = tails

    async def answer(self, query: Raw) -> Raw:
        """Answer a question; `null` to one that this release does not know."""
        try:
            asked = questions.decode_query(query)
        except msgspec.DecodeError:
            return Raw(b"null")
        return Raw(questions.encode(await self._answer(asked)))

    async def _answer(self, asked: questions.Query) -> Answer:
        match asked:
            case Status():
                return self._status()
            case History():
                age = self._samples.age_seconds(time.monotonic())
                return PodHistory(STEP_SECONDS, round(age, 2), self._samples.all())
            case Who(user):
                return self._sockets_of(UserId(user))
            case Sockets(limit):
                return await self._list(min(limit, MAX_LISTED))
            case TopRooms(prefix, limit, has_users):
                return await self._largest_rooms(prefix, min(limit, MAX_ROOMS), has_users)
            case Tail():
                return self._tails.answer(asked)

    def _sockets_of(self, user: UserId) -> PodSockets:
        members = [
            member
            for scope in self._namespaces.scopes.values()
            for member in self._rooms.members(Room(scope + user_room(user)))
        ]
        newest = heapq.nlargest(MAX_SOCKETS, members, key=self._opened_at)
        return PodSockets(self._name, [self._describe(one) for one in newest], len(members))

    async def _list(self, limit: int) -> PodListing:
        connected = (one for one in self._rooms if one.stage is Stage.CONNECTED)
        first = list(islice(connected, limit))
        sockets = [self._describe(member) async for member in paced(first)]
        scopes = self._namespaces.scopes.items()
        counts = {name: len(self._rooms.members(scope)) for name, scope in scopes if scope}
        counts[self._namespaces.default] = len(self._rooms) - sum(counts.values())
        return PodListing(sockets, counts)

    def _opened_at(self, member: Member) -> float:
        session = self._engine.sockets.get(member.eio_sid)
        return 0.0 if session is None else session.opened_at

    def _describe(self, member: Member) -> SocketInfo:
        session = self._engine.sockets.get(member.eio_sid)
        scope = member.scope
        if member.ticket is None:
            recovery = "none"
        else:
            recovery = "offsets" if member.has_offsets else "position"
        names = sorted(room.removeprefix(scope) for room in member.rooms if room != scope)
        return SocketInfo(
            member.sid,
            scope.removesuffix(",") or self._namespaces.default,
            "websocket" if session is not None and session.upgraded else "polling",
            self._address_of(member.eio_sid),
            round(time.monotonic() - self._opened_at(member), 1) if session else 0.0,
            names[:MAX_SHOWN_ROOMS],
            len(names),
            recovery,
            session.waiting_bytes if session is not None else 0,
            member.user or "",
            hashlib.blake2b(member.eio_sid.encode(), digest_size=6).hexdigest(),
        )

    async def _largest_rooms(self, prefix: str, limit: int, has_users: bool) -> PodRooms:
        names, hidden = self._rooms.names(), () if has_users else self._of_users
        matching, largest = 0, list[tuple[int, str]]()
        async for start in paced(range(0, len(names), _CHUNK)):
            chunk = names[start : start + _CHUNK]
            found = [one for one in chunk if one.startswith(prefix) and not one.startswith(hidden)]
            matching += len(found)
            least = largest[-1][0] if 0 < limit == len(largest) else 0
            sizes = ((len(self._rooms.members(room)), room) for room in found)
            larger = [one for one in sizes if one[0] > least]
            largest = sorted(largest + larger, key=lambda one: (-one[0], one[1]))[:limit]
        return PodRooms([RoomInfo(room, count) for count, room in largest], matching)


def memory_bytes() -> int:
    """Return how much memory this process has resident; 0 where the system does not say."""
    try:
        return int(_MEMORY.read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0
