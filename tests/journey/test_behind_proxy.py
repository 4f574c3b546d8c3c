"""A rolling update behind real ingresses, under load: no client is lost, and no event.

The pods have the environment that the chart renders, the proxies are set up as its recipes say,
and Kubernetes' part is played by `rollout`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.chaos.crowd import KINDS, Client, NodeCrowd, node_crowd
from tests.chaos.journey import now_ms
from tests.chaos.log_reader import Entry, is_recorded, log_reader, sent_of
from tests.chaos.publishing import Publishers
from tests.chaos.verdict import Log, judge
from tests.chart.rendering import Object, recipes, render_values
from tests.journey.rollout import Rollout, read_pod_spec
from tests.processes import HOST, running_valkey
from tests.proxies import Proxy
from tests.proxies.envoy import envoy
from tests.proxies.nginx import nginx
from tests.waiting import eventually

REPLICAS = 3
CLIENTS_OF_A_KIND = 6
EVENTS_PER_SECOND = 120
ROOMS = [f"room-{n}" for n in range(6)]
SHORT_DRAIN: Object = {"drain": {"preStopSeconds": 1, "delaySeconds": 0, "windowSeconds": 2}}


@dataclass(frozen=True, slots=True)
class World:
    """What runs while the pods are replaced."""

    rollout: Rollout
    crowd: NodeCrowd
    clients: list[Client]
    publishers: Publishers
    log: list[Entry]


async def test_nobody_and_nothing_is_lost_while_every_pod_is_replaced(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await under_load(here, here.rollout.roll)
        await eventually(partial(is_recorded, here.log, here.publishers.books), 30, "all is logged")
        last = await here.publishers.to_everybody()
        await eventually(partial(all_have, here.crowd, last), 30, "everybody has the last event")
        await eventually(partial(all_settled, here.crowd, len(here.clients)), 30, "all are there")
        log = Log(sent_of(here.log, here.publishers.books))
        verdicts = [judge(log, story) for story in await here.crowd.stories()]

    assert {one.kind for one in verdicts} == KINDS.keys()
    for one in verdicts:
        assert one.is_clean, one
        # Each was on a pod that is gone, came back, and was never told to start anew.
        assert one.recovered >= 1, one
        assert one.told_ms == [], one


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """Three pods behind NGINX and Envoy, and clients of every kind behind each, in their rooms."""
    by_ingress, by_route = (rendered(name) for name in ("nginx", "envoy-gateway"))
    spec = read_pod_spec(by_ingress)
    assert spec == read_pod_spec(by_route)
    async with AsyncExitStack() as held:
        redis_url = held.enter_context(running_valkey()).url
        proxies = [
            held.enter_context(nginx(folder / "nginx", by_ingress)),
            held.enter_context(envoy(folder / "envoy", by_route)),
        ]
        rollout = Rollout(folder, spec, redis_url, proxies)
        held.push_async_callback(rollout.stop)
        await rollout.start(REPLICAS)
        crowd = await held.enter_async_context(node_crowd())
        clients = [client for proxy in proxies for client in clients_of(proxy)]
        for client in clients:
            crowd.open(client)
        await eventually(partial(all_settled, crowd, len(clients)), 60, "all are in their rooms")
        users = [client.user for client in clients]
        publishers = Publishers(redis_url, rollout.tcp_port, users, ROOMS, now_ms)
        log = await held.enter_async_context(log_reader(redis_url))
        yield World(rollout, crowd, clients, publishers, log)


def rendered(stickiness: str) -> list[Object]:
    """What the chart makes of the documentation's recipe for an ingress, with a short drain."""
    (recipe,) = (one for one in recipes() if one.get("stickiness") == stickiness)
    return render_values(recipe | SHORT_DRAIN)


def clients_of(proxy: Proxy) -> Iterator[Client]:
    """Name the clients behind a proxy: each kind, each in two rooms."""
    url = f"http://{HOST}:{proxy.port}/chats"
    for number, kind in enumerate(list(KINDS) * CLIENTS_OF_A_KIND):
        rooms = (ROOMS[number % len(ROOMS)], ROOMS[(number + 1) % len(ROOMS)])
        yield Client(f"{proxy.port}-{number}", kind, f"user-{proxy.port}-{number}", rooms, url)


async def under_load(here: World, act: Callable[[], Awaitable[None]]) -> None:
    """Act between events that have been accepted and events that will be."""

    def accepted() -> int:
        return sum(map(len, here.publishers.books.accepted.values()))

    async with asyncio.TaskGroup() as group:
        group.create_task(here.publishers.run(EVENTS_PER_SECOND))
        await eventually(lambda: accepted() > 100, 30, "events flow")
        await act()
        after = accepted() + 100
        await eventually(lambda: accepted() > after, 30, "events flow on")
        here.publishers.stop()


async def all_settled(crowd: NodeCrowd, count: int) -> bool:
    return await crowd.settled() == count


async def all_have(crowd: NodeCrowd, number: int) -> bool:
    return not await crowd.lacking(number)
