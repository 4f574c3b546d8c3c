"""One crowd behind one proxy: it connects while events flow, stays, and is judged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from tests.chaos.crowd import NodeCrowd, Record, node_crowd
from tests.chaos.deployment import now_ms
from tests.chaos.ledger import Ledger
from tests.ingress.clients import RELEASES_FOLDER, Company
from tests.ingress.flow import Flow, flowing
from tests.ingress.verdict import Bounds, Report, report
from tests.processes import Gateway
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

PEER_SETTINGS = {"CONSTELLATION_PEER_PORT": "0", "CONSTELLATION_PEER_ADDRESS": "127.0.0.1"}
"""Pods of one machine: each finds a free port for the others."""
_ENDING_SECONDS = 1.0
"""For the last events, where the verdict is clear already."""

Act = Callable[[], Awaitable[None]]


async def _nothing(flow: Flow) -> None:
    pass


async def trial(
    company: Company,
    redis_port: int,
    per_second: float,
    *,
    beside: Callable[[Flow], Coroutine[Any, Any, None]] = _nothing,
    disturb: Sequence[Act] = (),
    upgrade_seconds: float = float("inf"),
    seconds_afterwards: float = 3,
    patience: float = PATIENCE_SECONDS,
    keep: Path | None = None,
) -> Report:
    """Let a crowd live behind its proxy. What does not come in time is a fault, not an error.

    `beside` goes on from before the first handshake until the last event. `disturb` is done one
    after the other, each when all are connected. Events flow on for so many seconds after all are
    where they should be. All that was sent and seen is written into the folder `keep`.
    """
    async with (
        flowing(redis_port, company.users, company.rooms, per_second) as flow,
        node_crowd(RELEASES_FOLDER) as crowd,
    ):
        async with _going_on(beside(flow)):
            for member in company.members:
                crowd.open_with(member.client, member.options, member.release)
            is_well = await in_time(lambda: _all_upgraded(crowd, company), patience)
            await flow.goes_on(round(seconds_afterwards * per_second))
            disturbed_ms = now_ms() if disturb else float("inf")
            for act in disturb if is_well else ():
                await act()
                is_well = await in_time(lambda: _all_connected(crowd, company), patience)
        await _rest(crowd, company, flow, patience if is_well else _ENDING_SECONDS)
        bounds = Bounds(disturbed_ms, upgrade_seconds)
        records = await crowd.records()
        if keep is not None:
            _write(keep, flow.ledger, records)
        return report(flow.ledger, records, bounds)


def _write(folder: Path, ledger: Ledger, records: Sequence[Record]) -> None:
    for name, things in (("events", ledger.events.values()), ("clients", records)):
        lines = (json.dumps(asdict(thing), default=_plain) for thing in things)
        (folder / f"{name}.jsonl").write_text("\n".join(lines), "utf-8")


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else sorted(value)  # type: ignore[call-overload]


async def metric(pods: Iterable[Gateway], name: str, **labels: str) -> float:
    """Sum up a metric over all pods."""
    return sum([await pod.metric(name, **labels) for pod in pods])


async def _rest(crowd: NodeCrowd, company: Company, flow: Flow, patience: float) -> None:
    """Wait until everybody has the last event, and with it all before."""
    last = await flow.last()
    if await in_time(lambda: _all_have(crowd, last), patience):
        await in_time(lambda: _all_connected(crowd, company), patience)


@asynccontextmanager
async def _going_on(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let something go on for the length of the block; what it raises is raised."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        yield
    finally:
        await cancelled([task])
        if not task.cancelled():
            task.result()


async def in_time(condition: Callable[[], Awaitable[bool]], patience: float) -> bool:
    """Wait, and go on where it does not come: the verdict says who is concerned."""
    try:
        return await eventually(condition, patience, "the crowd")
    except AssertionError:
        return False


async def _all_connected(crowd: NodeCrowd, company: Company) -> bool:
    return await crowd.settled() == len(company.members)


async def _all_upgraded(crowd: NodeCrowd, company: Company) -> bool:
    return await crowd.upgraded() == company.default_count and await crowd.settled() == len(
        company.members
    )


async def _all_have(crowd: NodeCrowd, number: int) -> bool:
    return not await crowd.lacking(number)
