"""The API that knows who is in which chat, for the journey tests: over HTTP, and as a NestJS app.

Both behave alike: chats whose name begins with `silent` are never answered, `throwing` fails,
`huge` answers more than anybody reads, `strange` answers something else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from aiohttp import web

from tests.processes import HOST, REPOSITORY, node_executable
from tests.waiting import PATIENCE_SECONDS

TOKEN = "a-token-of-the-gateway"


class ChatApi(Protocol):
    """What tests need of it."""

    settings: dict[str, object]
    """Those of a gateway that asks it."""
    asked: list[str]
    """The chat of each question."""

    async def set_chats(self, **chats: Sequence[object]) -> None:
        """Say who is in which chat from now on; there are no others."""

    async def set_delay(self, seconds: float) -> None:
        """Take so long for each answer from now on."""


class HttpChatApi:
    """A small HTTP server in this process."""

    def __init__(self, port: int) -> None:
        self.settings: dict[str, object] = {
            "CONSTELLATION_CHAT_ACCESS": "http",
            "CONSTELLATION_CHAT_ACCESS_URL": f"http://{HOST}:{port}/chat-access",
            "CONSTELLATION_CHAT_ACCESS_TOKEN": TOKEN,
        }
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        """Set when chats whose name begins with `held` may be answered; everybody is in them."""
        self.names_chats = False
        """Whether an answer names all chats of the user."""
        self._chats: dict[str, Sequence[object]] = {}
        self._is_holding = False
        self._delay_seconds = 0.0

    async def set_chats(self, **chats: Sequence[object]) -> None:
        self._chats = chats

    def hold_all(self) -> None:
        """Treat every chat as one whose name begins with `held`."""
        self._is_holding = True

    async def set_delay(self, seconds: float) -> None:
        self._delay_seconds = seconds

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one question."""
        question = await request.json()
        assert question.keys() == {"userId", "chatId"}
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        chat = question["chatId"]
        self.asked.append(chat)
        match "held" if self._is_holding else chat.partition("-")[0]:
            case "silent":
                await asyncio.Event().wait()
            case "held":
                await self.may_answer.wait()
                return web.json_response({"allowed": True})
            case "throwing":
                return web.Response(status=500, text="<html>no database</html>")
            case "huge":
                return web.Response(text='{"allowed": true, "x": "' + "x" * 2_000_000 + '"}')
            case "strange":
                return web.json_response({"allowed": "true"})
        user, chats = question["userId"], self._chats
        await asyncio.sleep(self._delay_seconds)
        if self.names_chats:
            mine = [one for one, members in chats.items() if user in map(str, members)]
            return web.json_response({"allowed": chat in mine, "chatIds": mine})
        if chat not in chats:
            return web.Response(status=404)
        return web.json_response({"allowed": user in map(str, chats[chat])})


@asynccontextmanager
async def http_chat_api(port: int) -> AsyncIterator[HttpChatApi]:
    """A listening HttpChatApi."""
    api = HttpChatApi(port)
    application = web.Application()
    application.router.add_post("/chat-access", api.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield api
    finally:
        await runner.cleanup()


class NestChatApi:
    """A NestJS app under Node.js."""

    def __init__(self, port: int, process: asyncio.subprocess.Process) -> None:
        self.settings: dict[str, object] = {
            "CONSTELLATION_CHAT_ACCESS": "nest",
            "CONSTELLATION_CHAT_ACCESS_URL": f"tcp://{HOST}:{port}",
        }
        self.asked: list[str] = []
        self._process = process
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def set_chats(self, **chats: Sequence[object]) -> None:
        await self._command({"chats": chats})

    async def set_delay(self, seconds: float) -> None:
        await self._command({"delay": seconds * 1_000})

    async def started(self) -> None:
        """Wait until it listens."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._answers.get()

    async def read(self) -> None:
        """Read what it says, until it ends: it must never wait for a reader."""
        assert self._process.stdout is not None
        while text := await self._process.stdout.readline():
            line: dict[str, Any] = json.loads(text)
            if "asked" in line:
                self.asked.append(line["asked"])
            else:
                self._answers.put_nowait(line)

    async def _command(self, command: dict[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await self._answers.get()
        assert answer.keys() == command.keys(), answer


@asynccontextmanager
async def nest_chat_api(major: int, port: int) -> AsyncIterator[NestChatApi]:
    """A listening NestChatApi of a major version of NestJS."""
    script = str(REPOSITORY / "tests" / "js" / "nest" / "api.mjs")
    process = await asyncio.create_subprocess_exec(
        *(node_executable(), script, str(major), HOST, str(port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    api = NestChatApi(port, process)
    reading = asyncio.create_task(api.read())
    try:
        await api.started()
        yield api
    finally:
        process.kill()
        await process.wait()
        await reading
