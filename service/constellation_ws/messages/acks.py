"""What became of an event that clients were to acknowledge. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Raw

from constellation_ws.messages.events import Sid


@dataclass(frozen=True, slots=True)
class Acks:
    """The answers of the sockets to which it was sent."""

    by_sid: dict[Sid, Raw]
    """What each socket that has acknowledged it gave, JSON."""
    unanswered: int
    """Sockets to which it was written, and which have not."""
    is_complete: bool
    """Whether every pod has said to which sockets it was written."""
