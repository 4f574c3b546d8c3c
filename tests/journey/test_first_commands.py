"""The first commands of README and docs/start.md, run as they are printed beside the demo."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command_lines import Terminal
from tests.documentation.pages import blocks_of
from tests.processes import HOST, REPOSITORY, unused_port
from tests.waiting import PATIENCE_SECONDS

pytestmark = [
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="the pages print curl commands"),
]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.close()


def commands(page: str) -> list[str]:
    """Those of the gateway and of curl, in their order; what installs and makes is left out."""
    lines = "".join(blocks_of(page, "sh")).splitlines()
    return [line for line in lines if line.startswith((".venv/bin/constellation-ws ", "curl "))]


async def test_a_newcomers_first_commands_work(terminal: Terminal) -> None:
    ports: dict[str, Any] = {name: unused_port() for name in ("WS_PORT", "TCP_PORT", "REDIS_PORT")}
    demo = terminal.start("demo", redis="", **ports)
    await demo.says("Press Ctrl-C")
    wanted = list(dict.fromkeys(commands("README.md") + commands("docs/start.md")))
    assert len(wanted) >= 6

    done = await asyncio.gather(*(run(command, ports) for command in wanted))

    for command, (code, out) in zip(wanted, done, strict=True):
        assert code == 0, f"{command}: {out}"
        if " publish " in command:
            assert "received by 1 gateway" in out
            assert "warning" not in out
        if " explain " in command:
            assert re.match(r"outcome +sent", out)
        if " listen " in command:
            assert re.search("new-message|user-status|user-typing", out)


async def run(command: str, ports: dict[str, int]) -> tuple[int | None, str]:
    """Run one with the ports of the demo; `listen` ends with its first event."""
    url = f"http://{HOST}:{ports['WS_PORT']}"
    here = command.replace("http://localhost:7000", url).partition(" #")[0]
    if " listen " in here:
        here += f" --url {url} --count 1"
    package = f"{sys.executable} -m constellation_ws "
    here = here.replace(".venv/bin/constellation-ws ", package).replace("curl ", "curl -sSf ")
    environment = {
        **{name: value for name, value in os.environ.items() if "REDIS" not in name},
        "REDIS_URL": f"redis://{HOST}:{ports['REDIS_PORT']}/0",
    }
    process = await asyncio.create_subprocess_shell(
        here, stdout=PIPE, stderr=STDOUT, cwd=REPOSITORY, env=environment
    )
    async with asyncio.timeout(3 * PATIENCE_SECONDS):
        out, _ = await process.communicate()
    return process.returncode, out.decode()
