"""What all ways to a backend have in common, for `backend`, which guards them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

from constellation_ws.messages.admission import Refusal


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes within its backend. Of the table alone: never of what a client sent."""

    name: str
    """The NestJS pattern, the path behind the backend's URL, the Redis channel or stream."""
    is_idempotent: bool = False
    """Whether it may be carried out twice. Only HTTP makes use of it."""


class Way(Protocol):
    """One way to one backend."""

    async def send(self, target: Target, body: bytes, traceparent: str) -> msgspec.Raw | Refusal:
        """Send a request, and give the ack or the backend's refusal.

        `traceparent` is the span's that is current, empty where there is none. Raises TimeoutError
        when the backend's timeout is over, BackendFailed where there is no answer to wait for.
        """

    async def aclose(self) -> None:
        """Hang up."""


def connect_seconds(timeout_seconds: float) -> float:
    """Say how long connecting may take of a backend's timeout; without it, nobody can answer."""
    return min(2.0, timeout_seconds / 2)
