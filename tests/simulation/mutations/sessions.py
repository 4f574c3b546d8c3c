"""What is kept of a session, and how connections are closed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from constellation_ws.engine.connection import WebSocketConnection
from constellation_ws.log.ids import LogId
from constellation_ws.log.places import Place
from constellation_ws.log.positions import Ticket
from constellation_ws.log.state import LogState, Look
from constellation_ws.recovery import record, replay
from constellation_ws.recovery.sessions import Sessions
from constellation_ws.websocket import text_frame
from tests.simulation.mutations.kinds import Mutation


def joins_unwritten() -> None:
    """A join is acknowledged without being written."""

    async def moved(self: Sessions, ticket: Ticket, room: str, *, is_in: bool) -> bool:
        return True

    Sessions._moved = moved  # type: ignore[method-assign]


def written_later() -> None:
    """A join is acknowledged before it is written."""

    async def moved(self: Sessions, ticket: Ticket, room: str, *, is_in: bool) -> bool:
        ticket.moved(room, self._log.delivered, is_in=is_in)
        self._save(ticket)
        return True

    Sessions._moved = moved  # type: ignore[method-assign]


def epoch_of_the_write() -> None:
    """A session is written under the epoch of the write, not under that of its positions."""
    save = Sessions._save

    def rename(self: Sessions, ticket: Ticket, lifetime_seconds: float = 0) -> asyncio.Future[None]:
        ticket.epoch = self._log.epoch or ticket.epoch
        return save(self, ticket, lifetime_seconds)

    Sessions._save = rename  # type: ignore[method-assign]


def drain_disconnects() -> None:
    """Sockets are closed with a DISCONNECT, after which clients never come back."""
    close = WebSocketConnection.close

    def disconnect(self: WebSocketConnection, code: int, reason: str) -> None:
        self._transport.write(text_frame(b"41/chats,"))
        close(self, code, reason)

    WebSocketConnection.close = disconnect  # type: ignore[method-assign]


def rooms_follow_on() -> None:
    """The rooms of a session that is written late count as those of that moment."""
    write = record.write

    def write_as_of_now(ticket: Ticket, delivered: Place) -> record.Fields:
        ticket.rooms_at = None
        return write(ticket, delivered)

    record.write = write_as_of_now


def removals_unseen() -> None:
    """A session that is resumed does not learn what rooms it was taken out of meanwhile."""
    begin = replay.DecodedEntry.__init__

    def begin_without_move(self: replay.DecodedEntry, logged: Any, read: Any) -> None:
        begin(self, logged, read)
        self.move = None

    replay.DecodedEntry.__init__ = begin_without_move  # type: ignore[method-assign]


def sessions_trusted() -> None:
    """What Redis has of sessions after a restart is taken for what was written last."""
    look = LogState.look

    async def look_away(self: LogState, delivered: LogId) -> Look:
        return replace(await look(self, delivered), lost_sessions=False)

    LogState.look = look_away  # type: ignore[method-assign]


MUTATIONS = (
    Mutation(
        "joins-unwritten", "joins and leaves are acknowledged and not written", "kill",
        joins_unwritten,
    ),
    Mutation(
        "written-later", "joins are acknowledged before they are written", "full+kill",
        written_later,
    ),
    Mutation(
        "epoch-of-the-write", "a session is written under the epoch of the moment",
        "rollback+away+flushall", epoch_of_the_write,
    ),
    Mutation(
        "removals-unseen", "a resume ignores what its user was removed from meanwhile",
        "away+stall", removals_unseen,
    ),
    Mutation(
        "rooms-follow-on", "the rooms of a lost session count as those of its write", "roll-all",
        rooms_follow_on,
    ),
    Mutation(
        "sessions-trusted", "sessions that Redis has gone back on are recovered",
        "rollback+cut-clients",
        sessions_trusted,
    ),
    Mutation(
        "drain-disconnects", "a drain sends DISCONNECT", "roll", drain_disconnects,
    ),
)  # fmt: skip
