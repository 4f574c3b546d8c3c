"""`bench`: many clients of any deployment, and events published to them.

Each event is published once, as a Socket.IO emitter does, for one of the clients in turn: it goes
the way of every PUBLISH. All clients are in this process, so one clock measures.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from constellation_ws.cli.bench_report import Report
from constellation_ws.cli.doctor.delivery import emission
from constellation_ws.cli.doctor.target import Http, Target, connected, words_of
from constellation_ws.cli.lean_client import LeanClient, Lost, Refused
from constellation_ws.cli.redis_connection import required
from constellation_ws.messages.commands import EMITTER_CHANNEL
from constellation_ws.runtime import open_files

_EVENT = "bench"
_CONNECTING = 50
"""Clients that connect at once."""
_CONNECT_SECONDS = 30.0
_FIRST_SECONDS = 5.0
"""How long to wait for the first client: a wrong address is no slow one."""
_RETRY_SECONDS = 0.3
_TICK_SECONDS = 0.01
"""Events that are due are published together: a round trip each would limit the rate."""
_REST_SECONDS = 10.0
"""How long to wait for the last events; a client that was closed needs some seconds."""
_REPORT_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_FAULTS = (aiohttp.ClientError, OSError, TimeoutError, ValueError, Lost)


class NobodyConnected(ConnectionError):
    """No client could connect; `str()` is a sentence with the reason of one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done, and how much of it."""

    clients: int
    rate: float
    """Events a second, all together."""
    seconds: float


@dataclass(slots=True)
class _Client:
    """One client: what it has received, over how many connections."""

    http: Http
    auth: Mapping[str, Any]
    received: dict[int, int] = field(default_factory=dict)
    """How often each event came."""
    latencies: list[float] = field(default_factory=list)
    connect_seconds: float | None = None
    reconnects: int = 0
    recovered: int = 0
    fault: str = ""
    is_refused: bool = False
    """Whether it has given up: a client that is refused does not try again."""
    pod: str = ""
    _websocket: aiohttp.ClientWebSocketResponse | None = None
    _pid: str | None = None
    _offset: str | None = None

    async def live(self, stop: asyncio.Event, turn: asyncio.Semaphore) -> None:
        """Stay connected until it is stopped, or refused."""
        while not stop.is_set():
            try:
                await self._connect_and_receive(stop, turn)
            except Refused as refused:
                self.fault, self.is_refused = f"{refused.code}: {refused}", True
                return
            except _FAULTS as error:
                self.fault = words_of(error)
            if not stop.is_set():
                await asyncio.sleep(_RETRY_SECONDS)

    async def close(self) -> None:
        """Close the connection that there is."""
        if self._websocket is not None:
            await self._websocket.close()

    async def _connect_and_receive(self, stop: asyncio.Event, turn: asyncio.Semaphore) -> None:
        async with turn:
            began = time.monotonic()
            async with asyncio.timeout(_CONNECT_SECONDS):
                self._websocket = await self.http.websocket()
                client = LeanClient(self._websocket, self.http.target.namespace)
                self.pod = (await client.open()).pod
                resuming = {} if self._pid is None else {"pid": self._pid, "offset": self._offset}
                await self._connect(client, {**self.auth, **resuming})
        self._note_connected(time.monotonic() - began)
        while not stop.is_set():
            event = await client.next()
            self._note(event.name, event.arguments)

    async def _connect(self, client: LeanClient, auth: dict[str, Any]) -> None:
        answer = await client.connect(auth, self._note)
        pid = answer.get("pid")
        self.recovered += self._pid is not None and pid == self._pid
        self._pid = pid

    def _note_connected(self, seconds: float) -> None:
        if self.connect_seconds is None:
            self.connect_seconds = seconds
        else:
            self.reconnects += 1

    def _note(self, name: str, arguments: list[Any]) -> None:
        if arguments and isinstance(arguments[-1], str):
            self._offset = arguments[-1]
        if name == _EVENT:
            number, sent = arguments[0]["n"], arguments[0]["at"]
            if number not in self.received:
                self.latencies.append(time.monotonic() - sent)
            self.received[number] = self.received.get(number, 0) + 1


class Bench:
    """One run."""

    def __init__(
        self,
        target: Target,
        plan: Plan,
        redis: Any,
        auth_of: Callable[[str], Mapping[str, Any]],
        report_progress: Callable[[str], None],
    ) -> None:
        """`redis` is a synchronous client; `auth_of` gives what a user connects with."""
        self._target = target
        self._plan = plan
        self._redis = redis
        self._auth_of = auth_of
        self._report_progress = report_progress
        self._users = [f"{target.user}-{number}" for number in range(plan.clients)]
        self._published: list[int] = []
        """For each event, the place of the client that it is for."""

    async def run(self) -> Report:
        """Connect, publish, wait for the rest, and report.

        Raises NobodyConnected and RedisFailed.
        """
        open_files.raise_limit()
        async with connected(self._target, keeps_alive=True) as http:
            before = await _resident_bytes(http)
            stop, turn = asyncio.Event(), asyncio.Semaphore(_CONNECTING)
            crowd = [_Client(http, self._auth_of(user)) for user in self._users]
            everybody = asyncio.gather(*(client.live(stop, turn) for client in crowd))
            try:
                await self._connected(crowd)
                after = await _resident_bytes(http)
                await self._publish()
                await self._rest(crowd)
            finally:
                stop.set()
                await asyncio.gather(*(client.close() for client in crowd))
                with suppress(TimeoutError):  # who still tries to connect is not waited for
                    await asyncio.wait_for(everybody, _CLOSE_SECONDS)
        is_one_pod = len({client.pod for client in crowd if client.pod}) == 1
        memory = None if before is None or after is None or not is_one_pod else after - before
        return self._report(crowd, memory)

    async def _connected(self, crowd: Sequence[_Client]) -> None:
        """Wait until every client is connected or refused."""
        self._report_progress(f"connecting {len(crowd):,} clients")
        began = shown = time.monotonic()
        there = 0
        while time.monotonic() - began < (_CONNECT_SECONDS if there else _FIRST_SECONDS):
            there = sum(client.connect_seconds is not None for client in crowd)
            if there + sum(client.is_refused for client in crowd) == len(crowd):
                break
            if time.monotonic() - shown > _REPORT_SECONDS:
                shown = time.monotonic()
                self._report_progress(f"{there:,} of {len(crowd):,} clients are connected")
            await asyncio.sleep(_TICK_SECONDS)
        if there == 0:
            fault = next((client.fault for client in crowd if client.fault), "no answer")
            raise NobodyConnected(f"No client could connect to {self._target.url}: {fault}.")

    async def _publish(self) -> None:
        """Publish at the rate, evenly, whatever becomes of what was published before."""
        plan = self._plan
        self._report_progress(f"publishing {plan.rate:g} events a second for {plan.seconds:g} s")
        began = shown = time.monotonic()
        places = itertools.cycle(range(plan.clients))
        while (now := time.monotonic()) - began < plan.seconds:
            due = int((now - began) * plan.rate) + 1 - len(self._published)
            if due > 0:
                await asyncio.to_thread(self._publish_batch, [next(places) for _ in range(due)])
            if now - shown > _REPORT_SECONDS:
                shown = now
                self._report_progress(f"{len(self._published):,} events published")
            await asyncio.sleep(_TICK_SECONDS)

    def _publish_batch(self, places: Sequence[int]) -> None:
        refused = required("Redis did not accept the events")
        with refused, self._redis.pipeline(transaction=False) as pipe:
            for place in places:
                event = {"n": len(self._published), "at": time.monotonic()}
                self._published.append(place)
                user = self._users[place]
                pipe.publish(EMITTER_CHANNEL, emission(self._target.namespace, user, _EVENT, event))
            pipe.execute()

    async def _rest(self, crowd: Sequence[_Client]) -> None:
        """Wait for what is on its way."""
        deadline = time.monotonic() + _REST_SECONDS
        while self._lost(crowd):
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(_TICK_SECONDS)

    def _lost(self, crowd: Sequence[_Client]) -> int:
        return sum(
            number not in crowd[place].received
            for number, place in enumerate(self._published)
            if crowd[place].connect_seconds is not None
        )

    def _report(self, crowd: Sequence[_Client], memory_bytes: float | None) -> Report:
        there = [client for client in crowd if client.connect_seconds is not None]
        return Report(
            clients=len(there),
            refused=len(crowd) - len(there),
            pods=len({client.pod for client in there}),
            published=len(self._published),
            received=sum(len(client.received) for client in crowd),
            lost=self._lost(crowd),
            doubled=sum(times - 1 for client in crowd for times in client.received.values()),
            reconnects=sum(client.reconnects for client in crowd),
            recovered=sum(client.recovered for client in crowd),
            latencies=sorted(itertools.chain(*(client.latencies for client in crowd))),
            connects=sorted(client.connect_seconds or 0.0 for client in there),
            memory_bytes=None if memory_bytes is None else memory_bytes / max(1, len(there)),
            fault=next((client.fault for client in crowd if client.connect_seconds is None), ""),
        )


async def _resident_bytes(http: Http) -> float | None:
    """Read the memory of the pod that answers; None where its metrics are not forwarded."""
    answer = await http.ask(f"{http.target.url}/metrics")
    if answer.status != 200 or "process_resident_memory_bytes" not in answer.text:
        return None
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            if sample.name == "process_resident_memory_bytes":
                return float(sample.value)
    return None
