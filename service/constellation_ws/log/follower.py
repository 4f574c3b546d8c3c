"""The part of a pod that consumes the log."""

from __future__ import annotations

from typing import Protocol

from constellation_ws.log.ids import LogId
from constellation_ws.log.layout import Logged


class Follower(Protocol):
    """Who consumes the log on this pod."""

    def deliver(self, batch: list[Logged]) -> None:
        """Deliver the entries of one read, in the log's order."""

    def begin_after(self, after: LogId) -> None:
        """Note that entries after this ID will be delivered without a gap."""

    def report_gap(self, reason: str) -> None:
        """Handle that every session of this pod may have missed something."""
