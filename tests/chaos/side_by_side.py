"""Short worlds side by side, in a few processes: they mostly wait.

A process runs its worlds one after the other, on the same gateways as long as these are whole.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

from tests.chaos.deployment import deployed
from tests.chaos.plan import UNTIL_OTHERS_ARE_DONE, Lane
from tests.chaos.report import Row
from tests.chaos.run import live
from tests.chaos.worlds import Leg, skipped
from tests.processes import REPOSITORY

_START_SECONDS, _SETTLE_SECONDS = 6.0, 9.0
_WITHIN_SECONDS = 600.0
"""A short world that takes longer hangs."""
_NUMBERS = 100_000
"""Events of one world."""
_REUSED = ("single",)


# In the process that runs worlds


async def one_by_one(folder: Path, legs: Sequence[Leg], seed: str) -> None:
    """Run worlds; write a line of JSON about each as soon as it is over."""
    async with AsyncExitStack() as held:
        deployment, is_aftermath = None, False
        for place, leg in enumerate(legs):
            began = time.monotonic()
            row, story, starved_seconds = Row(leg.name), "", 0.0
            if reason := skipped(leg):
                _tell(row, story, began, skipped=reason)
                continue
            try:
                if deployment is None or not deployment.suits(leg.topology, leg.size.pods):
                    await held.aclose()
                    is_aftermath = False
                    deployment = await held.enter_async_context(
                        deployed(
                            folder / leg.name, leg.topology, leg.size.pods, leg.size.partitions
                        )
                    )
                result = await live(
                    deployment, leg, seed, place * _NUMBERS + 1, is_aftermath=is_aftermath
                )
                is_aftermath = Lane.REDIS in leg.plan
            except Exception:  # noqa: BLE001 - a world without a verdict; the others go on
                row.troubles.append(traceback.format_exc())
                deployment = None
            else:
                for one in result.rows:
                    row.add(one)
                story, starved_seconds = result.story, result.starved_seconds
                if not result.is_whole or leg.topology not in _REUSED:
                    deployment = None
            _tell(row, story, began, starved_seconds)


def _tell(row: Row, story: str, began: float, starved: float = 0, skipped: str = "") -> None:
    took = f"{time.monotonic() - began:.0f} s"
    if starved:
        took += f", {starved:.1f} s of them starved of CPU"
    said = {"row": asdict(row), "story": story, "skipped": skipped, "took": took}
    print(json.dumps(said), flush=True)


# In the process that starts them


async def side_by_side(legs: Sequence[Leg], jobs: int, words: Sequence[str]) -> list[Row]:
    """Run worlds in so many processes; print what came out of each, and give their rows."""
    shares = [share for share in shared_out(legs, jobs) if share]
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        rows = await asyncio.gather(
            *(
                _process(share, [*words, "--keep", scratch] if "--keep" not in words else words)
                for share in shares
            )
        )
    return [row for share in rows for row in share]


def shared_out(legs: Sequence[Leg], jobs: int) -> list[list[Leg]]:
    """Share worlds out so that all processes take about as long; topologies stay together.

    What costs nothing comes first, for it is judged more strictly where nothing came before.
    """
    shares: list[list[Leg]] = [[] for _ in range(jobs)]
    seconds = [0.0] * jobs
    for leg in sorted(legs, key=_seconds, reverse=True):
        least = seconds.index(min(seconds))
        shares[least].append(leg)
        seconds[least] += _seconds(leg)
    return [
        sorted(share, key=lambda leg: (leg.topology, leg.size.pods, Lane.REDIS in leg.plan))
        for share in shares
    ]


def _seconds(leg: Leg) -> float:
    lanes = [
        sum(one.rest_seconds + one.seconds for one in lane if one.seconds != UNTIL_OTHERS_ARE_DONE)
        for lane in leg.plan.values()
    ]
    pods = sum(2 for lane in leg.plan.values() for one in lane if "roll" in one.name)
    starts = pods + (leg.topology not in _REUSED) * 2
    return max(lanes) + _SETTLE_SECONDS + starts * _START_SECONDS


async def _process(legs: Sequence[Leg], words: Sequence[str]) -> list[Row]:
    named = [word for leg in legs for word in ("--world", leg.name)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos", "--worker", *named, *words, cwd=REPOSITORY,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, limit=1 << 24,
    )  # fmt: skip
    assert process.stdout is not None
    rows: list[Row] = []
    stray: list[str] = []
    left = {leg.name for leg in legs}
    try:
        while left:
            async with asyncio.timeout(_WITHIN_SECONDS):
                line = (await process.stdout.readline()).decode(errors="replace")
            if not line:
                break
            for row in _read(line, stray, left):
                rows.append(row)
    except TimeoutError:
        stray.append(f"nothing for {_WITHIN_SECONDS:g} s")
        process.terminate()
    await process.wait()
    if left:
        print("\n".join(stray), flush=True)
        last = stray[-1] if stray else f"exit code {process.returncode}"
        rows += [Row(name, troubles=[f"no verdict: {last}"]) for name in sorted(left)]
    return rows


def _read(line: str, stray: list[str], left: set[str]) -> Iterator[Row]:
    """Read a line of a process; print what it tells of a world."""
    try:
        found = json.loads(line)
        row = Row(**found["row"])
    except (ValueError, TypeError):
        stray.append(line.rstrip())
        return
    left.discard(row.world)
    if found["skipped"]:
        print(f"{row.world}: skipped: {found['skipped']}", flush=True)
        return
    said = "FAILED" if row.faults else "ok"
    print(f"{row.world}: {said} after {found['took']}", flush=True)
    if found["story"]:
        print(f"{found['story']}\n", flush=True)
    yield row
