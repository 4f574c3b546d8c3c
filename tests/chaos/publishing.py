"""The publishers: PUBLISH, XADD and the TCP port, at an even pace, through everything.

What was refused for certain is sent again as the same event; where the outcome is not known, the
event may arrive or not, and the next one has a number of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import hiredis
from redis.exceptions import RedisError

from tests.chaos.events import Events, Parcel
from tests.chaos.ledger import Ledger, Outcome, Way
from tests.chaos.names import LOG_KEY
from tests.chaos.pipelined import Pipelined, pipelined
from tests.chaos.topologies import Published
from tests.nest_client import NestClient, nest_client

_RETRY_SECONDS = 0.3
_LAST_RETRY_SECONDS = 1.0
_ANSWER_SECONDS = 7.0
"""Of a TCP request; the gateway's own deadline is 5."""
_FAULTS = (RedisError, OSError, TimeoutError, EOFError, AssertionError)
_CATCH_UP_SECONDS = 1.0
"""A publisher that was held up sends no more than what it would have sent in this time."""


class Publishers:
    """All publishers of a run. `run` publishes until `stop`."""

    def __init__(
        self,
        events: Events,
        ledger: Ledger,
        topology: Published,
        tcp_port: Callable[[], int],
        now_ms: Callable[[], int],
    ) -> None:
        self._events = events
        self._ledger = ledger
        self._topology = topology
        self._tcp_port = tcp_port
        self._now_ms = now_ms
        self._places = itertools.count(1)
        self._connections = itertools.count(1)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let each publisher end after what it has sent."""
        self._stopping.set()

    async def run(self, per_second: Mapping[Way, float]) -> None:
        """Publish each way at its pace, until `stop`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._over_redis(Way.PUBLISH, 1 / per_second[Way.PUBLISH]))
            group.create_task(self._over_redis(Way.XADD, 1 / per_second[Way.XADD]))
            group.create_task(self._over_tcp(1 / per_second[Way.TCP]))

    async def last(self, within: float) -> list[int]:
        """Send each way an event to everybody and to each room; give those that were accepted.

        Repeated, each time as another event, until all are accepted, or the time is over.
        """
        accepted: list[int] = []
        for way in Way:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within):
                    accepted += await self._last_of(way)
        return accepted

    async def _last_of(self, way: Way) -> list[int]:
        numbers = await self._try_last(way)
        while not numbers:
            await asyncio.sleep(_LAST_RETRY_SECONDS)
            numbers = await self._try_last(way)
        return numbers

    async def _try_last(self, way: Way) -> list[int]:
        parcels = list(self._events.last(way))
        try:
            if way is Way.TCP:
                async with nest_client(self._tcp_port()) as nest:
                    for parcel in parcels:
                        await self._request(nest, parcel)
            else:
                async with pipelined(await self._port_for(way)) as connection:
                    await self._send_all(connection, parcels)
        except _FAULTS:
            return []
        is_whole = all(parcel.event.is_accepted for parcel in parcels)
        return [parcel.event.number for parcel in parcels] if is_whole else []

    async def _send_all(self, connection: Pipelined, parcels: Iterable[Parcel]) -> None:
        refused: deque[Parcel] = deque()
        waiting = [
            self._hand_over(connection, f"last {parcel.event.way.value}", parcel, refused)
            for parcel in parcels
        ]
        await asyncio.wait(waiting, timeout=_ANSWER_SECONDS)

    # Over Redis

    async def _port_for(self, way: Way) -> int:
        if way is Way.PUBLISH:
            return await self._topology.publish_port()
        return await self._topology.primary_port()

    async def _over_redis(self, way: Way, pause: float) -> None:
        """Keep a connection to the primary, and send without waiting for answers."""
        refused: deque[Parcel] = deque()
        while not self._stopping.is_set():
            try:
                async with pipelined(await self._port_for(way)) as connection:
                    await self._pour(connection, way, pause, refused)
            except _FAULTS:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _pour(
        self, connection: Pipelined, way: Way, pause: float, refused: deque[Parcel]
    ) -> None:
        lane = f"{way.value} {next(self._connections)}"
        loop = asyncio.get_running_loop()
        due = loop.time()
        waiting: set[asyncio.Task[bool]] = set()
        while not self._stopping.is_set() and not connection.is_lost:
            parcel = refused.popleft() if refused else self._events.next(way)
            task = self._hand_over(connection, lane, parcel, refused)
            waiting.add(task)
            task.add_done_callback(waiting.discard)
            due = max(due + pause, loop.time() - _CATCH_UP_SECONDS)
            await asyncio.sleep(max(0.0, due - loop.time()))
            if len(refused) and task.done() and not task.result():
                await asyncio.sleep(_RETRY_SECONDS)
                if await self._port_for(way) != connection.port:
                    break  # another node is the primary now
        if waiting:
            await asyncio.wait(waiting, timeout=_ANSWER_SECONDS)

    def _hand_over(
        self, connection: Pipelined, lane: str, parcel: Parcel, refused: deque[Parcel]
    ) -> asyncio.Task[bool]:
        """Send one event now; the task notes what came of it, and says whether it was accepted."""
        event = parcel.event
        event.lane, event.place, event.sent_ms = lane, next(self._places), self._now_ms()
        event.outcome = Outcome.UNDER_WAY
        if event.way is Way.PUBLISH:
            answer = connection.send("PUBLISH", parcel.channel, parcel.data)
        else:
            fields = ("channel", parcel.channel, "data", parcel.data)
            answer = connection.send("XADD", LOG_KEY, "*", *fields)
        return asyncio.get_running_loop().create_task(self._settle(parcel, answer, refused))

    async def _settle(
        self, parcel: Parcel, answer: asyncio.Future[object], refused: deque[Parcel]
    ) -> bool:
        try:
            reply = await answer
        except hiredis.ReplyError as error:
            return await self._objected(parcel, str(error), refused)
        except OSError as error:
            self._note(parcel, Outcome.UNKNOWN, str(error))
            return False
        # Nobody has heard a PUBLISH without receivers; those of other cluster nodes do not count.
        self._note(parcel, Outcome.ACCEPTED if reply else Outcome.UNKNOWN, str(reply))
        return bool(reply)

    async def _objected(self, parcel: Parcel, error: str, refused: deque[Parcel]) -> bool:
        """Redis did not execute it: it goes to the node that is named, or is sent again."""
        word, _, rest = error.partition(" ")
        if word == "ASK":
            return await self._ask_other(parcel, int(rest.rpartition(":")[2]))
        self._note(parcel, Outcome.REFUSED, error)
        refused.append(parcel)
        return False

    async def _ask_other(self, parcel: Parcel, port: int) -> bool:
        refused: deque[Parcel] = deque()
        try:
            async with pipelined(port) as connection:
                connection.send("ASKING")
                return await self._hand_over(connection, f"asked {port}", parcel, refused)
        except OSError as error:
            self._note(parcel, Outcome.UNKNOWN, str(error))
            return False

    # Over TCP

    async def _over_tcp(self, pause: float) -> None:
        """Send requests one after the other to some pod, to another one when it fails."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self._stopping.is_set():
            try:
                async with nest_client(self._tcp_port()) as nest:
                    while not self._stopping.is_set():
                        await self._request(nest, self._events.next(Way.TCP))
                        due = max(due + pause, loop.time() - _CATCH_UP_SECONDS)
                        await asyncio.sleep(max(0.0, due - loop.time()))
            except _FAULTS:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _request(self, nest: NestClient, parcel: Parcel) -> None:
        """Send one event and note the answer. Raises what ends the connection."""
        event = parcel.event
        event.lane, event.place, event.sent_ms = "TCP", next(self._places), self._now_ms()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                response = await nest.response(*parcel.request)
        except _FAULTS as error:
            self._note(parcel, Outcome.UNKNOWN, repr(error))
            raise
        # A refusal may mean that Redis' answer was lost: the event may be in the log.
        outcome = Outcome.ACCEPTED if response["success"] else Outcome.UNKNOWN
        self._note(parcel, outcome, str(response.get("error", "accepted")))
        if outcome is Outcome.UNKNOWN:
            await asyncio.sleep(_RETRY_SECONDS)

    def _note(self, parcel: Parcel, outcome: Outcome, answer: str) -> None:
        event = parcel.event
        event.outcome, event.answer, event.settled_ms = outcome, answer, self._now_ms()
