"""What all ways to a backend have in common, for `backend`, which guards them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from constellation_ws.backends.answers import BackendFailed, NoAnswer
from constellation_ws.messages.admission import Refusal
from constellation_ws.runtime.spawning import Spawn

Done = Callable[[msgspec.Raw | Refusal | BackendFailed], None]
"""Called once, with the ack, the backend's refusal, or why there is neither."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes within its backend. Of the table alone: never of what a client sent."""

    name: str
    """The NestJS pattern, the path behind the backend's URL, the Redis channel or stream."""
    is_idempotent: bool = False
    """Whether it may be carried out twice. Only HTTP makes use of it."""


class Way(Protocol):
    """One way to one backend."""

    def begin(self, target: Target, body: bytes, traceparent: str, done: Done) -> None:
        """Send a request without waiting; `done` is called within the backend's timeout.

        `traceparent` is the span's that is current, empty where there is none.
        """

    async def aclose(self) -> None:
        """Hang up."""


class Conversation(Protocol):
    """A way on which each request is waited for by a coroutine of its own."""

    async def send(self, target: Target, body: bytes, traceparent: str) -> msgspec.Raw | Refusal:
        """Send a request, and give the ack or the backend's refusal.

        Raises TimeoutError when the backend's timeout is over, BackendFailed where there is no
        answer to wait for.
        """

    async def aclose(self) -> None:
        """Hang up."""


class SpawningWay:
    """Makes a way of a conversation: each request waits in a task."""

    def __init__(self, conversation: Conversation, spawn: Spawn) -> None:
        self._conversation = conversation
        self._spawn = spawn

    def begin(self, target: Target, body: bytes, traceparent: str, done: Done) -> None:
        """Send a request without waiting."""
        self._spawn(self._send(target, body, traceparent, done))

    async def aclose(self) -> None:
        """Hang up."""
        await self._conversation.aclose()

    async def _send(self, target: Target, body: bytes, traceparent: str, done: Done) -> None:
        result: msgspec.Raw | Refusal | BackendFailed
        try:
            result = await self._conversation.send(target, body, traceparent)
        except TimeoutError:
            result = NoAnswer()
        except BackendFailed as error:
            result = error
        done(result)


def connect_seconds(timeout_seconds: float) -> float:
    """Say how long connecting may take of a backend's timeout; without it, nobody can answer."""
    return min(2.0, timeout_seconds / 2)
