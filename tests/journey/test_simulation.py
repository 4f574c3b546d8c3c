"""Some worlds of the simulation: fixed seeds, that repeat exactly, and a fresh one.

`make simulate` runs more of them.
"""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.processes import REPOSITORY

_FIXED = ("one", "two")
_SECONDS = 6


async def _simulate(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.simulation", "--small", "--seconds", str(_SECONDS), *arguments,
        cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_worlds_keep_every_promise_and_repeat_exactly() -> None:
    output = await _simulate(*(word for seed in _FIXED for word in ("--seed", seed)))
    assert f"{len(_FIXED)} worlds, 0 failed" in output
    again = await _simulate("--seed", _FIXED[0])
    assert again.splitlines()[0] in output


@pytest.mark.long
async def test_fresh_worlds_keep_every_promise() -> None:
    """What they find is a fault of before, and must not keep another change from landing."""
    assert "3 worlds, 0 failed" in await _simulate("--seeds", "3")
