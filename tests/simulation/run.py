"""One run: a world lives through its plan, and is judged by what publishers and clients saw."""

from __future__ import annotations

import logging
from asyncio import events
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import structlog

from constellation_ws.log import appender
from tests.chaos.ledger import Way
from tests.chaos.plan import Lane
from tests.chaos.report import sum_up
from tests.chaos.timeline import Timeline
from tests.chaos.verdict import Fault, Finding, Verdict, judge
from tests.simulation import plan
from tests.simulation.aftermath import Baseline, find_leftovers
from tests.simulation.determinism import determined
from tests.simulation.faults import FAULTS
from tests.simulation.faults.kinds import Blow
from tests.simulation.former import former_release
from tests.simulation.hosts import Host
from tests.simulation.partitions import draw_partitions
from tests.simulation.pods import virtual_ports
from tests.simulation.publishers import PACES
from tests.simulation.story import tell
from tests.simulation.tokens import CLOCK_FAULT, too_late
from tests.simulation.world import LISTENERS, PACKING, Size, World

_START_SECONDS = 30.0
_QUIET_SECONDS = 2.0
"""Events flow for so long after the last fault."""
_BACK_SECONDS = 40.0
"""By then everybody must be connected again, and receive."""
_ARRIVE_SECONDS = 10.0
"""By then an event has arrived, if nothing hinders it."""
_STEP_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be run."""

    seed: str
    seconds: float
    kind: str = plan.ALL
    blows: tuple[Blow, ...] | None = None
    """Instead of those that the seed draws."""
    is_small: bool = False
    """Whether few clients are enough, as for a fault that most of them see."""
    partitions: int | None = None
    """Of the log, instead of what the seed draws."""

    def drawn(self) -> list[Blow]:
        """Give the plan."""
        if self.blows is not None:
            return list(self.blows)
        return plan.draw(self.seed, self.seconds, FAULTS, self.kind)


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    seed: str
    blows: list[Blow]
    failures: list[str] = field(default_factory=list)
    """What is wrong, one line each; empty if nothing is."""
    story: str = ""
    """Told only where something is wrong."""
    virtual_seconds: float = 0.0
    delivered: int = 0
    fingerprint: str = ""
    """Of all that clients saw: the same seed gives the same."""


def run(task: Task) -> Outcome:
    """Run a world and judge it. The process should be used for nothing else."""
    chance = Random(f"{task.seed} size")
    size = Size(pods=chance.choice((2, 3, 3, 3, 4)), clients=chance.choice((8, 14, 22, 30)))
    if task.is_small:
        size = Size(pods=chance.choice((2, 3)), clients=8, rooms=2)
    settings: dict[str, object] = {PACKING: "off"}
    if chance.random() < 0.5:
        settings[PACKING] = "auto"
        appender._LEAST_PACKED = 1  # events seldom come together: else few entries are packed
    pace = chance.choice(PACES)
    outcome = Outcome(task.seed, task.drawn())
    has_clock_fault = any(blow.name == CLOCK_FAULT for blow in outcome.blows)
    has_tokens = chance.random() < 0.5 and not has_clock_fault
    announces = chance.random() < 0.5
    if chance.random() < 0.5:
        settings[LISTENERS] = chance.randrange(1, size.pods if size.pods < 4 else 3)
    partitions, begins_with = draw_partitions(task.seed, task.partitions)
    world = World(
        f"{task.seed} universe", size, settings, pace, has_tokens=has_tokens, announces=announces,
        partitions=partitions, begins_with=begins_with,
    )  # fmt: skip
    logging.getLogger("asyncio").disabled = True
    _log_to(world)
    with determined(world.universe), virtual_ports(), former_release():
        world.begin()
        _live(world, outcome, task.seconds)
    return outcome


def _log_to(world: World) -> None:
    """Let what gateways log become part of the story."""

    def keep(_: object, level: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        host = events._get_running_loop()
        words = " ".join(f"{name}={value}" for name, value in line.items() if name != "event")
        world.note(host.name if isinstance(host, Host) else "", f"{level}: {line['event']} {words}")
        raise structlog.DropEvent

    structlog.configure(
        processors=[keep],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )


def _live(world: World, outcome: Outcome, seconds: float) -> None:
    universe = world.universe
    universe.run(_START_SECONDS, world.are_pods_well)
    baseline = Baseline(world)
    for client in world.clients:
        world.crowd.call_later(universe.chance.uniform(0, 1), client.start)
    world.publishers.start()
    world.backend.start()
    lanes = _Lanes(world, outcome.blows)
    universe.run(seconds)
    universe.run(10 * _BACK_SECONDS, lambda: lanes.are_done)
    universe.run(_QUIET_SECONDS)
    world.publishers.is_stopped = world.backend.is_stopped = True
    world.is_restless = False
    away = _settle(world)
    verdicts = _judge(world)
    for client in world.clients:
        if late := too_late(client.overdue, world.ledger, world.timeline):
            world.troubles.append(f"{client.client.name} got after its token's end: {late[:5]}")
    world.troubles += find_leftovers(world, baseline)
    _sum_up(world, outcome, verdicts, away)


class _Lanes:
    """Strikes what the plan says, each lane in its order."""

    def __init__(self, world: World, blows: Sequence[Blow]) -> None:
        self._world = world
        self._running = 0
        began = world.universe.now
        for lane in Lane:
            mine = [blow for blow in blows if FAULTS[blow.name].lane is lane]
            if mine:
                self._running += 1
                self._go_on(self._steps(mine, began))

    @property
    def are_done(self) -> bool:
        return not self._running

    def _steps(self, blows: Sequence[Blow], began: float) -> Iterator[float]:
        for blow in blows:
            yield max(0.0, began + blow.at - self._world.universe.now)
            yield from FAULTS[blow.name].strike(self._world, blow)

    def _go_on(self, steps: Iterator[float]) -> None:
        try:
            seconds = next(steps)
        except StopIteration:
            self._running -= 1
        else:
            self._world.director.call_later(seconds, self._go_on, steps)


def _settle(world: World) -> list[str]:
    """Wait until all is as it was before; name the clients for which it is not."""
    universe, troubles = world.universe, world.troubles
    clients = [client for client in world.clients if not client.is_banned]
    waits = (
        (world.are_pods_well, "all pods are ready, one records, enough listen"),
        (lambda: all(client.is_settled for client in clients), "everybody is back"),
    )
    for is_done, name in waits:
        if not world.wait(_BACK_SECONDS, is_done, _STEP_SECONDS):
            troubles.append(f"not so {_BACK_SECONDS:g} s after the last fault: {name}")
    deadline = universe.now + _BACK_SECONDS
    # Once more for those whose sessions were just being closed: they have new ones, and miss it.
    while (lacking := _reach_all(world)) and universe.now < deadline:
        pass
    return lacking


def _reach_all(world: World) -> list[str]:
    """Send everybody an event by each way; name the clients that one has not reached."""
    wanted = [number for way in Way for number in _send_last(world, way)]
    world.universe.run(_ARRIVE_SECONDS, lambda: not _lacking(world, wanted))
    return _lacking(world, wanted)


def _lacking(world: World, numbers: Sequence[int]) -> list[str]:
    return [one.client.name for one in world.clients if not one.numbers.issuperset(numbers)]


def _send_last(world: World, way: Way) -> list[int]:
    """Send an event to everybody; give its number. Repeated until one is accepted."""
    universe, publishers = world.universe, world.publishers
    deadline = universe.now + _BACK_SECONDS
    while universe.now < deadline:
        parcel = next(iter(publishers.events.last(way)))
        if publishers.send(parcel):
            universe.run(1.0)
            if parcel.event.is_accepted:
                return [parcel.event.number]
        universe.run(_STEP_SECONDS)
    world.troubles.append(f"{way.value} does not work in the end")
    return []


def _judge(world: World) -> list[Verdict]:
    """Judge everybody, once nothing is missing or the time to report it is over."""
    deadline = world.timeline.deadline(world.universe.now_ms)
    world.ledger.doubt(world.timeline.cuts)
    world.doubt_traceless()
    world.doubt_unseen()
    world.publishers.doubt(world.doubted)
    while True:
        verdicts = [judge(world.ledger, one.story, world.timeline) for one in world.clients]
        is_missing = any(
            one.fault is Fault.MISSING for verdict in verdicts for one in verdict.findings
        )
        if not is_missing or world.universe.now_ms > deadline:
            return _excused(verdicts, world.timeline, world.passed_over_ms)
        world.universe.run(1.0)


def _excused(
    verdicts: Sequence[Verdict], timeline: Timeline, passed_over_ms: set[int]
) -> list[Verdict]:
    """Leave out new sessions that followed on a loss: they are how it is reported.

    Two faults that lose nothing may do so together, such as the death of a pod and a pause of the
    one that has all that the first had not recorded. That counts also where nobody who was to get
    it was connected just then.
    """
    lost_ms = passed_over_ms | {event.sent_ms for one in verdicts for event in one.lost}

    def is_report(finding: Finding) -> bool:
        return finding.fault is Fault.NEEDLESS and any(
            ms <= finding.ms <= timeline.deadline(ms) for ms in lost_ms
        )

    for verdict in verdicts:
        verdict.findings[:] = [one for one in verdict.findings if not is_report(one)]
    return list(verdicts)


def _sum_up(
    world: World, outcome: Outcome, verdicts: Sequence[Verdict], away: Sequence[str]
) -> None:
    for pod in world.pods:
        world.sample(pod)
    rows = sum_up(world.ledger, verdicts, world.timeline, world.counts, away)
    outcome.failures = [*world.troubles]
    for row in rows:
        named = ("missing", "doubled", "disordered", "stray", "needless", "unreported", "away")
        counts = [f"{getattr(row, name)} {name}" for name in named if getattr(row, name)]
        if counts:
            outcome.failures.append(f"after {row.world}: {', '.join(counts)}")
    outcome.virtual_seconds = world.universe.now_ms / 1000
    outcome.delivered = sum(row.delivered for row in rows)
    outcome.fingerprint = f"{hash(tuple(str(one.story) for one in world.clients)) & 0xFFFFFFFF:08x}"
    if outcome.failures:
        outcome.story = tell(world, outcome.failures, verdicts)
