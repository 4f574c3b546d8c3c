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

from tests.chaos.clients import ORIGINAL, Client
from tests.chaos.crowd import NodeCrowd, node_crowd
from tests.chaos.deployment import now_ms
from tests.chaos.events import Audience, Events
from tests.chaos.ledger import Ledger, Way
from tests.chaos.publishing import Publishers
from tests.chaos.timeline import Timeline
from tests.chaos.topologies import OnePort
from tests.chaos.verdict import judge
from tests.chart.rendering import Object, recipes, render_values
from tests.journey.rollout import Rollout, read_pod_spec
from tests.processes import HOST, running_valkey
from tests.proxies import Proxy
from tests.proxies.envoy import envoy
from tests.proxies.nginx import nginx
from tests.waiting import eventually

REPLICAS = 3
CLIENTS_OF_A_KIND = 6
EVENTS_PER_SECOND = {Way.PUBLISH: 40.0, Way.XADD: 40.0, Way.TCP: 40.0}
ROOMS = [f"room-{n}" for n in range(6)]
SHORT_DRAIN: Object = {"drain": {"preStopSeconds": 1, "delaySeconds": 0, "windowSeconds": 2}}


@dataclass(frozen=True, slots=True)
class World:
    """What runs while the pods are replaced."""

    rollout: Rollout
    crowd: NodeCrowd
    clients: list[Client]
    publishers: Publishers
    ledger: Ledger


async def test_nobody_and_nothing_is_lost_while_every_pod_is_replaced(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await under_load(here, here.rollout.roll)
        last = await here.publishers.last(30)
        to_all = [number for number in last if not here.ledger.events[number].rooms]
        assert len(to_all) == len(Way)
        await eventually(partial(all_have, here.crowd, to_all), 30, "all have the last events")
        await eventually(partial(all_settled, here.crowd, len(here.clients)), 30, "all are there")
        await eventually(partial(nothing_is_missing, here), 30, "nothing is missing")
        verdicts = [judge(here.ledger, one, Timeline()) for one in await here.crowd.stories()]

    assert {one.story.kind for one in verdicts} == {kind.label for kind in ORIGINAL}
    for one in verdicts:
        assert one.is_clean, one.findings
        # Each was on a pod that is gone, and resumed its session on another one.
        assert one.recovered_ms, one.story
        assert one.new_sessions_ms == [], one.story


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """Three pods behind NGINX and Envoy, and clients of every kind behind each, in their rooms."""
    by_ingress, by_route = (rendered(name) for name in ("nginx", "envoy-gateway"))
    spec = read_pod_spec(by_ingress)
    assert spec == read_pod_spec(by_route)
    async with AsyncExitStack() as held:
        valkey = held.enter_context(running_valkey())
        redis_url = valkey.url
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
        ledger = Ledger()
        events = Events(ledger, Audience(users, [], [], ROOMS, []), "a rolling update", 1)
        redis = OnePort(valkey.port)
        publishers = Publishers(events, ledger, redis, rollout.tcp_port, now_ms)
        yield World(rollout, crowd, clients, publishers, ledger)


def rendered(stickiness: str) -> list[Object]:
    """What the chart makes of the documentation's recipe for an ingress, with a short drain."""
    (recipe,) = (one for one in recipes() if one.get("stickiness") == stickiness)
    return render_values(recipe | SHORT_DRAIN)


def clients_of(proxy: Proxy) -> Iterator[Client]:
    """Name the clients behind a proxy: each kind, each in two rooms."""
    url = f"http://{HOST}:{proxy.port}"
    for number, kind in enumerate(ORIGINAL * CLIENTS_OF_A_KIND):
        rooms = (ROOMS[number % len(ROOMS)], ROOMS[(number + 1) % len(ROOMS)])
        yield Client(f"{proxy.port}-{number}", kind, f"user-{proxy.port}-{number}", rooms, url)


async def under_load(here: World, act: Callable[[], Awaitable[None]]) -> None:
    """Act between events that have been accepted and events that will be."""

    def accepted() -> int:
        return len(here.ledger.accepted())

    async with asyncio.TaskGroup() as group:
        group.create_task(here.publishers.run(EVENTS_PER_SECOND))
        await eventually(lambda: accepted() > 100, 30, "events flow")
        await act()
        after = accepted() + 100
        await eventually(lambda: accepted() > after, 30, "events flow on")
        here.publishers.stop()


async def all_settled(crowd: NodeCrowd, count: int) -> bool:
    return await crowd.settled() == count


async def all_have(crowd: NodeCrowd, numbers: list[int]) -> bool:
    return not await crowd.lacking(*numbers)


async def nothing_is_missing(here: World) -> bool:
    stories = await here.crowd.stories()
    return all(judge(here.ledger, one, Timeline()).is_clean for one in stories)
