"""Questions to all pods of the deployment, with a deadline, and what is made of the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec
from msgspec import Raw

from constellation_ws.chats.presence import PresenceUnavailable
from constellation_ws.console import questions
from constellation_ws.console.questions import Query
from constellation_ws.redis_io.asking import Reported
from constellation_ws.redis_io.link import RedisUnavailable
from constellation_ws.services.refusals import RequestRefused

_MAX_ASKING = 4
"""Questions at a time; others wait. Each keeps every pod busy for up to some milliseconds."""

_LIVING_SECONDS = 1.0
"""How long the list of pods is used: an open page asks several questions a second, and Redis would
be asked for it before each. A pod that has just started answers whether it is listed or not."""

Report = TypeVar("Report", bound=msgspec.Struct)


class AskAll(Protocol):
    """Asks every pod; gives the answers, and the pods that gave none in time."""

    async def __call__(
        self, query: Raw, pods: Collection[str]
    ) -> tuple[Sequence[Reported], Sequence[str]]:
        """Raises RedisUnavailable."""


class Asked(msgspec.Struct, Generic[Report], frozen=True):
    """What the pods have answered."""

    reports: list[tuple[str, Report]]
    """By pod, in the order of their instances."""
    silent: list[str]
    """Pods that live and did not answer in time, or whose console is off."""


class Cluster:
    """All pods."""

    def __init__(self, ask: AskAll, pods: Callable[[], Awaitable[Collection[str]]]) -> None:
        """`pods` names those that live. Raises PresenceUnavailable."""
        self._ask = ask
        self._pods = pods
        self._living: Collection[str] = ()
        self._listed_at = -_LIVING_SECONDS
        self._asking = asyncio.Semaphore(_MAX_ASKING)

    async def ask(self, query: Query, kind: type[Report]) -> Asked[Report]:
        """Ask a question whose answers are of this kind. Raises RequestRefused."""
        async with self._asking:
            try:
                pods = await self._list_pods()
                answers, silent = await self._ask(Raw(questions.encode(query)), pods)
            except (RedisUnavailable, PresenceUnavailable) as error:
                raise RequestRefused("unavailable", str(error)) from error
        reports, off = list[tuple[str, Report]](), set(silent)
        for one in answers:
            try:
                reports.append((one.pod, msgspec.json.decode(one.report, type=kind)))
            except msgspec.DecodeError:
                off.add(one.pod)  # `null`, or of a release whose answer was another
        return Asked(sorted(reports, key=lambda one: one[0]), sorted(off))

    async def _list_pods(self) -> Collection[str]:
        if time.monotonic() - self._listed_at >= _LIVING_SECONDS:
            self._living, self._listed_at = await self._pods(), time.monotonic()
        return self._living
