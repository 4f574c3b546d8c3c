"""Chromium with any number of windows, for tests; tests/js/browser/browser.mjs drives it.

Lives here: starting and driving it. Tests that need it are skipped where there is no Chromium.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.processes import REPOSITORY, node_executable
from tests.waiting import PATIENCE_SECONDS, eventually

CHROMIUM = shutil.which("chromium")
FOLDER = REPOSITORY / "tests" / "js" / "browser"
_LINE_BYTES = 1 << 24

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium on this machine: apt-get install chromium"
)


class BrowserError(AssertionError):
    """A page could not do what it was asked."""


class Tab:
    """One window, with storage of its own."""

    def __init__(self, name: str, browser: Browser) -> None:
        self.name = name
        self._browser = browser

    async def call(self, method: str, *args: Any) -> Any:
        """Call a method of Playwright's Page, or one that browser.mjs adds."""
        return await self._browser.call(self.name, method, *args)

    async def open(self, url: str) -> None:
        await self.call("open", url)

    async def texts(self, selector: str) -> list[str]:
        """The text of each element."""
        found: list[str] = await self.call("texts", selector)
        return found

    async def shows(self, selector: str, *wanted: str) -> None:
        """Wait until the elements have exactly these texts."""
        seen: list[str] = []

        async def is_so() -> bool:
            seen[:] = await self.texts(selector)
            return seen == list(wanted)

        try:
            await eventually(is_so, 2 * PATIENCE_SECONDS, f"{self.name} shows {wanted}")
        except AssertionError as error:
            faults = await self.call("faults")
            raise AssertionError(f"{error}; it shows {seen}, its errors: {faults}") from None


class Browser:
    """A browser that runs."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._ids = itertools.count(1)
        self._open: set[str] = set()
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    def tab(self, name: str) -> Tab:
        self._open.add(name)
        return Tab(name, self)

    async def close_tabs(self) -> None:
        """Close every window: pages of one test must not reach the servers of the next."""
        for name in self._open:
            await self.call(name, "close")
        self._open.clear()

    async def call(self, tab: str, method: str, *args: Any) -> Any:
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        line = {"id": number, "tab": tab, "method": method, "args": args}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        async with asyncio.timeout(3 * PATIENCE_SECONDS):
            return await self._waiting[number]

    async def follow(self) -> None:
        """Take its answers until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            reply = json.loads(line)
            waiting = self._waiting.pop(reply["id"])
            if "error" in reply:
                waiting.set_exception(BrowserError(reply["error"]))
            else:
                waiting.set_result(reply.get("result"))


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """Hold a browser."""
    assert CHROMIUM is not None, "else skipped"
    process = await asyncio.create_subprocess_exec(
        *(node_executable(), "browser.mjs", CHROMIUM),
        cwd=FOLDER,
        stdin=PIPE,
        stdout=PIPE,
        limit=_LINE_BYTES,
    )
    browser = Browser(process)
    following = asyncio.create_task(browser.follow())
    try:
        yield browser
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await following


async def bundled(files: dict[str, str], entry: str, gateway: str) -> str:
    """Bundle files for a browser; their `socket.io-client` connects to this gateway."""
    process = await asyncio.create_subprocess_exec(
        *(node_executable(), "bundle.mjs"), cwd=FOLDER, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    given = {"files": files, "entry": entry, "gateway": gateway}
    script, faults = await process.communicate(json.dumps(given).encode())
    assert process.returncode == 0, faults.decode()
    return script.decode()
