"""Whether received events can be recorded now, and why not: for readiness, metrics and the log."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from enum import Enum

import structlog

logger = structlog.get_logger(__name__)

_WARN_SECONDS = 30.0


class FaultKind(Enum):
    """What an operator has to distinguish, each with what the texts of its errors have.

    One cause has many texts: a connection that is refused, one that times out and one that is
    closed are all of a Redis that is away, and so is a Cluster that is down.
    """

    FULL = r"\bOOM\b|maxmemory"
    READ_ONLY = r"READONLY|read.only replica"
    CANNOT_SAVE = r"MISCONF"
    NOT_PERMITTED = r"NOPERM|NOAUTH|WRONGPASS|permission|[Aa]uthentication|username-password"
    DEAF = r"^the subscription "
    AWAY = r""


def kind_of(reason: str) -> FaultKind:
    """Return what kind of fault an error's text is about."""
    return next(kind for kind in FaultKind if re.search(kind.value, reason))


class RecordingFault:
    """Why neither this pod nor the recorder can record, if so."""

    def __init__(self, shown: Mapping[str, int]) -> None:
        """`shown` is what log lines say of the partition."""
        self._logger = logger.bind(**shown)
        self.reason = ""
        """Redis' error if there is one; empty if events can be recorded."""
        self.since: float | None = None
        """Monotonic time."""
        self._warned_at: dict[FaultKind, float] = {}
        """Of this outage."""

    def note(self, reason: str, unrecorded: int) -> None:
        """Note why so many events wait. Each kind is logged at once, then every 30 seconds.

        Errors of one kind alternate while Redis is away, and kinds do while it fails over.
        """
        now, kind = time.monotonic(), kind_of(reason)
        if self.since is None:
            self.since = now
        if now - self._warned_at.get(kind, -math.inf) > _WARN_SECONDS:
            self._warned_at[kind] = now
            self._logger.warning(
                "received events cannot be recorded now; they are retained",
                reason=reason,
                unrecorded=unrecorded,
            )
        self.reason = reason

    def end(self) -> None:
        """Note that they can be recorded."""
        if self.since is not None:
            self._logger.info("received events are recorded again")
        self.reason, self.since = "", None
        self._warned_at.clear()
