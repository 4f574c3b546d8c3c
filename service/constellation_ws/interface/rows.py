"""The rows of the interface table, as its file has them; docs/interface.md says what each means.

They are shapes only: `reading` makes them, and `checks` finds what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from constellation_ws.interface import templates

_USER_ROOM = "user:"


class NamespaceRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[namespace]]`: a Socket.IO namespace that clients may connect to."""

    name: str
    identity: Literal["required", "none"] = "required"
    """`required`: as CONSTELLATION_AUTH_MODE says; `none`: anyone, without a user."""


class BackendRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[backend]]`: a service that answers requests of clients."""

    name: str
    nest: str = ""
    """`host:port` of a NestJS TCP microservice; empty for one that is reached by HTTP."""
    http: str = ""
    """URL that the paths of requests are appended to; empty for a NestJS one."""
    key_variable: str = ""
    """Environment variable with the key that signs HTTP requests; empty for none."""
    timeout_ms: int = 5_000
    max_concurrent: int = 64
    """Requests of one pod that wait for an answer at once."""


class RequestRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[request]]`: what clients may send.

    It has exactly one of joins, leaves, watches, unwatches and to.
    """

    event: str
    namespace: str = ""
    """Filled in by `table`, as is `pattern`."""
    joins: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    watches: str = ""
    """The key that names users, of whose coming and going the client is notified from now on."""
    unwatches: str = ""
    """The key that names users whom the client watches no longer."""
    emits: str = "presence"
    """The event that notifies a client that watches."""
    access: Literal["none", "chat"] = "none"
    """`chat`: CONSTELLATION_CHAT_ACCESS decides about the chat of the template `chat:{...}`, or
    about the chat `presence:...` of each user that the client wants to watch."""
    bare: str = ""
    """The key that a bare string or number stands for; empty where only objects are accepted."""
    to: Literal["nest", "http", "channel", "log"] | None = None
    backend: str = ""
    pattern: str = ""
    path: str = ""
    channel: str = ""
    stream: str = ""
    in_room: str = ""
    """A room template: who is not in that room is refused; empty for no condition."""
    claims: tuple[str, ...] = ()
    """Claims of the client's token that the backend gets."""
    rooms: bool = False
    """Whether the backend gets the rooms that the client is in."""
    idempotent: bool = False
    """Whether an HTTP request may be sent again after its connection failed."""
    types: dict[str, str] = msgspec.field(default_factory=dict)

    def templates(self) -> tuple[str, ...]:
        """Give every room template of the row."""
        return (*self.joins, *self.leaves, *((self.in_room,) if self.in_room else ()))


class Removal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """`removes` of a `[[route]]`: whose sockets leave which rooms."""

    who: str
    from_: str


class RouteRow(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"except_": "except"}
):
    """One `[[route]]`: what is published, as which event it goes out, and who gets it."""

    channel: str
    event: str
    keys: tuple[str, ...]
    to: tuple[str, ...]
    except_: str = ""
    unless_empty: str = ""
    empties: tuple[str, ...] = ()
    removes: Removal | None = None
    namespace: str = ""
    """Filled in by `table`."""
    volatile: bool = False
    """Whether it is delivered live only, and never recorded or replayed."""
    partition_by: str = ""
    """A room template: events of one such room are in one partition of the log; empty for the one
    that `effective_partition_by` finds."""
    types: dict[str, str] = msgspec.field(default_factory=dict)

    def effective_partition_by(self) -> str:
        """Give the template by which events are divided among the partitions of the log.

        Unless the row says it, the room that members leave by the event: what comes after must not
        reach them. Else the first room that is not a user's: a conversation has one order.
        """
        left = (*self.empties, *((self.removes.from_,) if self.removes else ()))
        shared = (text for text in (*left, *self.to) if not text.startswith(_USER_ROOM))
        return self.partition_by or next(shared, self.to[0])

    def templates(self) -> tuple[str, ...]:
        """Give every room template of the row that says who gets or leaves something."""
        removes = (self.removes.who, self.removes.from_) if self.removes else ()
        return (*self.to, *((self.except_,) if self.except_ else ()), *self.empties, *removes)

    def template_keys(self) -> Iterator[str]:
        """Give the key of every template, in their order; one may occur repeatedly."""
        yield from (found.key for text in self.templates() if (found := templates.split(text)))

    def keys_read(self) -> Iterator[str]:
        """Give every key that is read from an event: its payload's, and those that address it."""
        yield from self.keys
        yield from self.template_keys()
        if self.unless_empty:
            yield self.unless_empty
