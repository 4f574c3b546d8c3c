"""Publishers: PUBLISH, XADD and the TCP port, each at its pace, through everything.

What was refused for certain is sent again as the same event; where the outcome is not known, the
event may arrive or not. As ioredis they send without waiting for replies.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, cast

import hiredis

from tests.chaos.events import Events, Parcel
from tests.chaos.ledger import Event, Outcome, Way
from tests.partitions import log_of, partition_of
from tests.simulation.hosts import Host

_RETRY_SECONDS = 0.3
_ANSWER_SECONDS = 7.0
_GIVE_UP_SECONDS = 30.0
_RATES = {Way.PUBLISH: 12.0, Way.XADD: 5.0, Way.TCP: 3.0}
"""Events a second."""


class Pace(Enum):
    """How fast events are published: the part of the rates, and how many come at once at most.

    Most worlds are calm: each event takes time to simulate, and faults are as many. Bursts have
    several events in one append, in one read, and behind one loss.
    """

    CALM = (0.25, 1)
    STEADY = (1.0, 1)
    BURSTS = (0.4, 25)


PACES = (Pace.CALM, Pace.CALM, Pace.STEADY, Pace.BURSTS)
"""What a seed draws from."""


class Publishers:
    """All publishers of a world."""

    def __init__(
        self,
        host: Host,
        events: Events,
        choose_pod: Callable[[], str],
        pace: Pace,
        width: Callable[[], int],
    ) -> None:
        """`choose_pod` gives the address of a pod that takes requests. Raises ConnectionError.

        `width` gives how many partitions of the log are in use, for XADD: an event of a room that
        is in another partition than what changes the room has no order with that.
        """
        self.width = width
        self._host = host
        self.events = events
        self._choose_pod = choose_pod
        part, self._most_at_once = pace.value
        self._pauses = {way: 1 / (part * rate) for way, rate in _RATES.items()}
        self.is_stopped = False
        self.places = itertools.count(1)
        self.lanes = itertools.count(1)
        self._lines: dict[Way, Line] = {}
        self._refused: deque[Parcel] = deque()
        self.published: dict[bytes, Event] = {}
        """What was sent by PUBLISH, by its data."""

    def start(self) -> None:
        """Publish until `is_stopped`."""
        for way in self._pauses:
            self._host.call_soon(self._step, way)

    def go(self) -> None:
        """Close all connections."""
        for line in self._lines.values():
            line.close()

    def doubt(self, published: Iterable[bytes]) -> None:
        """Take back what PUBLISH promised for these data."""
        for data in published:
            event = self.published.get(data)
            if event is not None and event.is_accepted:
                event.outcome = Outcome.UNKNOWN

    def send(self, parcel: Parcel) -> bool:
        """Send one event, if there is a connection; else one is opened."""
        way = parcel.event.way
        line = self._lines.get(way)
        if line is None or line.is_over:
            self._open(way)
            return False
        if not line.is_ready:
            return False
        line.hand_over(parcel)
        return True

    def _step(self, way: Way) -> None:
        if self.is_stopped:
            return
        chance = self._host.universe.chance
        count = chance.randint(1, self._most_at_once) if self._most_at_once > 1 else 1
        line = self._lines.get(way)
        if line is None or line.is_over:
            self._open(way)
        else:
            for _ in range(count):
                if line.is_ready:
                    again = line.refused.popleft() if line.refused else None
                    line.hand_over(again or self.events.next(way))
        pause = self._pauses[way] * count * chance.uniform(0.5, 1.5)
        self._host.call_later(pause, self._step, way)

    def _open(self, way: Way) -> None:
        kind = TcpLine if way is Way.TCP else RedisLine
        before = self._lines.get(way)
        self._lines[way] = line = kind(self._host, way, self, before.refused if before else deque())
        self._host.begin(self._connect(line))

    async def _connect(self, line: Line) -> None:
        try:
            async with asyncio.timeout(2):
                if line.way is Way.TCP:
                    await self._host.create_connection(lambda: line, self._choose_pod(), 7756)
                else:
                    await self._host.create_connection(lambda: line, "redis", 6379)
        except (OSError, TimeoutError):
            line.close()


class Line(asyncio.Protocol):
    """A connection of a publisher."""

    def __init__(self, host: Host, way: Way, owner: Publishers, refused: deque[Parcel]) -> None:
        self._host = host
        self._owner = owner
        self.way = way
        self.refused = refused
        """What is to be sent again."""
        self.is_over = False
        self._lane = f"{way.value} {next(owner.lanes)}"
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Parcel] = deque()

    @property
    def is_ready(self) -> bool:
        """Whether something can be sent now."""
        return self._transport is not None and not self.is_over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection up: what is unanswered stays so."""
        self.is_over = True
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            self._note(self._waiting.popleft(), Outcome.UNKNOWN, "the connection was lost")

    def hand_over(self, parcel: Parcel) -> None:
        """Send an event; the ledger learns what came of it."""
        event = parcel.event
        event.lane, event.place = self._lane, next(self._owner.places)
        event.sent_ms = self._host.universe.now_ms
        event.outcome = Outcome.UNDER_WAY
        self._waiting.append(parcel)
        if event.way is Way.PUBLISH:
            self._owner.published[parcel.data] = event
        assert self._transport is not None, "ready"
        self._transport.write(self._pack(parcel))
        self._host.call_later(self._patience, self._look_after, parcel)

    _patience = _GIVE_UP_SECONDS

    def _look_after(self, parcel: Parcel) -> None:
        if parcel.event.outcome is Outcome.UNDER_WAY and not self.is_over:
            self.close()

    def _pack(self, parcel: Parcel) -> bytes:
        raise NotImplementedError

    def _note(self, parcel: Parcel, outcome: Outcome, answer: str) -> None:
        event = parcel.event
        event.outcome, event.answer = outcome, answer
        event.settled_ms = self._host.universe.now_ms


class RedisLine(Line):
    """A connection to Redis."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._reader = hiredis.Reader()

    def _pack(self, parcel: Parcel) -> bytes:
        words: tuple[Any, ...] = ("PUBLISH", parcel.channel, parcel.data)
        if self.way is Way.XADD:
            words = ("XADD", self._log(parcel), "*", "channel", parcel.channel, "data", parcel.data)
        pack: Any = hiredis.pack_command
        return cast("bytes", pack(words))

    def _log(self, parcel: Parcel) -> str:
        """Choose the partition by the room, as a producer has to that wants its events in order."""
        return log_of(partition_of(parcel.event.sequence, self._owner.width()))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            parcel = self._waiting.popleft()
            if isinstance(reply, hiredis.ReplyError):
                self._note(parcel, Outcome.REFUSED, str(reply))
                self._host.call_later(_RETRY_SECONDS, self.refused.append, parcel)
            else:
                # Nobody has heard a PUBLISH without receivers.
                outcome = Outcome.ACCEPTED if reply else Outcome.UNKNOWN
                self._note(parcel, outcome, str(reply))


class TcpLine(Line):
    """A connection to the TCP port of a pod. One request at a time, so that they keep an order."""

    _patience = _ANSWER_SECONDS

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._received = b""
        self._numbers = itertools.count(1)

    @property
    def is_ready(self) -> bool:
        return super().is_ready and not self._waiting

    def _pack(self, parcel: Parcel) -> bytes:
        pattern, data = parcel.request
        text = json.dumps({"pattern": pattern, "data": data, "id": str(next(self._numbers))})
        return f"{len(text)}#{text}".encode()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            size, mark, rest = self._received.partition(b"#")
            if not mark or len(rest) < int(size):
                return
            self._received = rest[int(size) :]
            self._answered(json.loads(rest[: int(size)]))

    def _answered(self, answer: dict[str, Any]) -> None:
        parcel = self._waiting.popleft()
        response = answer.get("response") or {}
        # A refusal may mean that Redis' answer was lost: the event may be in the log.
        outcome = Outcome.ACCEPTED if response.get("success") else Outcome.UNKNOWN
        self._note(parcel, outcome, str(response.get("error", answer.get("err", "accepted"))))
