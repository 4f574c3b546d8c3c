"""What requests to the HTTP API hold, and its answers: read, written and described by these types.

Descriptions are for the OpenAPI document. Nothing is done here.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from constellation_ws.messages.events import UserId
from constellation_ws.services.acks import AckWanted

MAX_EVENTS = 100
"""Events of one request: each is a message to Redis, and a span."""
MAX_PAGE = 1_000

_User = Annotated[
    str,
    Meta(
        min_length=1,
        description="The user's id, percent-encoded: a slash is written as `%2F`.",
        examples=["u1"],
    ),
]
_Room = Annotated[
    str,
    Meta(
        min_length=1,
        description="The room's name, percent-encoded. `chat:<chatId>` holds those who joined a "
        "chat, `user:<userId>` all sockets of a user.",
        examples=["chat:c1"],
    ),
]
_Cursor = Annotated[
    str | None, Meta(description="The `cursor` of the page before; absent for the first page.")
]
_Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Most users of a page.")]
_NextCursor = Annotated[
    str | None, Meta(description="Gives the next page; absent on the last page.")
]


_Namespace = Annotated[
    str,
    Meta(
        max_length=256,
        description="The namespace; empty for the default one, the first of the table.",
        examples=["/orders"],
    ),
]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that nobody reads is mostly a slip: it is refused."""


# Parameters: those that a path's template names are in the path, all others in the query.


class NoParameters(_Strict, frozen=True):
    """Nothing."""


class UserPath(_Strict, frozen=True):
    """A user."""

    user: _User


class RoomPath(_Strict, frozen=True):
    """A room."""

    room: _Room


class UserRoomPath(_Strict, frozen=True):
    """A user and a room."""

    user: _User
    room: _Room
    namespace: _Namespace = ""


class UsersQuery(_Strict, frozen=True):
    """A page of users."""

    cursor: _Cursor = None
    limit: _Limit = 100


class MembersQuery(_Strict, frozen=True):
    """A page of a room's users."""

    room: _Room
    cursor: _Cursor = None
    limit: _Limit = 100
    namespace: _Namespace = ""


class DisconnectQuery(_Strict, frozen=True):
    """Whom to disconnect, and why."""

    user: _User
    reason: Annotated[str, Meta(max_length=200, description="For the log of the gateway.")] = ""


# Bodies


class Event(_Strict, frozen=True):
    """An event for a channel of the route table: what would be published on Redis."""

    channel: Annotated[
        str, Meta(max_length=256, description="The channel.", examples=["chat:newMessage"])
    ]
    data: Annotated[
        Raw,
        Meta(
            description="The event, with the keys that its channel requires.",
            extra_json_schema={"type": "object"},
        ),
    ]


Events = Event | Annotated[list[Event], Meta(min_length=1, max_length=MAX_EVENTS)]


class Emission(_Strict, frozen=True):
    """An event of any name, and its one argument."""

    event: Annotated[
        str,
        Meta(
            min_length=1,
            description="The event's name. `connect`, `connect_error`, `disconnect`, "
            "`disconnecting`, `newListener` and `removeListener` are Socket.IO's own.",
            examples=["order-shipped"],
        ),
    ]
    data: Annotated[
        Raw | UnsetType, Meta(description="The argument: any JSON value; absent means null.")
    ] = UNSET

    namespace: _Namespace = ""

    def argument(self) -> Raw:
        """Give the argument as it was written."""
        return self.data if isinstance(self.data, Raw) else Raw(b"null")


class UserEmission(Emission, frozen=True):
    """An event for a user, and whether to wait for acks."""

    ack: AckWanted | None = None


# Answers


class Published(msgspec.Struct, frozen=True):
    """The event is in the log."""

    id: Annotated[
        str | None,
        Meta(description="Its ID in the log; null with CONSTELLATION_DELIVERY=live."),
    ]


class AllPublished(msgspec.Struct, frozen=True):
    """All events are in the log."""

    ids: Annotated[
        list[str | None],
        Meta(description="Their IDs in the log, in their order; null with live delivery."),
    ]


class Accepted(msgspec.Struct, frozen=True):
    """Every pod will do it."""

    accepted: bool = True


class Presence(msgspec.Struct, frozen=True):
    """Whether a user has a connection to any pod."""

    userId: UserId
    online: bool


class Users(msgspec.Struct, frozen=True, omit_defaults=True):
    """Online users, in the order of their ids."""

    users: list[UserId]
    cursor: _NextCursor = None


class Members(msgspec.Struct, frozen=True, omit_defaults=True):
    """Users who are in a room, in the order of their ids."""

    users: list[UserId]
    complete: Annotated[
        bool,
        Meta(description="Whether every pod has answered; if not, some users may be missing."),
    ]
    cursor: _NextCursor = None


class Disconnected(msgspec.Struct, frozen=True):
    """How many connections were closed."""

    disconnected: int


class Error(msgspec.Struct, frozen=True):
    """Why a request is not executed."""

    code: Annotated[str, Meta(description="A stable word.", examples=["invalid_request"])]
    message: Annotated[str, Meta(description="A sentence for people; it may change.")]


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request was not executed."""

    error: Error
    accepted: Annotated[
        list[bool] | None,
        Meta(description="With `partly_published`: which of the events were published."),
    ] = None
