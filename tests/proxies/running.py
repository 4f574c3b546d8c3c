"""A proxy's process and what it answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import aiohttp

PATIENCE_SECONDS = 30.0
_BIN = Path(sys.executable).parent


def start(folder: Path, program: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start a program of the test dependencies; what it says goes into `folder`."""
    with (folder / "proxy.log").open("wb") as log:
        return subprocess.Popen(
            [_BIN / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def end(process: subprocess.Popen[bytes] | None) -> None:
    """End what has been started."""
    if process is not None:
        process.kill()
        process.wait()


async def ask(url: str) -> str:
    """Give what is answered; nothing where nobody answers, or not with 200."""
    try:
        async with aiohttp.request("GET", url) as answer:
            return await answer.text() if answer.status == 200 else ""
    except aiohttp.ClientError:
        return ""
