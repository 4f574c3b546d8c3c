"""The announcer of a deployment that announces nothing."""

from __future__ import annotations

from constellation_ws.messages.events import UserId


class NoAnnouncer:
    """Takes no note of anybody."""

    def came(self, user: UserId) -> None:
        """Nobody is told."""

    def went(self, user: UserId, reason: str) -> None:
        """Nobody is told."""


NO_ANNOUNCER = NoAnnouncer()
