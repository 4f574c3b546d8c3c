"""Clients that speak Socket.IO by hand, for what no well-behaved client shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.journey.publishing import Publisher
from tests.processes import Gateway
from tests.waiting import PATIENCE_SECONDS


@dataclass
class Raw:
    """A client that says what no well-behaved one would, and hides nothing of what it hears."""

    socket: aiohttp.ClientWebSocketResponse
    answer: dict[str, str] = field(default_factory=dict)
    missed: list[list[Any]] = field(default_factory=list)
    """Events before the answer."""

    async def event(self) -> list[Any]:
        """The next event: its name and arguments."""
        text = await self._text()
        assert text.startswith("42/chats,"), text
        event: list[Any] = json.loads(text.partition(",")[2])
        return event

    async def join(self, chat: str) -> None:
        """Join a chat and wait for the answer; nothing else may come before it."""
        assert await self.try_to_join(chat) == "ok"

    async def try_to_join(self, chat: str) -> str:
        """Ask to join a chat and give the code of the answer; nothing else may come before it."""
        await self.socket.send_str(f'42/chats,7["join-chat",{{"chatId":"{chat}"}}]')
        text = await self._text()
        assert text.startswith("43/chats,7["), text
        (ack,) = json.loads(text.partition("7")[2])
        return "ok" if ack["success"] else str(ack["error"]["code"])

    async def ask(self, event: str, chat: str) -> None:
        """Send a request without waiting for an answer."""
        await self.socket.send_str(f'42/chats,["{event}",{{"chatId":"{chat}"}}]')

    async def is_closed(self) -> bool:
        """Whether the server closes it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = await self.socket.receive()
        return message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)

    async def connect(self, auth: dict[str, Any]) -> None:
        await self.socket.send_str(f"40/chats,{json.dumps(auth)}")
        while (text := await self._text()).startswith("42"):
            self.missed.append(json.loads(text.partition(",")[2]))
        assert text.startswith("40/chats,"), text
        self.answer = json.loads(text.partition(",")[2])

    async def _text(self) -> str:
        while True:
            async with asyncio.timeout(PATIENCE_SECONDS):
                text = await self.socket.receive_str()
            if text != "2":
                return text
            await self.socket.send_str("3")


@asynccontextmanager
async def raw(pod: Gateway, user: str | None, **auth: object) -> AsyncIterator[Raw]:
    """A connected raw client; it hangs up without a word at the end."""
    url = f"{pod.http_url}/socket.io/?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        assert (await socket.receive_str())[0] == "0"
        client = Raw(socket)
        await client.connect({"userId": user, **auth})
        yield client


async def say(publish: Publisher, user: str, number: int) -> None:
    await publish("chat:new", {"userId": user, "chatId": f"n{number}"})


async def say_in(publish: Publisher, chat: str, number: int) -> None:
    await publish("chat:newMessage", {"chatId": chat, "recipientId": "-", "messageId": number})


async def passed(pod: Gateway, publish: Publisher, mine: str) -> None:
    """Wait until a pod has delivered all that was logged by now."""
    async with raw(pod, f"witness{mine}") as witness:
        await say(publish, f"witness{mine}", 0)
        await witness.event()


def numbers(events: list[list[Any]]) -> list[Any]:
    return [event[1].get("messageId") or event[1]["chatId"] for event in events]
