"""The WebSocket of a session, as far as the session knows it."""

from __future__ import annotations

from typing import Protocol


class WebSocket(Protocol):
    """What a session needs of the WebSocket that carries it."""

    def close(self, code: int, reason: str) -> None:
        """Send what is buffered, then a Close frame."""

    def abort(self) -> None:
        """Close the connection without sending what is still buffered."""

    def is_flushed(self) -> bool:
        """Return whether the kernel has accepted all that was sent."""

    def waiting_bytes(self) -> int:
        """Return how many bytes the kernel has not accepted yet."""

    def is_between_messages(self) -> bool:
        """Return whether all that was read is handled, and no message is incomplete."""

    def detach(self) -> None:
        """Do not carry the session any more: another pod continues it, with the same client."""

    def pause_reading(self) -> None:
        """Stop reading: the client sends faster than its requests can be handled."""

    def resume_reading(self) -> None:
        """Read again."""
