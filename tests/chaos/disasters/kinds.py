"""What a disaster is, what it strikes, and how it is put down in the timeline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any

from tests.chaos.plan import UNTIL_OTHERS_ARE_DONE, Lane, Span
from tests.chaos.pods import Pods
from tests.chaos.timeline import Strike, Timeline
from tests.chaos.wire import Wire

INSTANT = Span(0, 0)


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a disaster can strike."""

    topology: Any
    """One of `topologies`; a disaster says by its `topologies` which it needs."""
    pods: Pods
    wires: Mapping[str, Wire]
    """To the clients of each group."""
    timeline: Timeline
    now_ms: Callable[[], int]
    others_done: asyncio.Event
    """Set when every lane has come to its end, those aside that wait for it."""


@dataclass(slots=True)
class Blow:
    """One time that a disaster strikes. `with blow:` is the time in which it is in force."""

    disaster: Disaster
    world: World
    seconds: float
    chance: Random
    _strike: Strike | None = None

    async def wait(self) -> None:
        """Wait for as long as it lasts."""
        if self.seconds == UNTIL_OTHERS_ARE_DONE:
            await self.world.others_done.wait()
        else:
            await asyncio.sleep(self.seconds)

    @contextmanager
    def cutting(self) -> Iterator[None]:
        """Put down that links on which Redis publishes are cut within."""
        start_ms = self.world.now_ms()
        try:
            yield
        finally:
            self.world.timeline.cuts.append((start_ms, self.world.now_ms()))

    def __enter__(self) -> None:
        one, now_ms = self.disaster, self.world.now_ms()
        self._strike = self.world.timeline.begin(
            Strike(one.name, now_ms, None, one.is_lossy, one.group, one.delays)
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._strike is not None, "entered"
        self._strike.end_ms = self.world.now_ms()


@dataclass(frozen=True, slots=True)
class Disaster:
    """One thing that goes wrong."""

    name: str
    lane: Lane
    strike: Callable[[World, Blow], Awaitable[None]]
    span: Span = INSTANT
    """How long it lasts in a long run, where that is for the plan to say."""
    short_seconds: float = 0
    """How long it lasts in a short one: enough for what it has broken before."""
    short_pods: int | None = None
    """How many gateways there are then, where the usual number would hide what is lost."""
    followed_by: str | None = None
    """What strikes after it in a short one, where it does no harm by itself."""
    is_lossy: bool = True
    """Whether a loss that is reported is allowed, and a session that cannot be resumed."""
    group: str | None = None
    """The clients that it strikes; None where it strikes everybody."""
    delays: bool = False
    """Whether events may be late, though none is lost: as while a dead recorder holds its lease."""
    topologies: tuple[str, ...] = ("single",)


async def a_recorder(world: World, chance: Random) -> int:
    """Find the place of the recorder, or of any pod where nobody records."""
    recorders = await world.pods.recorders()
    return recorders[0] if recorders else chance.randrange(len(world.pods.pods))
