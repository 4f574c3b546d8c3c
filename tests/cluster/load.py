"""Clients in the cluster, events for them, and the verdict on what they got.

The clients are real socket.io-client sockets on WebSockets, in a pod, behind the release's Service:
a Service keeps no polling client on one pod, and a proxy that does is not assumed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from service.redis_names import DEFAULT
from tests.chaos.crowd import Client, NodeCrowd
from tests.chaos.log_reader import Entry, is_recorded, number_in, sent_of
from tests.chaos.publishing import Addressed, Books, Way
from tests.chaos.verdict import Log, Verdict, judge
from tests.cluster.manifests import URL, crowd_command
from tests.cluster.release import Release
from tests.cluster.valkey_shell import ValkeyShell, valkey_shell
from tests.waiting import eventually

CLIENTS = 40
EVENTS_PER_SECOND = 50
_KINDS = ("asks for recovery, WebSocket", "unchanged, WebSocket")
_ROOMS = [f"room-{n}" for n in range(8)]
_PATIENCE_SECONDS = 120.0
_TICK_SECONDS = 0.1
_SOME = 100
"""Events before and after what happens, that it happens between them."""


@dataclass(frozen=True, slots=True)
class _Event:
    number: int
    channel: str
    data: dict[str, Any]


class Load:
    """A crowd that has connected, and its publisher."""

    def __init__(self, crowd: NodeCrowd, clients: list[Client], valkey: ValkeyShell) -> None:
        self._crowd = crowd
        self._clients = clients
        self._valkey = valkey
        self._numbers = itertools.count(1)
        self._books = Books()
        self._log: list[Entry] = []
        self._last_id = "0-0"
        self._is_publishing = False

    async def while_publishing(
        self, act: Callable[[], Awaitable[None]], per_second: int = EVENTS_PER_SECOND
    ) -> None:
        """Do something between events that were accepted and events that will be."""
        self._is_publishing = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish(per_second))
            await self._has_accepted(_SOME)
            await act()
            await self._has_accepted(_SOME)
            self._is_publishing = False
        await eventually(self._all_is_recorded, _PATIENCE_SECONDS, "all accepted ones are logged")

    async def verdicts(self) -> list[Verdict]:
        """Wait until everybody has a last event, and judge what each has got."""
        last = next(self._numbers)
        await self._hand_over([self._to_everybody(last)])
        await eventually(lambda: self._all_have(last), _PATIENCE_SECONDS, "all have the last event")
        await eventually(self._all_settled, _PATIENCE_SECONDS, "all are connected")
        await self._read_log()
        logged = {number for _, number in self._log}
        for way, numbers in self._books.accepted.items():
            assert set(numbers) <= logged, f"{way.value}: accepted, and not in the log"
        log = Log(sent_of(self._log, self._books))
        return [judge(log, story) for story in await self._crowd.stories()]

    async def open(self) -> None:
        """Connect everybody, and wait until they are in their rooms."""
        self._last_id = await self._newest_id()
        for client in self._clients:
            self._crowd.open(client)
        await eventually(self._all_settled, _PATIENCE_SECONDS, "all are in their rooms")

    async def _publish(self, per_second: int) -> None:
        """Publish both ways at an even pace, and follow the log: it forgets within minutes."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while self._is_publishing:
            numbers = itertools.islice(self._numbers, max(1, round(per_second * _TICK_SECONDS)))
            await self._hand_over([self._to_some(number) for number in numbers])
            await self._read_log()
            due = max(due + max(_TICK_SECONDS, 1 / per_second), loop.time() - 1)
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _hand_over(self, events: Sequence[_Event]) -> None:
        """Hand events over in order: even numbers to Pub/Sub, odd ones to the log itself."""
        replies = await self._valkey.ask_all([_command(event) for event in events])
        for event, reply in zip(events, replies, strict=True):
            if reply:  # the entry's ID, or how many pods have heard it
                self._books.accepted[_way(event)].append(event.number)

    def _to_some(self, number: int) -> _Event:
        """A message in a room, for a user who may be in it."""
        room, user = _ROOMS[number % len(_ROOMS)], self._clients[number % CLIENTS].user
        self._books.audience[number] = Addressed(frozenset([user]), frozenset([room]))
        data = {"chatId": room, "recipientId": user, "timestamp": number, "text": "x" * 200}
        return _Event(number, "chat:newMessage", data)

    def _to_everybody(self, number: int) -> _Event:
        users = [client.user for client in self._clients]
        self._books.audience[number] = Addressed(frozenset(users), frozenset())
        data = {"userId": "x", "notifyUsers": users, "timestamp": number}
        return _Event(number, "user:status", data)

    async def _newest_id(self) -> str:
        newest = await self._valkey.ask("XREVRANGE", DEFAULT.log, "+", "-", "COUNT", "1")
        return str(newest[0][0]) if newest else "0-0"

    async def _read_log(self) -> None:
        for log_id, fields in await self._valkey.ask(
            "XRANGE", DEFAULT.log, f"({self._last_id}", "+"
        ):
            self._last_id = log_id
            data = dict(zip(fields[::2], fields[1::2], strict=True))["data"]
            number = number_in(data.encode())
            if number:
                self._log.append((int(log_id.partition("-")[0]), number))

    async def _has_accepted(self, more: int) -> None:
        wanted = self._accepted() + more
        await eventually(lambda: self._accepted() >= wanted, _PATIENCE_SECONDS, "events flow")

    def _accepted(self) -> int:
        return sum(map(len, self._books.accepted.values()))

    async def _all_is_recorded(self) -> bool:
        await self._read_log()
        return is_recorded(self._log, self._books)

    async def _all_have(self, number: int) -> bool:
        return not await self._crowd.lacking(number)

    async def _all_settled(self) -> bool:
        return await self._crowd.settled() == len(self._clients)


@asynccontextmanager
async def loaded(release: Release) -> AsyncIterator[Load]:
    """A crowd in its rooms, behind the release's Service; nothing is published yet."""
    clients = [_client(number) for number in range(CLIENTS)]
    async with valkey_shell(release.namespace) as valkey, _crowd(release) as crowd:
        load = Load(crowd, clients, valkey)
        await load.open()
        yield load


def _client(number: int) -> Client:
    rooms = (_ROOMS[number % len(_ROOMS)], _ROOMS[(number + 3) % len(_ROOMS)])
    return Client(f"client-{number}", _KINDS[number % 2], f"user-{number}", rooms, URL)


@asynccontextmanager
async def _crowd(release: Release) -> AsyncIterator[NodeCrowd]:
    async with release.namespace.talking_to(*crowd_command()) as process:
        yield NodeCrowd(process)


def _way(event: _Event) -> Way:
    return Way.XADD if event.number % 2 else Way.PUBLISH


def _command(event: _Event) -> list[str]:
    data = json.dumps(event.data)
    if _way(event) is Way.XADD:
        return ["XADD", DEFAULT.log, "*", "channel", event.channel, "data", data]
    return ["PUBLISH", event.channel, data]
