"""Whether a loss is found, and who learns of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from constellation_ws.log import appender, epochs
from constellation_ws.log.ids import LogId
from constellation_ws.log.redis_log import RedisLog
from constellation_ws.log.state import LogState, Look
from constellation_ws.wiring import durable
from tests.simulation.mutations.kinds import Mutation

_epochs: Any = epochs
_appender: Any = appender


def gap_unnoticed() -> None:
    """A log that lacks what this pod has delivered is followed, appended to and trimmed."""
    _epochs.find_gap = lambda known, delivered, look: None
    _ignore_damage()


def removal_unnoticed() -> None:
    """Entries that others have removed are not looked for."""
    look = LogState.look

    async def look_away(self: LogState, delivered: LogId) -> Look:
        return replace(await look(self, delivered), damage="", has_delivered=True)

    LogState.look = look_away  # type: ignore[method-assign]
    _ignore_damage()


def _ignore_damage() -> None:
    """Let the recorder append and trim without a look at what should be there."""
    check = "local is_needed = is_later(seen, trimmed or '0-0')"
    for name in ("APPEND", "APPEND_PACKED"):
        script = getattr(_appender, name)
        assert check in script, "the script has changed"
        changed = script.replace(check, "local is_needed = false").replace("'NOMKSTREAM', ", "")
        setattr(_appender, name, changed)

    def note_trimmed(self: Any, reply: Any) -> None:
        if reply == b"lost":
            raise appender.LostLease("another pod records")

    appender.Appender._note_trimmed = note_trimmed  # type: ignore[method-assign]


def loss_unreported() -> None:
    """Events that cannot be recorded any more are forgotten."""

    def lose(self: RedisLog, reason: str, count: int, *, is_reported: bool = False) -> None:
        """Forget them."""

    RedisLog.lose = lose  # type: ignore[method-assign]


def clients_unreported() -> None:
    """A gap is counted, and connected clients are not made to reconnect."""
    durable._Follower.report_gap = lambda self, reason: None  # type: ignore[method-assign]


MUTATIONS = (
    Mutation(
        "gap-unnoticed", "a log that went back is followed as if it had not", "rollback+away",
        gap_unnoticed,
    ),
    Mutation(
        "removal-unnoticed", "entries that others removed are not missed",
        "delete-log+away+roll-all", removal_unnoticed,
    ),
    Mutation(
        "loss-unreported", "received events that cannot be recorded are forgotten",
        "kill-pubsub+pause", loss_unreported,
    ),
    Mutation(
        "clients-unreported", "connected clients are not told of a gap", "rollback+flushall",
        clients_unreported,
    ),
)  # fmt: skip
