"""The requests of one TCP connection, side by side, each with its own deadline.

As in NestJS, a request that waits does not delay the others. All begin in the order in which they
arrive. Reading and writing the connection is `connection`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from constellation_ws.nest.framing import Packet
from constellation_ws.runtime.spawning import Spawn

REQUEST_SECONDS = 5.0
"""How long a request may take, the time that it waits for others included."""
MAX_IN_HAND = 1_000
"""High, so that `ping` is read at once also while all others wait for a Redis that hangs."""


class Desk(Protocol):
    """Where packets are answered."""

    def is_question(self, packet: Packet) -> bool:
        """Say whether a packet changes nothing; its answer may be large."""

    async def reply_to(self, packet: Packet, seconds_before: float) -> bytes | None:
        """Handle one packet, which has waited before; the frame to send back, None for an event."""

    def overdue(self, packet: Packet, seconds: float) -> bytes:
        """Give up one request after so long; the frame to send back."""


@dataclass(eq=False, slots=True)
class _Work:
    """One packet from its reading to its reply."""

    packet: Packet
    size: int
    read_at: float
    task: asyncio.Task[Any] | None = None
    deadline: asyncio.TimerHandle | None = None
    is_completed: bool = False
    """Whether it was answered, or given up."""

    def complete(self) -> bool:
        """Note that it is answered or given up; False where it was already."""
        was_completed, self.is_completed = self.is_completed, True
        return not was_completed


class RequestsInHand:
    """The requests and events of one connection that have been read and not answered."""

    def __init__(
        self,
        desk: Desk,
        spawn: Spawn,
        *,
        ready: Callable[[], Awaitable[None]],
        write: Callable[[bytes], None],
        request_seconds: float,
        max_in_hand: int,
        max_bytes: int,
    ) -> None:
        """`ready` waits until the client has read enough of its replies. Raises OSError."""
        self._desk = desk
        self._spawn = spawn
        self._ready = ready
        self._write = write
        self._request_seconds = request_seconds
        self._max_in_hand, self._max_bytes = max_in_hand, max_bytes
        self._loop = asyncio.get_running_loop()
        self._works: set[_Work] = set()
        self._bytes = 0
        self._has_ended = asyncio.Event()
        self.quiet_since = self._loop.time()
        """When the last one ended; of no meaning while there is one."""

    def __len__(self) -> int:
        return len(self._works)

    async def room(self) -> None:
        """Wait until there is room for one more."""
        while len(self._works) >= self._max_in_hand or self._bytes >= self._max_bytes:
            await self._until_one_ends()

    async def finished(self) -> None:
        """Wait until all are answered."""
        while self._works:
            await self._until_one_ends()

    def begin(self, packet: Packet, size: int) -> None:
        """Begin to handle a packet of so many bytes.

        An event has no deadline: nobody waits for it, and a Redis that hangs for ten seconds must
        not cost all that came meanwhile.
        """
        work = _Work(packet, size, self._loop.time())
        self._works.add(work)
        self._bytes += size
        if packet.id is not None:
            work.deadline = self._loop.call_later(self._request_seconds, self._give_up, work)
        self._spawn(self._run(work))

    def cancel(self) -> None:
        """Give up all of them without an answer."""
        for work in self._works:
            work.complete()
            if work.task is not None:
                work.task.cancel()

    async def _until_one_ends(self) -> None:
        self._has_ended.clear()
        await self._has_ended.wait()

    async def _run(self, work: _Work) -> None:
        work.task = asyncio.current_task()
        try:
            await self._answer(work)
        except OSError:
            pass  # the client has gone, or does not read
        except asyncio.CancelledError:
            pass  # given up; the task ends here
        finally:
            self._end(work)

    async def _answer(self, work: _Work) -> None:
        if self._desk.is_question(work.packet):
            await self._ready()
        waited = self._loop.time() - work.read_at
        reply = await self._desk.reply_to(work.packet, waited)
        if work.complete() and reply is not None:
            self._write(reply)
            await self._ready()

    def _give_up(self, work: _Work) -> None:
        """Answer that it took too long.

        A timer and not `asyncio.timeout`: redis-py sends inside `wait_for`, which on Python 3.11
        may swallow the cancellation.
        """
        if not work.complete():
            return
        self._write(self._desk.overdue(work.packet, self._loop.time() - work.read_at))
        if work.task is not None:
            work.task.cancel()

    def _end(self, work: _Work) -> None:
        if work.deadline is not None:
            work.deadline.cancel()
        self._works.discard(work)
        self._bytes -= work.size
        self.quiet_since = self._loop.time()
        self._has_ended.set()
