"""What an engine reports while it runs."""

from __future__ import annotations


class Observer:
    """Ignores every report; subclasses override what they need. Methods must not block."""

    def refused(self, code: str) -> None:
        """A handshake was refused, or a session closed before it was used."""

    def aborted_slow(self) -> None:
        """A slow consumer was closed."""

    def pinged(self, sid: str) -> None:
        """A session was sent a PING, behind all that was written to it before."""

    def ponged(self, sid: str) -> None:
        """A session's client has answered a PING."""

    def close_acknowledged(self, sid: str) -> None:
        """A session's client has answered our Close frame."""
