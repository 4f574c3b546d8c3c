"""What the console of one pod asks all pods, and what each of them answers. Shapes only.

They travel as JSON inside `Inspect` and its answers. Pods of two releases ask each other during a
rollout: fields are added with a default, and never removed.
"""

from __future__ import annotations

import msgspec

from constellation_ws.console.samples import Sample


class Status(msgspec.Struct, frozen=True, tag="status"):
    """How is the pod?"""


class History(msgspec.Struct, frozen=True, tag="history"):
    """What has it measured in the last 15 minutes?"""


class Who(msgspec.Struct, frozen=True, tag="who"):
    """Which sockets does a user have?"""

    user: str


class Sockets(msgspec.Struct, frozen=True, tag="sockets"):
    """Which sockets are there? Those that connected first, so that a list remains what it was."""

    limit: int


class TopRooms(msgspec.Struct, frozen=True, tag="rooms"):
    """Which rooms have most members, of those whose name begins so?"""

    prefix: str
    limit: int
    has_users: bool = False
    """Whether the rooms of single users count too."""


class Tail(msgspec.Struct, frozen=True, tag="tail"):
    """Which events came since the last time? The first question begins a tail."""

    viewer: str
    """Tells apart who looks."""
    after: dict[str, int] = {}
    """By pod, the number of the last event that was seen."""
    channel: str = ""
    room: str = ""
    """Only events for this room; empty for all."""
    limit: int = 100


Query = Status | History | Who | Sockets | TopRooms | Tail


class PodStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a pod is. Times are seconds before now."""

    name: str
    version: str
    python: str
    uptime_seconds: float
    phase: str
    failing: list[str]
    """Checks of readiness that fail."""
    websockets: int
    polling: int
    users: int
    sockets: int
    rooms: int
    is_recorder: bool
    is_durable: bool
    redis_up: bool
    redis_ms: float
    loop_lag_ms: float
    memory_bytes: int
    memory_limit_bytes: int
    is_overloaded: bool
    events: float = 0.0
    """Per second, as the next ones."""
    deliveries: float = 0.0
    connects: float = 0.0
    write_ms: float = 0.0
    lost_events: int = 0
    """Since its start, as the next ones."""
    slow_consumers: int = 0
    drain: Drain | None = None
    pid: int = 0
    is_listener: bool = True
    """Pods of earlier releases are, all of them."""


class Drain(msgspec.Struct, frozen=True):
    """How far the drain of a pod is."""

    sockets_at_start: int
    sockets_left: int
    seconds_left: float


class PodHistory(msgspec.Struct, frozen=True):
    """What a pod has measured, the oldest first."""

    step_seconds: float
    age_seconds: float
    """Of the newest sample."""
    samples: list[Sample]


class SocketInfo(msgspec.Struct, frozen=True):
    """One socket of a user: a connection to a namespace."""

    sid: str
    namespace: str
    transport: str
    address: str
    seconds: float
    """For how long its connection is open."""
    rooms: list[str]
    room_count: int
    recovery: str
    """`offsets`, `position` or `none`: how it would resume."""
    waiting_bytes: int
    user: str = ""
    client: str = ""
    """The same for all sockets of one connection. No Engine.IO session ID: whoever knows that of a
    client that polls can read its events."""


class PodSockets(msgspec.Struct, frozen=True):
    """A user's sockets on one pod; the oldest are left out where there are too many."""

    name: str
    """Of the pod."""
    sockets: list[SocketInfo]
    count: int


class PodListing(msgspec.Struct, frozen=True):
    """Sockets of a pod, of whatever user."""

    sockets: list[SocketInfo]
    namespaces: dict[str, int]
    """How many sockets each has, listed or not."""


class RoomInfo(msgspec.Struct, frozen=True):
    """A room, and how many members it has on the pod."""

    room: str
    members: int


class PodRooms(msgspec.Struct, frozen=True):
    """The largest rooms of a pod."""

    rooms: list[RoomInfo]
    matching: int
    """Rooms whose name begins so."""


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event as one pod saw it."""

    number: int
    id: str
    """Its log ID; of an event that is in no log a digest, the same on all pods."""
    seconds_ago: float
    channel: str
    outcome: str
    """As in the metric constellation_events."""
    bytes: int
    event: str = ""
    namespace: str = ""
    rooms: list[str] = []
    room_count: int = 0
    recipients: int = 0
    late_ms: float | None = None
    """Time from the log to this pod, by Redis' clock."""
    data: str | None = None
    """Its text, where that may be shown."""


class PodTail(msgspec.Struct, frozen=True):
    """What a pod has seen for one viewer."""

    cursor: int
    passed: int
    """Events that came to the pod since the last question; those shown are a sample of them."""
    events: list[Seen]


class Nothing(msgspec.Struct, frozen=True):
    """A pod whose console is off."""


encode = msgspec.json.Encoder().encode
decode_query = msgspec.json.Decoder(Query).decode
