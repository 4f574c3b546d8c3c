"""What requests on the TCP port hold, and what their answers hold: read, written and described by
these types. Nothing is done here."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from constellation_ws.messages.events import UserId
from constellation_ws.services.acks import AckWanted

MAX_PAGE = 10_000
"""Most users that one `getOnlineUsers` answers; a cursor leads on."""

_ID = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]}
Id = Annotated[msgspec.Raw, Meta(extra_json_schema=_ID)]
"""As the caller wrote it, and echoed like that."""
Argument = Annotated[msgspec.Raw | UnsetType, Meta(description="Any JSON value; absent is null.")]
Name = Annotated[str, Meta(min_length=1)]

# Requests. `namespace` is empty for the default namespace.


class UserRequest(msgspec.Struct, frozen=True):
    """A user."""

    userId: Id


class PageRequest(msgspec.Struct, frozen=True):
    """A page of users."""

    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = MAX_PAGE


class UserEventRequest(msgspec.Struct, frozen=True):
    """An event for a user."""

    userId: Id
    event: Name
    data: Argument = UNSET
    namespace: str = ""
    ack: AckWanted | None = None


class RoomEventRequest(msgspec.Struct, frozen=True):
    """An event for a room."""

    room: Name
    event: Name
    data: Argument = UNSET
    namespace: str = ""


class RoomRequest(msgspec.Struct, frozen=True):
    """A user and a room."""

    userId: Id
    roomName: Name
    namespace: str = ""


class DisconnectRequest(msgspec.Struct, frozen=True):
    """Whom to disconnect, and why."""

    userId: Id
    reason: str | None = None


# Answers: the `data` of a response


class Pong(msgspec.Struct, frozen=True):
    """Which pod is there."""

    pong: bool
    version: str
    pod: str


class Presence(msgspec.Struct, frozen=True):
    """Whether a user has a socket on any pod."""

    userId: Id
    online: bool


class OnlineUsers(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of online users; `cursor` gives the next one."""

    users: list[UserId]
    cursor: str | None = None


class Accepted(msgspec.Struct, frozen=True):
    """Every pod will do it."""

    accepted: bool = True


class Moved(msgspec.Struct, frozen=True):
    """Every pod will do it for the user's sockets."""

    userId: Id
    roomName: str
    status: str = "success"


class Disconnected(msgspec.Struct, frozen=True):
    """How many sockets were disconnected."""

    disconnected: int
