"""Who may be in a chat: what a token says, or what the API answers.

When the API is asked is decided in `queries`, what of its answers counts in `known`; `http` and
`nest` ask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from constellation_ws.access.known import AccessVerdict, Known
from constellation_ws.access.limit import CallLimit
from constellation_ws.access.queries import Api, Queries
from constellation_ws.access.queue import Kind
from constellation_ws.auth.identity import Identity
from constellation_ws.messages.admission import ACCESS_UNAVAILABLE, FORBIDDEN, Refusal
from constellation_ws.messages.events import ChatId, UserId, chat_room, user_room
from constellation_ws.observability.metrics import Metrics
from constellation_ws.runtime.spawning import Spawn

_ATTEMPTS = 2
"""How often is asked whose answer is overtaken by the end of a membership."""
_CHAT_PREFIX = chat_room(ChatId(""))
_USER_PREFIX = user_room(UserId(""))


class Access(Protocol):
    """Says who may be in a chat."""

    @property
    def waiting(self) -> int:
        """How many joins and resumes wait until they can be asked about."""

    async def refusal(self, identity: Identity, chat: ChatId) -> Refusal | None:
        """Say why somebody may not join a chat; None where it may, with no step in between."""

    async def find_revoked(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str] | None:
        """Say in which of some rooms somebody may be no more; None where that is not known."""

    def outdated(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str]:
        """Say which of some rooms a newer token of somebody takes away."""

    def forget(self, room: str, who: str | None) -> None:
        """Note that a membership has ended: of one room's members, or, for None, of all."""

    async def aclose(self) -> None:
        """End open questions without an answer; later ones get none either."""


class Everybody:
    """Every chat is open to everybody."""

    waiting = 0

    async def refusal(self, identity: Identity, chat: ChatId) -> Refusal | None:
        return None

    async def find_revoked(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str] | None:
        return frozenset()

    def outdated(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str]:
        return frozenset()

    def forget(self, room: str, who: str | None) -> None:
        """Nothing is known of memberships."""

    async def aclose(self) -> None:
        """Nothing is held."""


class TokenChats:
    """The chats that a token names, for as long as it is worth anything."""

    waiting = 0

    async def refusal(self, identity: Identity, chat: ChatId) -> Refusal | None:
        return None if chat in (identity.chats or ()) else FORBIDDEN

    async def find_revoked(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str] | None:
        return self.outdated(identity, rooms)

    def outdated(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str]:
        mine = {chat_room(ChatId(chat)) for chat in identity.chats or ()}
        return frozenset(_chat_rooms(rooms)) - mine

    def forget(self, room: str, who: str | None) -> None:
        """A token is not ours to change: it names its chats until it ends."""

    async def aclose(self) -> None:
        """Nothing is held."""


class Asked:
    """What the API answers."""

    def __init__(
        self,
        api: Api,
        metrics: Metrics,
        *,
        spawn: Spawn,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout_seconds` is what the API gives itself for an answer."""
        self._known = Known()
        self._clock = clock
        self._queries = Queries(
            api,
            self._known,
            CallLimit(timeout_seconds),
            metrics,
            spawn=spawn,
            timeout_seconds=timeout_seconds,
            clock=clock,
        )

    @property
    def waiting(self) -> int:
        """How many joins and resumes wait until they can be asked about."""
        return self._queries.waiting

    async def refusal(self, identity: Identity, chat: ChatId) -> Refusal | None:
        """Say why somebody may not join a chat; None where it may, with no step in between."""
        verdicts = await self._ask(identity.user, [chat], Kind.JOIN)
        if verdicts is None:
            return ACCESS_UNAVAILABLE
        return None if verdicts[chat].allowed else FORBIDDEN

    async def find_revoked(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str] | None:
        """Say in which of some rooms somebody may be no more; None where that is not known."""
        chats = [ChatId(room.removeprefix(_CHAT_PREFIX)) for room in _chat_rooms(rooms)]
        verdicts = await self._ask(identity.user, chats, Kind.RESUME)
        if verdicts is None:
            return None
        return frozenset(chat_room(chat) for chat, one in verdicts.items() if not one.allowed)

    def outdated(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str]:
        """Say that a token takes nothing away: the API says who is in a chat."""
        return frozenset()

    def forget(self, room: str, who: str | None) -> None:
        """Note that a membership has ended: of one room's members, or, for None, of all.

        A question that is open is void as well: its answer may be older than this.
        """
        if not room.startswith(_CHAT_PREFIX):
            return
        user = None
        if who is not None and who.startswith(_USER_PREFIX):  # in any other room may be anybody
            user = UserId(who.removeprefix(_USER_PREFIX))
        self._known.end(ChatId(room.removeprefix(_CHAT_PREFIX)), user, self._clock())

    async def aclose(self) -> None:
        """End open questions without an answer; later ones get none either."""
        await self._queries.aclose()

    async def _ask(
        self, user: UserId, chats: Iterable[ChatId], kind: Kind
    ) -> dict[ChatId, AccessVerdict] | None:
        verdicts: dict[ChatId, AccessVerdict] = {}
        asked = list(chats)
        for _ in range(_ATTEMPTS):
            found = await self._queries.run(user, asked, kind)
            if found is None:
                return None
            verdicts |= found
            # Steps may have passed since it was answered: from here on none does.
            asked = [
                chat
                for chat, verdict in verdicts.items()
                if not self._known.counts(user, chat, verdict.number)
            ]
            if not asked:
                return verdicts
        return None


def _chat_rooms(rooms: Iterable[str]) -> Iterable[str]:
    """Give the rooms that clients join themselves; into others only operators put anybody."""
    return (room for room in rooms if room.startswith(_CHAT_PREFIX))
