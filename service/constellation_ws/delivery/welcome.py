"""What a connect handler gives a member to begin with. A word that engine, namespace and recovery
share."""

from __future__ import annotations

from dataclasses import dataclass

from constellation_ws.messages.frames import Frame


class RetryLater(Exception):
    """Raised by a connect handler to close the transport, so that the client reconnects by itself.

    `str()` is the reason of the close.
    """


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to a CONNECT, besides the sid."""

    pid: str | None
    """Names the session to whoever wants to resume it; None where nobody can."""
    missed: list[Frame]
    """Sent before the answer, each with its offset."""
    is_recovered: bool
