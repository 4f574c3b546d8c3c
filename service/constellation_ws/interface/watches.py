"""Clients that watch who is online: what a request names, and as which event changes go out. Pure.

A client that watches a user is in a room of that user's changes. So what holds for rooms holds for
it: the bound, recovery, moves between pods, and with `access = "chat"` who may be in a chat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import UNSET

from constellation_ws.interface.rows import RequestRow, RouteRow
from constellation_ws.messages import ids
from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.events import (
    ChatId,
    Decoder,
    MalformedEvent,
    Room,
    UserId,
    chat_room,
    fields_of,
)

MAX_AT_ONCE = 100
"""Users in one request: each may be a question to the API."""
STATUS_TYPES = {"userId": "string", "status": "string", "at": "number"}
"""What clients receive of a change."""
Access = Literal["none", "chat"]


def watched_chat(user: str) -> ChatId:
    """Name what CONSTELLATION_CHAT_ACCESS decides about: who is in it may watch the user."""
    return ChatId(f"presence:{user}")


def watch_room(user: str, access: Access) -> Room:
    """Name the room of those who watch a user."""
    return chat_room(watched_chat(user)) if access == "chat" else Room(watched_chat(user))


def status_row(requests: Sequence[RequestRow], channel: str) -> RouteRow | None:
    """Give the route of what is announced on a channel; None where no request watches anybody."""
    rows = [row for row in requests if row.watches]
    if not rows:
        return None
    rooms = tuple(dict.fromkeys(watch_room("{userId}", row.access) for row in rows))
    return RouteRow(
        channel,
        rows[0].emits,
        tuple(STATUS_TYPES),
        rooms,
        namespace=rows[0].namespace,
        types=STATUS_TYPES,
    )


class WatchReader:
    """Reads the requests of one row with `watches` or `unwatches`."""

    def __init__(self, row: RequestRow, max_id_chars: int) -> None:
        """`row` must have been checked."""
        self._key = row.watches or row.unwatches
        self._max_id_chars = max_id_chars
        self._decode = Decoder(fields_of([self._key])).decode

    def read(self, data: bytes) -> Sequence[UserId] | Refusal:
        """Give the users that a request names, each once; `data` is its first argument."""
        try:
            (raw,) = msgspec.structs.astuple(self._decode(data))
        except MalformedEvent:
            return self._refusal()
        found = None if raw is UNSET else ids.read_ids(raw)
        if found is None or found.invalid or not found.ids or len(found.ids) > MAX_AT_ONCE:
            return self._refusal()
        if any(len(one) > self._max_id_chars or not one.isprintable() for one in found.ids):
            return self._refusal()
        return [UserId(one) for one in dict.fromkeys(found.ids)]

    def _refusal(self) -> Refusal:
        takes = f"1 to {MAX_AT_ONCE} ids, each a string of 1 to {self._max_id_chars} characters"
        return Refusal("invalid_request", f"Send {{ {self._key} }}: {takes} or a whole number.")
