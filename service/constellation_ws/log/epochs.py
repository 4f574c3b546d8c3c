"""Which epoch of the log this pod has delivered, and how it learns of a new one.

An epoch names one history of the log. A pod that finds entries missing, or that can no longer
record received events, ends the epoch; then no session of it can be recovered.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping

import structlog
from redis.exceptions import ResponseError

from constellation_ws.log.ids import LogId
from constellation_ws.log.session_mark import SessionMark
from constellation_ws.log.state import LeaseReply, LogState, Look, find_gap, is_outdated

logger = structlog.get_logger(__name__)

_FELL_BEHIND = "trimmed"
"""The only gap that concerns this pod alone: it was too slow, and the log is complete."""
UNWATCHED = "unwatched"
"""Redis was restarted, and no pod knows what the log held before."""
_WATCHER_SECONDS = 2.0
"""How long a pod that does not know it waits for one that does."""
_LOOK_SECONDS = 0.1


class Epochs:
    """What this pod knows of the log's epoch. `RedisLog` acts on it."""

    def __init__(self, state: LogState, mark: SessionMark, shown: Mapping[str, int]) -> None:
        """`shown` is what log lines say of the partition."""
        self._logger = logger.bind(**shown)
        self._state = state
        self._mark = mark
        self.known: str | None = None
        """The epoch under which this pod has delivered; None before the first look, and empty where
        there was none then, and none could be written."""
        self._found: Look | None = None
        """The last look, until this pod has delivered all that was there then."""
        self._followed: set[str] = set()
        """Run IDs without a break: of these starts of Redis this pod has seen every entry."""
        self._vouches = False
        """Whether the last look continues them."""
        self._gap: str | None = None
        """Why sessions may have missed something; reported once `_found` is adopted."""
        self._loss: str | None = None
        """Why an epoch is to be ended, as long as that is not written."""
        self._lost_in: str | None = None
        """Which one that is: the latest that this pod knew of when it noticed the loss."""
        self.fault = ""
        """Redis' error if that could not be written; else empty."""

    @property
    def current(self) -> str | None:
        """The epoch that this pod has delivered so far; None while that is not known."""
        return None if self._found is not None or self._loss is not None else self.known

    @property
    def is_first_look(self) -> bool:
        """Whether this pod has not begun to deliver yet."""
        return self.known is None

    @property
    def has_loss(self) -> bool:
        """Whether a loss is known here for which no epoch has ended yet."""
        return self._loss is not None

    @property
    def target(self) -> LogId | None:
        """The last entry of the last look, as long as it is to be adopted."""
        return None if self._found is None else self._found.last

    def end(self, reason: str) -> None:
        """Let the epoch be ended at the next look."""
        self._loss = self._loss or reason
        self._lost_in = self.known if self._found is None else self._found.epoch

    def must_look(self, reply: LeaseReply) -> bool:
        """Return whether Redis names another epoch than this pod knows, or one is to be ended."""
        if self.known is None:
            return False  # it is about to look
        if self._found is not None and self._found.epoch == reply.epoch:
            return False  # it is known, and adopted soon
        return reply.epoch != self.known or self._loss is not None

    async def look(self, delivered: LogId, *, has_watched: bool) -> Look:
        """Compare the log with what was delivered, and end its epoch if something is missing.

        `has_watched` says that this pod has seen what the log held when its connection was lost.
        Raises what FAULTS names.
        """
        look = await self._state.look(delivered)
        self._vouches = has_watched and self._may_vouch(look)
        if not look.is_watched and not self._vouches:
            look = await self._await_watcher(look, delivered)
        if look.epoch != self.known:
            self._mark.forget()
        has_lost = self._loss is not None and look.epoch == self._lost_in
        if look.epoch and not (self._is_ours(look.epoch) or has_lost):
            self._loss, self.fault = None, ""  # whoever ended it has reported our loss
        is_unwatched = bool(look.epoch) and not (look.is_watched or self._vouches)
        reason = find_gap(self.known, delivered, look) or self._loss
        if is_unwatched:
            reason = reason or UNWATCHED
        elif reason is None and not look.is_watched:
            with contextlib.suppress(ResponseError):  # full or read-only: others have to wait
                await self._state.confirm_watched(look)
        has_to_end = is_unwatched or has_lost or self._has_to_end(look, reason)
        if has_to_end and await self._replace(look, reason or "founded"):
            look = await self._state.look(delivered)
        if not self.is_first_look and reason is not None and self._loss is None:
            self._gap = reason
        self._found = look
        return look

    async def _await_watcher(self, look: Look, delivered: LogId) -> Look:
        """Wait for another pod to confirm that it has seen all entries that the log has held."""
        deadline = time.monotonic() + _WATCHER_SECONDS
        while look.epoch and not look.is_watched and time.monotonic() <= deadline:
            await asyncio.sleep(_LOOK_SECONDS)
            look = await self._state.look(delivered)
        return look

    def _may_vouch(self, look: Look) -> bool:
        """Return whether this pod has followed the Redis up to whose start the log is watched.

        It may have been cut off while others followed a later one: of what was in that it knows
        nothing. One that could not be written to is not named in it.
        """
        return not look.watched or look.watched in self._followed

    def has_gap(self) -> bool:
        """Return whether the last look has found one."""
        return self._gap is not None

    def adopt(self) -> str | None:
        """Note that all of the last look is delivered; return the reason of a gap, if any."""
        if self._found is not None:
            self.known = self._found.epoch or self.known or ""
            if self._found.is_watched or not self._vouches:
                self._followed.clear()
            self._followed.add(self._found.run_id)
        self._found = None
        reason, self._gap = self._gap, None
        return reason

    def _has_to_end(self, look: Look, reason: str | None) -> bool:
        if not look.epoch:
            return True
        return self._is_ours(look.epoch) and reason is not None and reason != _FELL_BEHIND

    def _is_ours(self, epoch: str) -> bool:
        """Return whether this pod has to end it, if anything was lost.

        One that it does not know yet was begun by a pod that has noticed the loss as well.
        """
        return self.known in (None, epoch) or is_outdated(epoch, self.known)

    async def _replace(self, look: Look, reason: str) -> bool:
        try:
            await self._state.replace(look.epoch, reason, known=self.known)
        except ResponseError as error:
            # Redis is full or read-only. The log can still be followed; nobody resumes meanwhile.
            if str(error) != self.fault:
                self._logger.warning(
                    "the log's epoch cannot be written", reason=reason, error=str(error)
                )
            self.end(reason)
            self.fault = str(error)
            return False
        self._loss, self.fault = None, ""
        self._mark.forget()
        return True
