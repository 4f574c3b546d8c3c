"""The query parameters of an Engine.IO request."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from constellation_ws.http.refusals import NO_UPGRADE, UNKNOWN_TRANSPORT, UNSUPPORTED_VERSION
from constellation_ws.messages.admission import Refusal


def read_query(query: str) -> dict[str, str]:
    """Read the parameters of a request; if a name is repeated, the last value counts."""
    if "%" in query or "+" in query:
        return dict(parse_qsl(query))
    # Clients of this protocol escape nothing of their own: this takes a third of the time.
    pairs = [pair.partition("=") for pair in query.split("&")]
    return {name: value for name, _, value in pairs if value}


def check_query(query: Mapping[str, str], transport: str) -> Refusal | None:
    """Check the parameters that every request must have."""
    if (asked := query.get("transport")) != transport:
        return NO_UPGRADE if asked == "websocket" else UNKNOWN_TRANSPORT
    if query.get("EIO") != "4":
        return UNSUPPORTED_VERSION
    return None
