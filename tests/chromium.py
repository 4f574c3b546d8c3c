"""Chromium without a window, spoken to as its developer tools do: open pages, click, look.

A driver of a hundred lines instead of a package: what the tests need is one page at a time.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.waiting import PATIENCE_SECONDS, eventually

CHROMIUM = shutil.which("chromium")
MISSING = "there is no Chromium on this machine: apt-get install chromium"
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
_MAX_MESSAGE_BYTES = 1 << 26


class PageFault(AssertionError):
    """A script of the page, or the question to it, has failed."""


class Page:
    """One page. What it logs as an error, and what it throws, is kept in `faults`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.faults: list[str] = []

    async def read(self) -> None:
        """Take what the browser says, until it is gone."""
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            elif said["method"] == "Runtime.exceptionThrown":
                self.faults.append(str(said["params"]["exceptionDetails"]))
            elif said["method"] == "Log.entryAdded":
                entry = said["params"]["entry"]
                if entry["level"] == "error":
                    self.faults.append(f"{entry['text']} {entry.get('url', '')}")

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call one method of the developer tools."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE_SECONDS):
            said = await answer
        if "error" in said:
            raise PageFault(f"{method}: {said['error']}")
        result: dict[str, Any] = said["result"]
        return result

    async def open(self, url: str, width: int = 1360, height: int = 900) -> None:
        """Go to an address."""
        for domain in ("Page", "Runtime", "Log"):
            await self.command(f"{domain}.enable")
        await self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        await self.command("Page.navigate", url=url)

    async def ask(self, expression: str) -> Any:
        """Evaluate an expression in the page; a promise is awaited."""
        said = await self.command(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in said:
            raise PageFault(f"{expression}: {said['exceptionDetails']}")
        return said["result"].get("value")

    async def shows(self, text: str, selector: str = "body") -> None:
        """Wait until a text is to be read in an element."""
        wanted = f"(document.querySelector({json.dumps(selector)})?.innerText ?? '')"
        found = f"{wanted}.includes({json.dumps(text)})"
        try:
            await eventually(lambda: self.ask(found), PATIENCE_SECONDS, f"{text!r} in {selector}")
        except AssertionError as error:
            raise AssertionError(f"{error}; there is: {await self.ask(wanted)}") from error

    async def click(self, selector: str) -> None:
        """Click on an element."""
        await self.ask(f"document.querySelector({json.dumps(selector)}).click()")

    async def fill(self, selector: str, value: str) -> None:
        """Type into an input."""
        await self.ask(f"document.querySelector({json.dumps(selector)}).select()")
        await self.command("Input.insertText", text=value)

    async def press_enter(self) -> None:
        """Press Enter, where the focus is."""
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        await self.command("Input.dispatchKeyEvent", type="keyDown", text="\r", **enter)
        await self.command("Input.dispatchKeyEvent", type="keyUp", **enter)

    async def prefers(self, theme: str) -> None:
        """Set what the system prefers: light or dark."""
        features = [{"name": "prefers-color-scheme", "value": theme}]
        await self.command("Emulation.setEmulatedMedia", features=features)

    async def picture(self) -> bytes:
        """What is seen, as PNG."""
        shot = await self.command("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])


@contextmanager
def _chromium(folder: Path, profile: Path) -> Iterator[None]:
    assert CHROMIUM is not None, "else skipped"
    with (folder / "chromium.log").open("wb") as log:
        browser = subprocess.Popen(
            [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


@asynccontextmanager
async def browser_page(folder: Path) -> AsyncIterator[Page]:
    """A page of a Chromium of its own."""
    profile = folder / "profile"
    port_file = profile / "DevToolsActivePort"
    with _chromium(folder, profile):
        await eventually(lambda: _port(port_file), PATIENCE_SECONDS, "Chromium listens")
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{_port(port_file)}/json/list") as answer:
                pages = [one for one in await answer.json() if one["type"] == "page"]
            address = pages[0]["webSocketDebuggerUrl"]
            async with http.ws_connect(address, max_msg_size=_MAX_MESSAGE_BYTES) as socket:
                page = Page(socket)
                reading = asyncio.create_task(page.read())
                try:
                    yield page
                finally:
                    reading.cancel()


def _port(file: Path) -> str:
    """The port that Chromium has written down; empty until then."""
    return file.read_text().partition("\n")[0] if file.exists() else ""
