"""What follows from messages besides what was written to sockets: for others to do. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from constellation_ws.delivery.rooms import Member
from constellation_ws.messages.commands import (
    AckRequest,
    Disconnect,
    DisconnectAll,
    Fence,
    Handover,
    Inspect,
    ListMembers,
)
from constellation_ws.messages.events import Sid


@dataclass(frozen=True, slots=True)
class Moved:
    """Members of this pod have entered a room, or left it."""

    members: Collection[Member]
    room: str
    offset: bytes
    """Of the entry of the log that moved them; empty where it was none."""
    is_in: bool


@dataclass(frozen=True, slots=True)
class MembershipEnded:
    """Somebody is a member of a room no longer, wherever they are connected."""

    room: str
    who: str | None
    """The room of those for whom it ended; None for everybody."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An event was written to members of this pod, perhaps to none, who are to acknowledge it."""

    request: AckRequest
    rooms: frozenset[str]
    """Members of these may acknowledge it."""
    sids: tuple[Sid, ...]


Effect = (
    Moved
    | MembershipEnded
    | Asked
    | Disconnect
    | DisconnectAll
    | ListMembers
    | Inspect
    | Fence
    | Handover
)
