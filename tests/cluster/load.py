"""Clients in the cluster, events for them, and the verdict on what they got.

The clients are real socket.io-client sockets in a pod, behind the release's Service. It leads each
connection to some pod: only those that begin with a WebSocket stay on one by themselves.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.chaos.clients import ORIGINAL, Client, Kind
from tests.chaos.crowd import NodeCrowd
from tests.chaos.deployment import now_ms
from tests.chaos.ledger import Event, Ledger, Outcome, Way
from tests.chaos.names import LOG_KEY
from tests.chaos.timeline import Timeline
from tests.chaos.verdict import Verdict, judge
from tests.cluster.manifests import URL, crowd_command
from tests.cluster.release import Release
from tests.cluster.valkey_shell import ValkeyShell, valkey_shell
from tests.waiting import eventually

CLIENTS = 40
EVENTS_PER_SECOND = 50
ON_WEBSOCKETS = [kind for kind in ORIGINAL if kind.transport == "websocket"]
BEGIN_POLLING = [kind for kind in ORIGINAL if kind.transport != "websocket"]
"""Those that upgrade, as socket.io-client does by default, and those that only poll."""
_ROOMS = [f"room-{n}" for n in range(8)]
_PATIENCE_SECONDS = 120.0
_TICK_SECONDS = 0.1
_SOME = 100
"""Events before and after what happens, that it happens between them."""
_SLACK_MS = 1_500
"""How far the clock of the crowd's node may be from that of this machine."""


@dataclass(frozen=True, slots=True)
class _Parcel:
    event: Event
    channel: str
    data: dict[str, Any]


class Load:
    """A crowd that has connected, and its publisher."""

    def __init__(self, crowd: NodeCrowd, clients: list[Client], valkey: ValkeyShell) -> None:
        self._crowd = crowd
        self._clients = clients
        self._valkey = valkey
        self._numbers = itertools.count(1)
        self._ledger = Ledger()
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

    async def verdicts(self) -> list[Verdict]:
        """Wait until everybody has the last events, and judge what each has got."""
        last = [self._to_everybody(next(self._numbers)) for _ in (Way.PUBLISH, Way.XADD)]
        await self._hand_over(last)
        numbers = [parcel.event.number for parcel in last]
        await eventually(lambda: self._all_have(numbers), _PATIENCE_SECONDS, "all have the last")
        await eventually(self._all_settled, _PATIENCE_SECONDS, "all are connected")
        stories = await self._crowd.stories()
        return [judge(self._ledger, story, Timeline(), _SLACK_MS) for story in stories]

    async def open(self) -> None:
        """Connect everybody, and wait until they are in their rooms."""
        for client in self._clients:
            self._crowd.open(client)
        await eventually(self._all_settled, _PATIENCE_SECONDS, "all are in their rooms")

    async def upgraded(self) -> int:
        """How many are on a WebSocket now."""
        return await self._crowd.upgraded()

    async def _publish(self, per_second: int) -> None:
        """Publish both ways at an even pace."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while self._is_publishing:
            numbers = itertools.islice(self._numbers, max(1, round(per_second * _TICK_SECONDS)))
            await self._hand_over([self._to_some(number) for number in numbers])
            due = max(due + max(_TICK_SECONDS, 1 / per_second), loop.time() - 1)
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _hand_over(self, parcels: Sequence[_Parcel]) -> None:
        """Hand events over in order: even numbers to Pub/Sub, odd ones to the log itself."""
        for parcel in parcels:
            parcel.event.sent_ms = now_ms()
        replies = await self._valkey.ask_all([_command(parcel) for parcel in parcels])
        for parcel, reply in zip(parcels, replies, strict=True):
            event = parcel.event
            # The entry's ID, or how many pods have received it; 0 leaves it open.
            event.outcome = Outcome.ACCEPTED if reply else Outcome.UNKNOWN
            event.settled_ms, event.answer = now_ms(), str(reply)

    def _to_some(self, number: int) -> _Parcel:
        """A message in a room, for a user who may be in it."""
        room, user = _ROOMS[number % len(_ROOMS)], self._clients[number % CLIENTS].user
        data = {"chatId": room, "recipientId": user, "timestamp": number, "text": "x" * 200}
        return self._entered(number, "chat:newMessage", data, [user], [room])

    def _to_everybody(self, number: int) -> _Parcel:
        users = [client.user for client in self._clients]
        data = {"userId": "x", "notifyUsers": users, "timestamp": number}
        return self._entered(number, "user:status", data, users, [])

    def _entered(
        self, number: int, channel: str, data: dict[str, Any], users: list[str], rooms: list[str]
    ) -> _Parcel:
        way = Way.XADD if number % 2 else Way.PUBLISH
        event = Event(number, way, frozenset(users), frozenset(rooms), way.value, number)
        self._ledger.enter(event)
        return _Parcel(event, channel, data)

    async def _has_accepted(self, more: int) -> None:
        wanted = self._accepted() + more
        await eventually(lambda: self._accepted() >= wanted, _PATIENCE_SECONDS, "events flow")

    def _accepted(self) -> int:
        return len(self._ledger.accepted())

    async def _all_have(self, numbers: list[int]) -> bool:
        return not await self._crowd.lacking(*numbers)

    async def _all_settled(self) -> bool:
        return await self._crowd.settled() == len(self._clients)


@asynccontextmanager
async def loaded(release: Release, kinds: Sequence[Kind] = ON_WEBSOCKETS) -> AsyncIterator[Load]:
    """A crowd in its rooms, behind the release's Service; nothing is published yet."""
    clients = [_client(number, kinds[number % len(kinds)]) for number in range(CLIENTS)]
    async with valkey_shell(release.namespace) as valkey, _crowd(release) as crowd:
        load = Load(crowd, clients, valkey)
        await load.open()
        yield load


def _client(number: int, kind: Kind) -> Client:
    rooms = (_ROOMS[number % len(_ROOMS)], _ROOMS[(number + 3) % len(_ROOMS)])
    address = URL.removesuffix("/chats")
    return Client(f"client-{number}", kind, f"user-{number}", rooms, address)


@asynccontextmanager
async def _crowd(release: Release) -> AsyncIterator[NodeCrowd]:
    async with release.namespace.talking_to(*crowd_command()) as process:
        yield NodeCrowd(process)


def _command(parcel: _Parcel) -> list[str]:
    data = json.dumps(parcel.data)
    if parcel.event.way is Way.XADD:
        return ["XADD", LOG_KEY, "*", "channel", parcel.channel, "data", data]
    return ["PUBLISH", parcel.channel, data]
