"""The log's state in Redis: its epoch, and the recorder's lease. How it looks there: `scripts`."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import Enum
from typing import Any

from redis.asyncio import Redis

from constellation_ws.log.append_scripts import PERMIT_PACKING
from constellation_ws.log.ids import BEGINNING, LogId, format_id, parse_id
from constellation_ws.log.scripts import (
    CONFIRM_WATCHED,
    LOOK,
    RELEASE,
    REPLACE,
    REQUEST_LEASE,
    WIDEN,
)
from constellation_ws.log.seats import NO_CLAIM, Claim, Seat, SeatReply
from constellation_ws.log.session_mark import SessionMark
from constellation_ws.redis_io.names import Names


@dataclass(frozen=True, slots=True)
class Candidacy:
    """What a pod says of itself when it asks for the lease."""

    lease_id: str
    """New for each attempt: what an earlier recording has under way must come to nothing."""
    instance: str
    patience_seconds: float
    """How long others may go first; 0 where this pod has missed nothing."""
    waiting_seconds: float
    """How long its positions have been known."""
    is_late: bool = False
    """Whether messages may have been sent while it was not subscribed, and others may lack them."""


DAMAGES = ("removed", "rolled_back", "replaced", "founded", "unwatched")
"""Why a log may lack entries that a pod has delivered. To a pod that knows another epoch one that
was founded is a log that was lost; a pod that has just started found none."""
_MARKED_SECONDS = 2.0
"""How long the log has to be marked before entries are packed: a pod of a release that cannot read
them, and that looked at the log just before, appears among the pods within this time."""
_FOLLOWED_SECONDS = 12.0
"""How long all pods have to follow more partitions before these are used. Where Redis has lost who
lives, each pod shows itself again within five seconds."""


class Packing(Enum):
    """Whether a recorder's appends may be packed entries."""

    REFUSED = 0
    PERMITTED = 1
    UNREADABLE = -1
    """Refused, and packed entries are in the log that a living pod cannot read."""


ONLY_ASKING = Candidacy("", "", 0, 0)


@dataclass(frozen=True, slots=True)
class LeaseReply:
    """Redis' answer to a pod that asked for the lease."""

    is_granted: bool
    epoch: str
    """Empty where the log has no state: Redis came back empty."""
    recorded_position: bytes
    """Position before which everything is recorded, as the last recorder said."""
    recorded_log_id: LogId
    """Last ID of the log when it said so."""
    holder: str
    """ID of the lease, or of the last one."""
    late_recorders: int
    """How many pods were granted the lease though they were late (`Candidacy`)."""
    seats: SeatReply
    partitions: int
    """How many partitions of the log are in use, as the state of the first one has it."""
    is_free: bool
    """Whether nobody holds the lease."""

    @property
    def recorder(self) -> str:
        """The pod that holds the lease; empty where none does."""
        return "" if self.is_free else self.holder.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Look:
    """What the log is now, compared with what a pod knows of it."""

    epoch: str
    """Empty where the log has no state."""
    start: LogId
    """Last ID when the epoch began."""
    reason: str
    """Why it began."""
    trimmed: LogId
    """All entries up to this one may have been removed by the recorder."""
    last: LogId
    has_delivered: bool
    """Whether the entry that the pod delivered last is there."""
    damage: str
    """Why entries are missing that nobody was allowed to remove; empty where none are."""
    age_seconds: float
    """How long ago the epoch began, by Redis' clock."""
    run_id: str
    """Which start of which Redis this is; empty where that is not known."""
    watched: str
    """The run ID up to whose start some pod has seen every entry of the epoch."""
    lost_sessions: bool = False
    """Whether Redis has gone back to before this pod's last write of sessions."""

    @property
    def is_watched(self) -> bool:
        """Whether some pod would know if the Redis that runs now had lost an entry."""
        return not self.run_id or self.run_id == self.watched

    def new_after(self, delivered: LogId, away_seconds: float) -> LogId:
        """Return behind which entry all is new to a pod that misses something.

        It had delivered up to `delivered`, and has been away from the log for so long. If that was
        before the epoch began, all that came in the epoch is new, whatever its IDs: where Redis has
        gone back, and its clock as well, they come a second time. Else, where the log has gone
        back, only what comes now is new for certain. Never later than `delivered`: what this pod
        has appended itself may be answered while it looks, and must not be read again.
        """
        return min(delivered, self.start if self.age_seconds < away_seconds else self.last)


class LogState:
    """Asks for and changes the state of one log. Every method raises what FAULTS names."""

    def __init__(self, redis: Redis, names: Names, mark: SessionMark) -> None:
        """`redis` may try again: each of these may be done twice."""
        self._names = names
        self._redis = redis
        self.mark = mark
        self._request_lease: Any = redis.register_script(REQUEST_LEASE)
        self._widen: Any = redis.register_script(WIDEN)
        self._permit_packing: Any = redis.register_script(PERMIT_PACKING)
        self._release: Any = redis.register_script(RELEASE)
        self._look: Any = redis.register_script(LOOK)
        self._replace: Any = redis.register_script(REPLACE)
        self._confirm_watched: Any = redis.register_script(CONFIRM_WATCHED)

    async def request_lease(
        self,
        candidacy: Candidacy,
        lease_seconds: float,
        claim: Claim = NO_CLAIM,
        partitions: int = 1,
    ) -> LeaseReply:
        """Ask for the recorder's lease, or only for the epoch; claim a seat.

        `partitions` are known to be in use: Redis may have lost that.
        """
        words = [
            candidacy.lease_id,
            int(lease_seconds * 1000),
            candidacy.instance,
            int(candidacy.patience_seconds * 1000),
            int(candidacy.waiting_seconds * 1000),
            "1" if candidacy.is_late else "",
            *claim.words(),
            partitions,
        ]
        reply = await self._request_lease(keys=[self._names.state], args=words)
        granted, epoch, recorded_position, recorded_log_id, holder, late_recorders = reply[:6]
        seat, *counts = reply[6:11]
        partitions, is_free = reply[11:]
        return LeaseReply(
            bool(granted),
            bytes(epoch).decode(),
            bytes(recorded_position),
            _id(recorded_log_id),
            bytes(holder).decode(),
            int(late_recorders),
            SeatReply(Seat(seat), *counts),
            int(partitions),
            bool(is_free),
        )

    async def has_neighbours(self, instance: str) -> bool:
        """Return whether a pod lives besides this one; one that was killed does for a while.

        Only in the state of the first partition.
        """
        seconds, _ = await self._redis.time()
        pods = await self._redis.zrangebyscore(self._names.pods, seconds, "+inf")
        return any(pod != instance.encode() for pod in pods)

    async def permit_packing(self, lease_id: str, *, is_wanted: bool) -> Packing:
        """Ask, for the recorder with this lease, whether its appends may be packed."""
        words = [lease_id, "1" if is_wanted else "", int(_MARKED_SECONDS * 1000)]
        keys = [self._names.state]
        if not self._names.partition:
            keys += [self._names.pods, self._names.readers]
        return Packing(await self._permit_packing(keys=keys, args=words))

    async def widen(self, lease_id: str, partitions: int) -> int:
        """Ask, for the recorder with this lease, to use so many partitions; return how many are.

        Only in the state of the first partition.
        """
        keys = [self._names.state, self._names.pods, self._names.followers]
        words = [lease_id, partitions, int(_FOLLOWED_SECONDS * 1000)]
        return int(await self._widen(keys=keys, args=words))

    async def release(self, lease_id: str) -> bool:
        """Release the lease; return False where it was not the one with this ID."""
        return bool(await self._release(keys=[self._names.state], args=[lease_id]))

    async def look(self, delivered: LogId) -> Look:
        """Find out whether the log is still what a pod knows that has delivered up to this ID."""
        confirmed = self.mark.confirmed
        (
            epoch,
            start,
            reason,
            trimmed,
            last,
            has_delivered,
            damage,
            age_ms,
            run_id,
            watched,
            mark,
        ) = await self._look(
            keys=[self._names.log, self._names.state],
            args=[format_id(delivered), self.mark.field],
        )
        return Look(
            bytes(epoch).decode(),
            _id(start),
            bytes(reason).decode(),
            _id(trimmed),
            _id(last),
            bool(has_delivered),
            bytes(damage).decode(),
            age_ms / 1000,
            bytes(run_id).decode(),
            bytes(watched).decode(),
            int(mark) < confirmed,
        )

    async def confirm_watched(self, look: Look) -> None:
        """Note that this pod has seen every entry up to the start of the Redis that runs now."""
        await self._confirm_watched(keys=[self._names.state], args=[look.epoch, look.run_id])

    async def replace(self, epoch: str, reason: str, *, known: str | None) -> None:
        """End an epoch, unless another pod has done so already; empty where there is none.

        The new one is later than that and than the one that this pod knows.
        """
        later_than = max(_number(epoch), _number(known or ""))
        words = [epoch, secrets.token_hex(8), reason, later_than]
        await self._replace(keys=[self._names.log, self._names.state], args=words)


def find_gap(known: str | None, delivered: LogId, look: Look) -> str | None:
    """Return why a pod may have missed something of the log; None where it has not.

    `known` is the epoch under which it has delivered, None where it has just begun.
    """
    if known is None:
        return look.damage or None
    if look.epoch != known:
        return "rolled_back" if is_outdated(look.epoch, known) else look.reason or "replaced"
    if look.trimmed > delivered:
        return "trimmed"
    if look.last < delivered or (delivered > look.trimmed and not look.has_delivered):
        return "rolled_back"
    return look.damage or ("sessions" if look.lost_sessions else None)


def is_outdated(epoch: str, known: str) -> bool:
    """Return whether an epoch did not follow the known one: Redis has gone back to before that.

    Those of earlier releases have no numbers, and count as later.
    """
    return epoch != known and 0 < _number(epoch) <= _number(known)


def _number(epoch: str) -> int:
    """Read the number of an epoch; 0 where it has none."""
    number, dash, _ = epoch.partition("-")
    return int(number) if dash and number.isdigit() else 0


def _id(raw: bytes) -> LogId:
    return parse_id(raw) or BEGINNING
