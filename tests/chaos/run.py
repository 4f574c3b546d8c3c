"""The story of one run: a crowd connects, disasters strike in their lanes, everybody is judged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random

from redis.exceptions import RedisError

from tests.chaos.crowd import Crowd, crowd
from tests.chaos.deployment import Deployment, now_ms
from tests.chaos.disasters import ALL
from tests.chaos.disasters.kinds import Blow, World
from tests.chaos.events import Events
from tests.chaos.ledger import Ledger
from tests.chaos.plan import UNTIL_OTHERS_ARE_DONE, Plan, Step
from tests.chaos.pods import Pods
from tests.chaos.population import GROUPS, SPARE_ROOMS, populate
from tests.chaos.publishing import Publishers
from tests.chaos.report import Row, stories, sum_up
from tests.chaos.timeline import FORMER, STARVED, Strike, Timeline
from tests.chaos.verdict import Fault, Verdict, judge
from tests.chaos.wire import wire
from tests.chaos.worlds import Leg
from tests.processes import HOST
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

_QUIET_SECONDS = 2.0
"""Events flow for so long after the last disaster."""
_AFTER_SECONDS = 1.0
"""Clients that are away come back so long after the last disaster."""
_BACK_SECONDS = 30.0
"""By then everybody must be connected again, and receive."""
_RESTLESS_SECONDS = 0.3
_BEAT_MS, _STARVED_MS = 100, 500
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came out of a run."""

    rows: list[Row]
    story: str
    starved_seconds: float
    """How long the machine was too busy for deadlines."""
    is_whole: bool
    """Whether all was as before in the end: another run may use the deployment."""


async def live(
    deployment: Deployment, leg: Leg, seed: str, first: int = 1, *, is_aftermath: bool = False
) -> Result:
    """Live through a leg and judge it; its events are numbered from `first`.

    In the aftermath of another leg the gateways may still have to report what that has cost.
    """
    former = Strike(FORMER, now_ms(), now_ms(), is_lossy=True)
    ledger, timeline, pods = Ledger(), Timeline([former] * is_aftermath), deployment.pods
    former_lines = set(pods.stray_lines())
    async with AsyncExitStack() as held:
        wires = {name: await held.enter_async_context(wire(deployment.port)) for name in GROUPS}
        ports = {None: deployment.port} | {name: one.port for name, one in wires.items()}
        population = populate(leg.size, ports, HOST)
        gathered = await held.enter_async_context(crowd(population.clients, now_ms))
        await eventually(gathered.settled, 4 * PATIENCE_SECONDS, "all are in their rooms")
        world = World(deployment.topology, pods, wires, timeline, now_ms, asyncio.Event())
        in_parts = leg.size.partitions > 1
        events = Events(ledger, population.audience, seed, first, in_parts=in_parts)
        topology = deployment.topology
        publishers = Publishers(events, ledger, topology, pods.tcp_port, now_ms)
        troubles: list[str] = []
        await held.enter_async_context(_watched(pods, timeline, troubles))
        await _under_load(world, leg, seed, publishers, gathered, troubles)
        away = await _all_back(world, publishers, gathered, ledger, troubles)
        verdicts = await _judged(gathered, ledger, timeline)
    troubles += [line for line in pods.stray_lines() if line not in former_lines]
    rows = sum_up(ledger, verdicts, timeline, pods.counts, away)
    rows[-1].troubles += troubles
    story = stories(ledger, verdicts, timeline)
    starved_seconds = timeline.starved_ms() / 1_000
    return Result(rows, story, starved_seconds, is_whole=not troubles and not away)


@asynccontextmanager
async def _watched(pods: Pods, timeline: Timeline, troubles: list[str]) -> AsyncIterator[None]:
    """Count what pods report as lost, and start again those that die by themselves."""
    loop = asyncio.get_running_loop()
    chores = [
        loop.create_task(pods.watch()),
        loop.create_task(pods.revive(troubles)),
        loop.create_task(_note_starvation(timeline)),
    ]
    try:
        yield
    finally:
        await cancelled(chores)


async def _note_starvation(timeline: Timeline) -> None:
    """Note when this process was not run for a while; on a busy machine nobody keeps a deadline."""
    before = now_ms()
    while True:
        await asyncio.sleep(_BEAT_MS / 1_000)
        after = now_ms()
        if after - before > _BEAT_MS + _STARVED_MS:
            timeline.begin(Strike(STARVED, before, after, is_lossy=True))
        before = after


async def _under_load(
    world: World,
    leg: Leg,
    seed: str,
    publishers: Publishers,
    gathered: Crowd,
    troubles: list[str],
) -> None:
    """Let the disasters strike while events flow; what goes wrong with that itself is a trouble."""
    async with asyncio.TaskGroup() as group:
        publishing = group.create_task(publishers.run(leg.size.per_second))
        restless = group.create_task(
            gathered.restless(SPARE_ROOMS, Random(f"{seed} restless"), _RESTLESS_SECONDS)
        )
        await _lanes(world, leg.plan, troubles)
        await asyncio.sleep(_QUIET_SECONDS)
        publishers.stop()
        await publishing
        restless.cancel()


async def _lanes(world: World, plan: Plan, troubles: list[str]) -> None:
    """Go through all lanes side by side; those that wait for the others end a moment later."""
    waiting = [
        steps
        for steps in plan.values()
        if any(step.seconds == UNTIL_OTHERS_ARE_DONE for step in steps)
    ]
    async with asyncio.TaskGroup() as group:
        for steps in waiting:
            group.create_task(_lane(world, steps, troubles))
        others = [steps for steps in plan.values() if steps not in waiting]
        await asyncio.gather(*(_lane(world, steps, troubles) for steps in others))
        await asyncio.sleep(_AFTER_SECONDS)
        world.others_done.set()


async def _lane(world: World, steps: Sequence[Step], troubles: list[str]) -> None:
    for step in steps:
        await asyncio.sleep(step.rest_seconds)
        disaster = ALL[step.name]
        blow = Blow(disaster, world, step.seconds, Random(step.seed))
        try:
            await disaster.strike(world, blow)
        except (AssertionError, RedisError, OSError) as error:
            troubles.append(f"{step.name}: {type(error).__name__}: {error}")


async def _all_back(
    world: World, publishers: Publishers, gathered: Crowd, ledger: Ledger, troubles: list[str]
) -> list[str]:
    """Wait until all is as it was before; name the clients for which it is not."""
    try:
        await eventually(world.pods.all_ready, _BACK_SECONDS, "all pods are ready, one records")
        await eventually(gathered.settled, _BACK_SECONDS, "everybody is back")
    except AssertionError as error:
        troubles.append(str(error))
    accepted = await publishers.last(_BACK_SECONDS)
    to_all = [number for number in accepted if not ledger.events[number].rooms]
    if len(to_all) < 3:  # one of each way
        troubles.append(f"only {len(to_all)} of 3 ways to publish work in the end")

    async def have_all() -> bool:
        return not await gathered.lacking(to_all) and await gathered.settled()

    try:
        await eventually(have_all, _BACK_SECONDS, "everybody has the last events")
    except AssertionError:
        return await gathered.lacking(to_all)
    return []


async def _judged(gathered: Crowd, ledger: Ledger, timeline: Timeline) -> list[Verdict]:
    """Judge everybody, once nothing is missing or the time to report it is over."""
    deadline = timeline.deadline(now_ms())
    ledger.doubt(timeline.cuts)
    while True:
        stories = await gathered.stories()
        verdicts = [judge(ledger, story, timeline) for story in stories]
        is_missing = any(
            one.fault is Fault.MISSING for verdict in verdicts for one in verdict.findings
        )
        if not is_missing or now_ms() > deadline:
            return verdicts
        await asyncio.sleep(_LOOK_SECONDS)
