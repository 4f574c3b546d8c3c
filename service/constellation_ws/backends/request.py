"""What a backend gets of a client's request: the JSON text, the same by every way. Pure.

What the client wrote is in `data` alone. All else is what the gateway guarantees.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec
from msgspec import UNSET, Raw, UnsetType

from constellation_ws.messages.events import UserId


class BackendRequest(msgspec.Struct, kw_only=True):
    """A client's request, and who sent it; keys without a value are left out."""

    event: str
    data: Raw
    """The client's first argument as it was written: exactly one JSON value."""
    userId: UserId | UnsetType = UNSET
    """Left out in a namespace without identity."""
    claims: Raw | UnsetType = UNSET
    """Claims of the client's token that the backend is to have."""
    sid: str
    namespace: str
    rooms: Sequence[str] | UnsetType = UNSET
    """The rooms that the client is in, where the backend is to have them."""
    address: str
    """The client's IP address."""
    traceparent: str | UnsetType = UNSET
    """W3C trace context of the gateway's span of this request."""


encode: Callable[[BackendRequest], bytes] = msgspec.json.Encoder().encode
"""Writes a request as a backend gets it."""


def chosen_claims(claims: Mapping[str, object], names: Collection[str]) -> Raw:
    """Write the claims of a token that have these names, as a JSON object."""
    chosen = {name: claims[name] for name in names if name in claims}
    try:
        return Raw(msgspec.json.encode(chosen))
    except (OverflowError, UnicodeEncodeError):
        # Tokens are JSON, which has integers beyond 64 bits and halves of surrogate pairs.
        return Raw(json.dumps(chosen).encode())
