"""`constellation-ws` commands as a terminal runs them: each in its group, until it ends or Ctrl-C.

Lives here: starting, watching and ending them. What they should say is said by the tests.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import HOST, REPOSITORY, gateway_environment
from tests.waiting import PATIENCE_SECONDS, eventually

# An import of everything takes seconds where other workers keep both cores busy.
NO_REDIS = f"redis://:hunter2@{HOST}:1/0"
"""Where nobody listens."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


class Command:
    """One command, from its arguments to its exit code."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self._process, self._out, self._err = process, out, err

    @property
    def text(self) -> str:
        """All that it has written so far, stdout first."""
        return self._out.read_text("utf-8") + self._err.read_text("utf-8")

    async def says(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait until a pattern has been written so often; give its last match."""

        def found() -> list[re.Match[str]]:
            has_ended = self._process.poll() is not None
            matches = list(re.finditer(pattern, self.text, re.MULTILINE))
            assert len(matches) >= times or not has_ended, f"{pattern!r} is not in\n{self.text}"
            return matches if len(matches) >= times else []

        matches = await eventually(found, PATIENCE_SECONDS, f"{pattern!r} is written")
        return matches[-1]

    async def ended(self) -> Done:
        """Wait until it has ended by itself."""
        await eventually(lambda: self._process.poll() is not None, PATIENCE_SECONDS, "it has ended")
        out, err = (path.read_text("utf-8") for path in (self._out, self._err))
        return Done(self._process.wait(), out, err)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        os.killpg(self._process.pid, number)

    async def interrupted(self, number: signal.Signals = signal.SIGINT) -> Done:
        """Press Ctrl-C, or send another signal: the whole group gets it. Then wait for the end."""
        self.send(number)
        return await self.ended()

    def group_is_gone(self) -> bool:
        """Whether no process of the group is left."""
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def end(self) -> None:
        """End it, and what it has left of its group: in order, so that it ends its gateway."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_SECONDS)
        if not self.group_is_gone():
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Terminal:
    """Starts commands, each with files of its own for what it writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Command] = []

    def start(
        self, *arguments: str, redis: str = NO_REDIS, stdin: bytes = b"", **settings: Any
    ) -> Command:
        """Start a command; a setting that is empty is not set."""
        number = len(self._started)
        paths = [self._folder / f"{number}.{name}" for name in ("in", "out", "err")]
        paths[0].write_bytes(stdin)
        environment = gateway_environment(redis, PYTHONUNBUFFERED=1, **settings)
        with paths[0].open("rb") as source, paths[1].open("wb") as out, paths[2].open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "constellation_ws", *arguments],
                cwd=REPOSITORY,
                env={name: value for name, value in environment.items() if value},
                stdin=source,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self._started.append(Command(process, paths[1], paths[2]))
        return self._started[-1]

    async def run(
        self, *arguments: str, redis: str = NO_REDIS, stdin: bytes = b"", **settings: Any
    ) -> Done:
        """Run a command to its end."""
        return await self.start(*arguments, redis=redis, stdin=stdin, **settings).ended()

    def close(self) -> None:
        """End what still runs."""
        for command in self._started:
            command.end()
