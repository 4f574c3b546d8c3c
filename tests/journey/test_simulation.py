"""Some worlds of the simulation: fixed seeds, that repeat exactly, and fresh ones.

`make simulate` runs more of them.
"""

from __future__ import annotations

import asyncio
import sys

from tests.processes import REPOSITORY

_FIXED = ("one", "two")
_FRESH = 1
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
    fixed = [word for seed in _FIXED for word in ("--seed", seed)]
    output = await _simulate(*fixed, "--seeds", str(_FRESH))
    assert f"{len(_FIXED) + _FRESH} worlds, 0 failed" in output
    again = await _simulate("--seed", _FIXED[0])
    assert again.splitlines()[0] in output
