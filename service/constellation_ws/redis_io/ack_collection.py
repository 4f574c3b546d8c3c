"""Events that sockets on all pods are to acknowledge: who has, and who has not."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from msgspec import Raw

from constellation_ws.messages.acks import Acks
from constellation_ws.messages.commands import MAX_ACK_ID
from constellation_ws.messages.events import Sid
from constellation_ws.redis_io.asking import AckAnswer, Acked, Reached

MAX_COLLECTED = 1_000
"""Events of one pod whose acks are collected at a time."""
MAX_ACKS_BYTES = 1024 * 1024
"""What the acks of one event may hold together; those beyond it count as unanswered."""
MAX_ALL_BYTES = 64 * 1024 * 1024
"""What the acks of all events may hold that are collected at a time; likewise."""


class TooManyCollected(Exception):
    """The acks of too many events are collected at this pod."""


class AckCollection:
    """The acks of one event. It completes when all that were asked have answered."""

    def __init__(self, ack_id: int) -> None:
        self.ack_id = ack_id
        self._missing: set[str] | None = None
        self._answered: set[str] = set()
        self._reached: set[Sid] = set()
        self._acks: dict[Sid, Raw] = {}
        self.size = 0
        """Bytes of the acks."""
        self._complete = asyncio.Event()

    def expect(self, pods: Collection[str]) -> None:
        """Note which pods must say whom the event has reached; without this it never completes."""
        self._missing = set(pods) - self._answered
        self._check()

    def add(self, answer: AckAnswer, room: int = MAX_ACKS_BYTES) -> None:
        """Note what a pod reports; an ack of more than `room` bytes counts as none.

        A socket may acknowledge on another pod than the one that has named it, if it has moved or
        was resumed meanwhile; that pod may even have died before it named it.
        """
        match answer:
            case Reached(sids, pod):
                self._reached.update(sids)
                self._answered.add(pod)
                if self._missing is not None:
                    self._missing.discard(pod)
            case Acked(sid, data):
                self._reached.add(sid)
                size = len(bytes(data))
                if sid not in self._acks and size <= min(room, MAX_ACKS_BYTES - self.size):
                    self._acks[sid] = data
                    self.size += size
        self._check()

    async def complete(self, seconds: float) -> Acks:
        """Wait until all have answered, for so long at most; give what there is by then."""
        try:
            async with asyncio.timeout(seconds):
                await self._complete.wait()
        except TimeoutError:
            pass
        unanswered = len(self._reached - self._acks.keys())
        return Acks(dict(self._acks), unanswered, self._missing == set())

    def _check(self) -> None:
        if self._missing == set() and self._reached <= self._acks.keys():
            self._complete.set()


class AckCollections:
    """The events of this pod whose acks are collected now."""

    def __init__(self) -> None:
        self._open: dict[int, AckCollection] = {}

    @contextmanager
    def collecting(self) -> Iterator[AckCollection]:
        """Collect the acks of an event; what comes after the block is ignored.

        The id is random: pods choose theirs without knowing of each other, and the same socket may
        hold events of several. Raises TooManyCollected.
        """
        if len(self._open) >= MAX_COLLECTED:
            raise TooManyCollected
        ack_id = secrets.randbelow(MAX_ACK_ID + 1)
        while ack_id in self._open:
            ack_id = secrets.randbelow(MAX_ACK_ID + 1)
        collection = self._open[ack_id] = AckCollection(ack_id)
        try:
            yield collection
        finally:
            del self._open[ack_id]

    def add(self, ack_id: int, answer: AckAnswer) -> None:
        """Note what a pod reports; nothing where nobody waits for it any more."""
        collection = self._open.get(ack_id)
        if collection is not None:
            collection.add(answer, MAX_ALL_BYTES - sum(one.size for one in self._open.values()))
