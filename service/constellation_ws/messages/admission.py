"""What a client may ask for: ids, requests, and how many of them. Decisions only.

Codes are words that clients switch on: they are part of the contract, messages are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from constellation_ws.messages.events import UserId
from constellation_ws.messages.ids import id_of


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was refused: a stable word for programs and a sentence for people."""

    code: str
    message: str
    is_temporary: bool = False
    """Whether it passes without a change at the client. A `connect_error` would then be wrong:
    socket.io-client never retries after one. The transport is closed instead."""

    def acknowledgement(self) -> dict[str, object]:
        """Give what a client's request is answered with."""
        return {"success": False, "error": {"code": self.code, "message": self.message}}


@dataclass(frozen=True, slots=True)
class Denied:
    """A request that is not read."""

    refusal: Refusal
    closes: bool = False
    """Whether its client kept on past its limit, and is closed."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something may happen: on average, and at once."""

    per_second: int
    burst: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one socket may ask for."""

    max_id_chars: int
    max_rooms: int
    max_request_bytes: int
    requests: Rate
    max_connections_per_user: int


UNAUTHORIZED = Refusal(
    "unauthorized", "A user id is required: connect with { auth: { userId: '<your user id>' } }."
)
TOO_MANY_REQUESTS = Refusal("rate_limited", "Too many requests: slow down and try again.")
DRAINING = Refusal("draining", "This server is being replaced: connect again.", is_temporary=True)
FORBIDDEN = Refusal("forbidden", "You are not in this chat.")
ACCESS_UNAVAILABLE = Refusal(
    "access_unavailable", "Your access to this chat cannot be checked at the moment: try again."
)
UNAVAILABLE = Refusal("unavailable", "The request cannot be stored at the moment: try again later.")
DISCONNECTED = Refusal("disconnected", "You were disconnected before the request was completed.")


def invalid_namespace(served: Sequence[str]) -> Refusal:
    """Say which namespaces there are."""
    return Refusal("invalid_namespace", f"Unknown namespace: connect to {' or '.join(served)}.")


RATE_LIMIT = "rate limit"
PACKET_FLOOD = "packet flood"
"""Reasons for which whoever sends far too much is closed."""


def read_user_id(value: object, max_chars: int) -> UserId | Refusal:
    """Read the user id that a client presents; a number counts as its decimal string."""
    if value is None:
        return UNAUTHORIZED
    text = read_id(value, max_chars)
    if text is None:
        return Refusal(
            "invalid_user",
            f"userId must be a string of 1 to {max_chars} characters or a whole number.",
        )
    return UserId(text)


def may_join(rooms_joined: int, limits: Limits) -> Refusal | None:
    """Decide whether a socket that has joined so many chats may join one more."""
    if rooms_joined < limits.max_rooms:
        return None
    return Refusal(
        "too_many_rooms", f"You can be in at most {limits.max_rooms} rooms: leave one first."
    )


def may_connect(connections: int, limits: Limits) -> Refusal | None:
    """Decide whether a user who has so many connections here may have one more."""
    if connections < limits.max_connections_per_user:
        return None
    return Refusal(
        "too_many_connections",
        f"A user can have at most {limits.max_connections_per_user} connections: close one first.",
    )


def check_request_size(request_bytes: int, limits: Limits) -> Refusal | None:
    """Decide whether a request of that many bytes is taken."""
    if request_bytes <= limits.max_request_bytes:
        return None
    return Refusal(
        "payload_too_large", f"A request can have at most {limits.max_request_bytes} bytes."
    )


class Arrivals:
    """Connections that are being let in: not in any room yet, and yet to be counted."""

    def __init__(self) -> None:
        self._counts: dict[UserId, int] = {}

    @contextmanager
    def one_of(self, user: UserId) -> Iterator[int]:
        """Count a user's connection as arriving meanwhile; gives how many do so already."""
        before = self._counts.get(user, 0)
        self._counts[user] = before + 1
        try:
            yield before
        finally:
            if self._counts[user] == 1:
                del self._counts[user]
            else:
                self._counts[user] -= 1


class Allowance:
    """A token bucket: how often something may still happen, and how often more was tried.

    The rate is an argument, as there are as many buckets as sockets.
    """

    __slots__ = ("_left", "_overdrawn", "_seconds")

    def __init__(self, rate: Rate, now_seconds: float) -> None:
        self._left = float(rate.burst)
        self._seconds = now_seconds
        self._overdrawn = 0

    @property
    def spent(self) -> tuple[float, int]:
        """What is left, and what was tried beyond it, for another pod to continue from."""
        return self._left, self._overdrawn

    def go_on(self, left: float, overdrawn: int) -> None:
        """Go on from what another pod has counted."""
        self._left, self._overdrawn = left, overdrawn

    def consume(self, rate: Rate, now_seconds: float) -> bool:
        """Consume one unit; False when there is none left."""
        refill = (now_seconds - self._seconds) * rate.per_second
        self._left = min(float(rate.burst), self._left + refill)
        self._seconds = now_seconds
        if self._left < 1:
            self._overdrawn += 1
            return False
        self._left -= 1
        self._overdrawn = 0
        return True

    def is_abused(self, rate: Rate) -> bool:
        """Return whether a whole burst was tried beyond the limit: time to close."""
        return self._overdrawn >= rate.burst


def read_id(value: object, max_chars: int) -> str | None:
    """Read an id that a client presents; None where it is none, too long, or cannot be printed."""
    text = id_of(value)
    if text is None or len(text) > max_chars:
        return None
    return text if text.isprintable() else None  # no control characters
