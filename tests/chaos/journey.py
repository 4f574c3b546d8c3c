"""The story of one run: a world, a crowd in it, disasters one after the other, the verdict."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.balancer import balancer
from tests.chaos.crowd import KINDS, STRICT, Client, NodeCrowd, StrictClient, node_crowd
from tests.chaos.log_reader import is_recorded, log_reader, sent_of
from tests.chaos.publishing import Books, Publishers
from tests.chaos.report import Report, sum_up
from tests.chaos.verdict import Log, judge
from tests.chaos.wire import Wire, wire
from tests.processes import HOST, Gateway, gateway_environment, unused_port
from tests.valkeys import LastingValkey, lasting_valkey
from tests.waiting import PATIENCE_SECONDS, eventually

SLOTS = 3
ROOMS = 20
ROOMS_PER_CLIENT = 2
# Of a hundred: most clients of today are unchanged ones on a WebSocket.
SHARES = (40, 40, 14, 6)
PING_INTERVAL_SECONDS, PING_TIMEOUT_SECONDS = 3, 2
SETTINGS = {
    "CONSTELLATION_DRAIN_DELAY_SECONDS": 0.7,
    "CONSTELLATION_DRAIN_WINDOW_SECONDS": 2,
    "CONSTELLATION_PING_INTERVAL_SECONDS": PING_INTERVAL_SECONDS,
    "CONSTELLATION_PING_TIMEOUT_SECONDS": PING_TIMEOUT_SECONDS,
    "CONSTELLATION_RECOVERY_WINDOW_SECONDS": 60,
    "CONSTELLATION_LOG_LEVEL": "debug",
}


@dataclass(frozen=True, slots=True)
class Size:
    """How large a run is."""

    clients: int
    strict_clients: int
    events_per_second: float
    rest_events: int
    """Published between two disasters."""


def now_ms() -> int:
    """The wall clock, as Node.js and Redis read it."""
    return time.time_ns() // 1_000_000


class Slots:
    """The places of the gateways behind the load balancer; each has two ports, used in turn."""

    def __init__(self, folder: Path, redis_url: str, settings: dict[str, object]) -> None:
        self._folder = folder
        self._redis_url = redis_url
        self._settings = settings
        self._numbers = itertools.count(1)
        self._ports = [(unused_port(), unused_port()) for _ in range(SLOTS)]
        self._used = [0] * SLOTS
        self.pods: list[Gateway] = []
        self.all_pods: list[Gateway] = []

    @property
    def ports(self) -> list[int]:
        return [port for pair in self._ports for port in pair]

    def tcp_port(self) -> int:
        """The TCP port of a pod that runs and is not being replaced."""
        return next(pod.tcp_port for pod in self.pods if pod.exit_code is None)

    async def start(self) -> None:
        """Start one gateway in each slot."""
        self.pods = [self._launch(slot) for slot in range(SLOTS)]
        for pod in self.pods:
            await pod.ready()

    async def roll(self, slot: int) -> None:
        """Replace a pod as Kubernetes does: the new one is ready, then the old one gets SIGTERM."""
        old = await self._replace(slot)
        old.signal(signal.SIGTERM)
        assert await old.exited() == 0
        assert old.stray_lines() == []

    async def kill(self, slot: int) -> None:
        """SIGKILL, then a new pod: a crash is not announced."""
        await self.pods[slot].kill()
        await self._replace(slot)

    async def recorder(self) -> int:
        """Find the slot whose pod records."""

        async def find() -> int:
            for slot, pod in enumerate(self.pods):
                if await pod.metric("constellation_recorder"):
                    return slot + 1
            return 0

        return await eventually(find, PATIENCE_SECONDS, "somebody records") - 1

    async def all_miss_redis(self) -> bool:
        """Tell whether every pod knows that Redis is away."""
        return not any([await pod.metric("constellation_redis_up") for pod in self.pods])

    async def stop(self) -> None:
        for pod in self.all_pods:
            await pod.kill()

    async def _replace(self, slot: int) -> Gateway:
        new = self._launch(slot)
        await new.ready()
        old, self.pods[slot] = self.pods[slot], new
        return old

    def _launch(self, slot: int) -> Gateway:
        self._used[slot] += 1
        port = self._ports[slot][self._used[slot] % 2]
        environment = gateway_environment(self._redis_url, WS_PORT=port, **self._settings)
        pod = Gateway(self._folder / f"pod-{next(self._numbers)}.log", environment)
        self.all_pods.append(pod)
        return pod


@dataclass(slots=True)
class World:
    """Everything that a disaster can strike."""

    valkey: LastingValkey
    slots: Slots
    wire: Wire
    timeline: list[tuple[int, str]] = field(default_factory=list)

    def note(self, what: str) -> None:
        self.timeline.append((now_ms(), what))


Disaster = Callable[[World], Awaitable[None]]


async def roll_all(world: World) -> None:
    """Every pod is replaced, one after the other."""
    for slot in range(SLOTS):
        world.note(f"roll {slot}")
        await world.slots.roll(slot)


async def kill_one(world: World) -> None:
    """A pod that does not record dies."""
    recorder = await world.slots.recorder()
    world.note("SIGKILL")
    await world.slots.kill((recorder + 1) % SLOTS)


async def kill_recorder(world: World) -> None:
    """The pod that records dies."""
    recorder = await world.slots.recorder()
    world.note("SIGKILL recorder")
    await world.slots.kill(recorder)


async def reset_links(world: World) -> None:
    """The links of a third of the clients are reset."""
    world.note("reset links")
    world.wire.reset()


async def silence_links(world: World) -> None:
    """The links of a third of the clients go dead without a word."""
    world.note("silence links")
    world.wire.go_silent()
    # Time itself is what happens here: until both sides have missed a heartbeat, and a little more.
    await asyncio.sleep(PING_INTERVAL_SECONDS + PING_TIMEOUT_SECONDS + 1)


async def restart_redis(world: World) -> None:
    """Redis stops, and comes back with its data."""
    world.note("restart redis")
    world.valkey.stop()
    await eventually(world.slots.all_miss_redis, PATIENCE_SECONDS, "every pod has noticed")
    world.valkey.start()
    world.note("redis is back")


DISASTERS: tuple[Disaster, ...] = (
    roll_all, reset_links, kill_recorder, silence_links, restart_redis, kill_one, roll_all,
)  # fmt: skip


async def run(folder: Path, size: Size, disasters: Sequence[Disaster] = DISASTERS) -> Report:
    """Live through one run and judge it."""
    async with AsyncExitStack() as held:
        valkey = held.enter_context(lasting_valkey(_subfolder(folder, "valkey")))
        slots = Slots(folder, valkey.url, dict(SETTINGS))
        held.push_async_callback(slots.stop)
        await slots.start()
        port = await held.enter_async_context(balancer(folder, slots.ports))
        frail = await held.enter_async_context(wire(port))
        world = World(valkey, slots, frail)
        crowd = await held.enter_async_context(node_crowd())
        clients, strict = _crowd(size, port, frail.port)
        log = await held.enter_async_context(log_reader(valkey.url))
        for client in clients:
            crowd.open(client)
        strict_clients = [StrictClient(client, now_ms) for client in strict]
        await asyncio.gather(*(client.begin() for client in strict_clients))
        held.push_async_callback(_disconnect, strict_clients)
        await eventually(
            lambda: _all_settled(crowd, strict_clients, len(clients)),
            2 * PATIENCE_SECONDS,
            "all are in their rooms",
        )
        users = [client.user for client in (*clients, *strict)]
        publishers = Publishers(valkey.url, slots.tcp_port, users, _rooms(), now_ms)
        async with asyncio.TaskGroup() as group:
            publishing = group.create_task(publishers.run(size.events_per_second))
            world.note("quiet")
            await _rest(publishers.books, size.rest_events)
            for disaster in disasters:
                await disaster(world)
                await _rest(publishers.books, size.rest_events)
            publishers.stop()
            await publishing
        await eventually(
            lambda: is_recorded(log, publishers.books), PATIENCE_SECONDS, "all is recorded"
        )
        last = await publishers.to_everybody()
        lacking = await _wait_for_last(crowd, strict_clients, last)
        stories = [*await crowd.stories(), *(client.story for client in strict_clients)]
    truth = Log(sent_of(log, publishers.books))
    verdicts = [judge(truth, story) for story in stories]
    return sum_up(truth, publishers.books, verdicts, world.timeline, lacking)


async def _rest(books: Books, events: int) -> None:
    """Let so many events be accepted while nothing is broken."""
    enough = books.accepted_count + events
    await eventually(
        lambda: books.accepted_count >= enough, 2 * PATIENCE_SECONDS, "events are accepted"
    )


def _subfolder(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    return path


def _rooms() -> list[str]:
    return [f"room-{n}" for n in range(ROOMS)]


def _crowd(size: Size, port: int, frail_port: int) -> tuple[list[Client], list[Client]]:
    """Name the clients; every third hangs on the frail wire."""
    kinds = [kind for kind, share in zip(KINDS, SHARES, strict=True) for _ in range(share)]
    rooms = _rooms()

    def client(n: int, kind: str) -> Client:
        url = f"http://{HOST}:{frail_port if n % 3 == 0 else port}"
        mine = tuple(rooms[(n * 7 + k * 3) % ROOMS] for k in range(ROOMS_PER_CLIENT))
        at = url if kind == STRICT else f"{url}/chats"
        return Client(f"client-{n}", kind, f"user-{n}", mine, at)

    plain = [client(n, kinds[n * 37 % 100]) for n in range(size.clients)]
    strict = [client(size.clients + n, STRICT) for n in range(size.strict_clients)]
    return plain, strict


async def _all_settled(crowd: NodeCrowd, strict: Sequence[StrictClient], count: int) -> bool:
    return await crowd.settled() == count and all(client.is_settled for client in strict)


async def _wait_for_last(
    crowd: NodeCrowd, strict: Sequence[StrictClient], number: int
) -> list[str]:
    """Wait until everybody has the last event; name those that never get it."""

    async def all_have_it() -> bool:
        return not await crowd.lacking(number) and all(client.has(number) for client in strict)

    try:
        await eventually(all_have_it, PATIENCE_SECONDS, "everybody has the last event")
    except AssertionError:
        return [*await crowd.lacking(number), *(c.story.name for c in strict if not c.has(number))]
    return []


async def _disconnect(clients: Sequence[StrictClient]) -> None:
    for client in clients:
        await client.leave()
