"""A request of a client, as it comes off the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from constellation_ws.delivery.rooms import Member
from constellation_ws.messages import trace_context
from constellation_ws.messages.trace_context import PARENT, STATE, TraceContext


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """A request of a member."""

    member: Member
    argument: object
    """The first argument, decoded."""
    raw: Raw | None
    """Its JSON text as the client wrote it; None where the request has binary values."""

    @property
    def json(self) -> bytes:
        """The first argument as JSON; null where it has binary values, which hold no id."""
        return bytes(self.raw or b"null")

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the first argument; none where that is no object."""
        return self.argument if isinstance(self.argument, dict) else {}

    @property
    def link(self) -> TraceContext | None:
        """What the client says of its own trace.

        It is a link, never a parent: else any client could have all that it does recorded.
        """
        return trace_context.parse(self.fields.get(PARENT), self.fields.get(STATE))
