"""Staying up and leaving nothing behind: what no client's own story shows, or only in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any

from constellation_ws.announcing import record
from constellation_ws.announcing.changes import Change
from constellation_ws.chats import namespace, presence
from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.process import lifecycle, shutdown
from constellation_ws.recovery import store
from constellation_ws.runtime import due
from tests.simulation.mutations.kinds import Mutation

_namespace: Any = namespace
_store: Any = store
_record: Any = record


def drain_refuses() -> None:
    """A CONNECT during a drain is refused: socket.io-client never comes back after that."""
    _namespace.DRAINING = replace(_namespace.DRAINING, is_temporary=False)


def stop_unbounded() -> None:
    """Each step of stopping takes as long as it takes."""

    async def wait(name: str, work: Awaitable[None], seconds: float = 0) -> None:
        await work

    shutdown._step = wait
    lifecycle._END_SECONDS = -1_000


def users_remain() -> None:
    """Users are online for ever."""
    presence.Presence.depart = lambda *_: None  # type: ignore[method-assign]


def presence_counted() -> None:
    """Users in Redis are compared with those of a pod by how many there are."""
    look, write = record.Record.look, record.Record.write

    async def look_only(self: record.Record, share: str, known: record.Known | None) -> record.Look:
        return await look(self, share, known and replace(known, writes=0, until_ms=0))

    async def write_only(
        self: record.Record, share: str, chunk: Sequence[Change], writes: int
    ) -> record.Written | None:
        return await write(self, share, chunk, 0)

    record.Record.look = look_only  # type: ignore[method-assign]
    record.Record.write = write_only  # type: ignore[method-assign]
    presence.Presence._compare = lambda *_: None  # type: ignore[method-assign]


def sequence_lost() -> None:
    """The sequence of announcements is what Redis has of it, or its clock."""
    check = "sequence < known_sequence"
    assert check in _record.LOOK, "the script has changed"
    _record.LOOK = _record.LOOK.replace(check, "false")


def announced_trusted() -> None:
    """Who is online in Redis is not announced, also where Redis went back to before they left."""
    doubts = "without(shares, is_doubted) == ''"
    assert doubts in _record.WRITE, "the script has changed"
    _record.WRITE = _record.WRITE.replace(doubts, "false")


def rooms_remain() -> None:
    """A member that leaves is not taken out of its rooms."""

    def remove(self: Rooms, member: Member) -> None:
        if self._by_own_room.pop(member.own_room, None) is not None:
            del self._by_session[member.key]

    Rooms.remove = remove  # type: ignore[method-assign]


def sessions_remain() -> None:
    """Sessions have no expiry in Redis."""
    expiry = "redis.call('PEXPIRE', KEYS[1], ARGV[2])"
    assert expiry in _store._SAVE, "the script has changed"
    _store._SAVE = _store._SAVE.replace(expiry, "")


def tokens_outlive() -> None:
    """Connections outlive their tokens."""
    due.DueTimes.pop_due = lambda self, now: iter(())  # type: ignore[method-assign]


MUTATIONS = (
    Mutation(
        "drain-refuses", "a CONNECT during a drain is refused", "roll-all", drain_refuses,
    ),
    Mutation(
        "stop-unbounded", "stopping waits for Redis without a deadline", "hang+roll",
        stop_unbounded,
    ),
    Mutation(
        "tokens-outlive", "connections outlive their tokens", "cut-clients", tokens_outlive,
    ),
    Mutation(
        "users-remain", "users who have gone remain online", "cut-clients", users_remain,
    ),
    Mutation(
        "presence-counted", "users in Redis are compared by how many there are", "rollback",
        presence_counted,
    ),
    Mutation(
        "announced-trusted", "what a Redis that went back says was announced is trusted",
        "rollback+away", announced_trusted,
    ),
    Mutation(
        "sequence-lost", "announcements begin again at the clock of a Redis that lost all",
        "step-redis-clock+empty-restart", sequence_lost,
    ),
    Mutation(
        "rooms-remain", "rooms keep members who have gone", "cut-clients", rooms_remain,
    ),
    Mutation(
        "sessions-remain", "sessions never expire in Redis", "cut-clients", sessions_remain,
    ),
)  # fmt: skip
