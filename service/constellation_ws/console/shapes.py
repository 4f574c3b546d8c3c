"""What the console's JSON API takes and gives. Shapes only."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from constellation_ws.console.questions import PodHistory, PodStatus, RoomInfo, Seen, SocketInfo
from constellation_ws.messages.events import UserId

_Name = Annotated[str, Meta(max_length=512)]
_Limit = Annotated[int, Meta(ge=1, le=200)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that nobody reads is mostly a slip: it is refused."""


class UsersQuery(_Strict, frozen=True):
    """A page of the online users whose id begins so."""

    prefix: _Name = ""
    cursor: _Name = ""
    limit: _Limit = 50


class UserPath(_Strict, frozen=True):
    """A user."""

    user: Annotated[str, Meta(min_length=1, max_length=512)]


class RoomsQuery(_Strict, frozen=True):
    """The largest rooms whose name begins so."""

    prefix: _Name = ""
    limit: _Limit = 50


class RoomQuery(_Strict, frozen=True):
    """A page of a room's users."""

    room: Annotated[str, Meta(min_length=1, max_length=512)]
    cursor: _Name = ""
    limit: _Limit = 50


class TailQuery(_Strict, frozen=True):
    """What to show of the events since the cursor that the answer before gave."""

    viewer: Annotated[str, Meta(min_length=8, max_length=64, pattern="^[A-Za-z0-9-]+$")]
    cursor: Annotated[str, Meta(max_length=8_000)] = ""
    channel: _Name = ""
    room: _Name = ""


class KickQuery(_Strict, frozen=True):
    """Whose connections to close, and why."""

    user: Annotated[str, Meta(min_length=1, max_length=512)]
    reason: Annotated[str, Meta(max_length=200)] = "console"


class Permissions(msgspec.Struct, frozen=True):
    """Who answers, and what may be done here."""

    version: str
    pod: str
    mayAct: bool
    showsText: bool


class PodReport(msgspec.Struct, frozen=True):
    """How one pod is."""

    pod: str
    status: PodStatus


class Pods(msgspec.Struct, frozen=True):
    """How all pods are."""

    pods: list[PodReport]
    silent: list[str]


class HistoryReport(msgspec.Struct, frozen=True):
    """What one pod has measured."""

    pod: str
    history: PodHistory


class Histories(msgspec.Struct, frozen=True):
    """What all pods have measured."""

    pods: list[HistoryReport]
    silent: list[str]


class Users(msgspec.Struct, frozen=True, omit_defaults=True):
    """Online users, in the order of their ids."""

    users: list[UserId]
    cursor: str | None = None


class SocketReport(msgspec.Struct, frozen=True):
    """A socket, and the pod that has it."""

    pod: str
    name: str
    socket: SocketInfo


class User(msgspec.Struct, frozen=True):
    """A user's sockets on all pods; there are `count`, of which the newest are listed."""

    userId: str
    online: bool
    count: int
    sockets: list[SocketReport]
    silent: list[str]


class Rooms(msgspec.Struct, frozen=True):
    """The largest rooms, with their members on all pods."""

    rooms: list[RoomInfo]
    sampled: bool
    """Whether a pod had more rooms than it named: numbers may then be too small."""
    silent: list[str]


class RoomUsers(msgspec.Struct, frozen=True, omit_defaults=True):
    """Users in a room, in the order of their ids."""

    users: list[UserId]
    complete: bool
    cursor: str | None = None


class TailReport(msgspec.Struct, frozen=True):
    """What one pod has seen."""

    pod: str
    passed: int
    events: list[Seen]


class Tailed(msgspec.Struct, frozen=True):
    """What all pods have seen since the cursor."""

    cursor: str
    pods: list[TailReport]
    silent: list[str]


class Publication(_Strict, frozen=True):
    """An event for a channel of the route table."""

    channel: Annotated[str, Meta(max_length=256)]
    data: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]


class Published(msgspec.Struct, frozen=True):
    """The event is in the log; `id` is null with live delivery."""

    id: str | None


class Kicked(msgspec.Struct, frozen=True):
    """How many connections were closed."""

    disconnected: int
