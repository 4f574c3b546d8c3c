"""What one pod sends to another when a session moves. Pure."""

from __future__ import annotations

import msgspec

from constellation_ws.chats.members import MovedMember
from constellation_ws.engine.session import MovedSession
from constellation_ws.recovery.moving import LogPosition, MovedTicket


class Offer(msgspec.Struct, frozen=True, array_like=True):
    """The offer to move a session."""

    place: LogPosition | None
    """Its position in the log; None if the client has not connected to a namespace yet."""


class MovedMembership(msgspec.Struct, frozen=True, array_like=True):
    """What a session is in one namespace."""

    member: MovedMember
    ticket: MovedTicket


class MovedClient(msgspec.Struct, frozen=True, array_like=True):
    """A session with its member and its recoverable session, if it has them."""

    session: MovedSession
    memberships: list[MovedMembership]
    traceparent: str = ""


encode = msgspec.msgpack.encode
decode_offer = msgspec.msgpack.Decoder(Offer).decode
decode_client = msgspec.msgpack.Decoder(MovedClient).decode
