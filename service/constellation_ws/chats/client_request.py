"""A request of a client, as it comes off the wire."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Raw

from constellation_ws.delivery.rooms import Member


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """A request of a member."""

    member: Member
    argument: object
    """The first argument, decoded."""
    raw: Raw | None
    """Its JSON text as the client wrote it; None where the request has binary values."""
    address: str
    """The client's IP address."""
