"""The answer to a request that asks for acks, on either port, and what asks for it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from constellation_ws.messages.acks import Acks

MAX_ACK_MS = 4_000
"""A request is answered within five seconds on either port, whatever Redis needs of them."""


class AckWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wait until the user's connections have acknowledged the event."""

    timeout_ms: Annotated[
        int, Meta(ge=1, le=MAX_ACK_MS, description="How long to wait, in milliseconds.")
    ]


class Ack(msgspec.Struct, frozen=True):
    """What a connection has answered."""

    sid: Annotated[str, Meta(description="The client's `socket.id`.")]
    data: Annotated[
        msgspec.Raw,
        Meta(
            description="The first argument of its callback, any JSON value; null without one. A "
            "binary value is written as Node writes a Buffer in JSON."
        ),
    ]


class SentToUser(msgspec.Struct, frozen=True):
    """Every pod will do it, or has done it: with `ack` the answers of the user's connections."""

    accepted: bool = True
    acks: Annotated[
        list[Ack] | UnsetType, Meta(description="Who has acknowledged the event. Only with `ack`.")
    ] = UNSET
    delivered: Annotated[
        int | UnsetType,
        Meta(description="To how many connections it was written, on all pods. Only with `ack`."),
    ] = UNSET
    unanswered: Annotated[
        int | UnsetType,
        Meta(description="Connections that have not answered in time. Only with `ack`."),
    ] = UNSET
    complete: Annotated[
        bool | UnsetType,
        Meta(
            description="Whether every pod has reported to which connections it sent the event; "
            "if not, `delivered` and `unanswered` may be too low. Only with `ack`."
        ),
    ] = UNSET


def sent_with_acks(acks: Acks) -> SentToUser:
    """Write what became of an event."""
    answered = [Ack(sid, data) for sid, data in acks.by_sid.items()]
    delivered = len(answered) + acks.unanswered
    return SentToUser(True, answered, delivered, acks.unanswered, acks.is_complete)
