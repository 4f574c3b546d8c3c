"""What a backend gets of a client's request: the JSON text, the same by every way. Pure.

What the client wrote is in `data` alone. All else is what the gateway guarantees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from constellation_ws.messages.events import UserId


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """A client's request, and who sent it."""

    event: str
    data: msgspec.Raw
    """The client's first argument as it was written: exactly one JSON value."""
    user: UserId | None
    """None in a namespace without identity."""
    claims: Mapping[str, object] | None
    """Claims of the client's token that the backend is to have; None where it is to have none."""
    sid: str
    namespace: str
    rooms: Sequence[str] | None
    """The rooms that the client is in; None where the backend is not to have them."""
    address: str
    """The client's IP address."""
    traceparent: str = ""
    """W3C trace context; `Backend.request` writes that of its own span here."""


class Payload(msgspec.Struct, kw_only=True):
    """What a backend gets."""

    event: str
    data: msgspec.Raw
    userId: str | msgspec.UnsetType = msgspec.UNSET
    claims: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    sid: str
    namespace: str
    rooms: Sequence[str] | msgspec.UnsetType = msgspec.UNSET
    address: str
    traceparent: str | msgspec.UnsetType = msgspec.UNSET


def encode(request: BackendRequest) -> bytes:
    """Write a request as a backend gets it; keys without a value are left out."""
    claims = request.claims
    payload = Payload(
        event=request.event,
        data=request.data,
        userId=msgspec.UNSET if request.user is None else request.user,
        claims=msgspec.UNSET if claims is None else _encode_claims(claims),
        sid=request.sid,
        namespace=request.namespace,
        rooms=msgspec.UNSET if request.rooms is None else request.rooms,
        address=request.address,
        traceparent=request.traceparent or msgspec.UNSET,
    )
    return msgspec.json.encode(payload)


def _encode_claims(claims: Mapping[str, object]) -> msgspec.Raw:
    try:
        return msgspec.Raw(msgspec.json.encode(claims))
    except (OverflowError, UnicodeEncodeError):
        # Tokens are JSON, which has integers beyond 64 bits and halves of surrogate pairs.
        return msgspec.Raw(json.dumps(claims).encode())
