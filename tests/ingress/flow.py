"""Events that flow at an even pace, and what was sent of them.

Lives here: publishing as the API does, over one connection without waiting for answers.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial

from tests.chaos.deployment import now_ms
from tests.chaos.events import Audience, Events, Parcel
from tests.chaos.ledger import Event, Ledger, Outcome, Way
from tests.chaos.pipelined import Pipelined, pipelined
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

_TICK_SECONDS = 0.05
_LANE = "PUBLISH"


class Flow:
    """Numbered events for the users and the rooms of a trial. Made by `flowing`."""

    def __init__(self, connection: Pipelined, users: list[str], rooms: list[str]) -> None:
        self.ledger = Ledger()
        audience = Audience(users, [], [], rooms, [])
        self._events = Events(self.ledger, audience, "any ingress", 1)
        self._connection = connection
        self._places = itertools.count(1)
        self._is_ending = False
        self.accepted = 0

    async def run(self, per_second: float) -> None:
        """Publish until the last events are sent."""
        loop = asyncio.get_running_loop()
        start, sent = loop.time(), 0
        while not self._is_ending:
            due = int((loop.time() - start) * per_second)
            self._send(self._events.next(Way.PUBLISH) for _ in range(due - sent))
            sent = due
            await asyncio.sleep(_TICK_SECONDS)

    async def goes_on(self, events: int) -> None:
        """Wait until so many more have been accepted."""
        wanted = self.accepted + events
        await eventually(lambda: self.accepted >= wanted, PATIENCE_SECONDS, "events flow")

    async def last(self) -> int:
        """Send an event to each room and then one to every user, and no more; give its number.

        Who has it has all before.
        """
        self._is_ending = True
        to_all, *to_rooms = self._events.last(Way.PUBLISH)
        self._send([*to_rooms, to_all])
        await eventually(lambda: to_all.event.is_accepted, PATIENCE_SECONDS, "it is accepted")
        return to_all.event.number

    def _send(self, parcels: Iterable[Parcel]) -> None:
        for parcel in parcels:
            event = parcel.event
            event.lane, event.place, event.sent_ms = _LANE, next(self._places), now_ms()
            answer = self._connection.send("PUBLISH", parcel.channel, parcel.data)
            answer.add_done_callback(partial(self._settle, event))

    def _settle(self, event: Event, answer: asyncio.Future[object]) -> None:
        """Nobody has heard what 0 have received; what is not answered may arrive or not."""
        is_heard = not answer.cancelled() and answer.exception() is None and bool(answer.result())
        event.outcome = Outcome.ACCEPTED if is_heard else Outcome.UNKNOWN
        event.settled_ms = now_ms()
        self.accepted += is_heard


@asynccontextmanager
async def flowing(
    redis_port: int, users: list[str], rooms: list[str], per_second: float
) -> AsyncIterator[Flow]:
    """A flow that has begun, and ends with the block."""
    async with pipelined(redis_port) as connection:
        flow = Flow(connection, users, rooms)
        running = asyncio.get_running_loop().create_task(flow.run(per_second))
        try:
            await flow.goes_on(1)
            yield flow
        finally:
            await cancelled([running])
            if not running.cancelled():
                running.result()
