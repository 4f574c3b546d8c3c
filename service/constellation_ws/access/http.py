"""Asks an HTTP endpoint of the API who may be in a chat."""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec

from constellation_ws.access.answers import MAX_ANSWER_BYTES, Answer, NoAnswer, read_verdict
from constellation_ws.messages.events import ChatId, UserId

_PAUSE_SECONDS = 0.5
"""A timer that is as late says that the process was paused, not that the API was slow."""


class HttpApi:
    """One URL that answers `POST {userId, chatId}`; connections to it are kept."""

    def __init__(self, url: str, token: str, timeout_seconds: float) -> None:
        """`token` is sent as a bearer's; empty means none."""
        self._url = url
        self._headers = {
            "Content-Type": "application/json",
            # A small answer could unpack to a huge one.
            "Accept-Encoding": "identity",
            **({"Authorization": f"Bearer {token}"} if token else {}),
        }
        self._timeout_seconds = timeout_seconds
        self._session: aiohttp.ClientSession | None = None
        self._names_chats = False

    def subject(self, user: UserId, chat: ChatId) -> object:
        """Say what a question is about: the user, where answers name all chats of one."""
        return user if self._names_chats else (user, chat)

    async def ask(self, user: UserId, chat: ChatId) -> Answer:
        """Ask once. Raises NoAnswer, or TimeoutError where none comes in time."""
        question = msgspec.json.encode({"userId": user, "chatId": chat})
        try:
            status, body = await self._post_in_time(question)
        except TimeoutError as error:
            raise TimeoutError("the API did not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoAnswer(f"the call to the API failed: {type(error).__name__}") from error
        answer = read_verdict(chat, status, body)
        if status == 200:
            self._names_chats = answer.chats is not None
        return answer

    async def aclose(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()

    async def _post_in_time(self, question: bytes) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(self._timeout_seconds) as limit:
                return await self._post_twice(question)
        except TimeoutError:
            due = limit.when()
            if due is None or asyncio.get_running_loop().time() - due < _PAUSE_SECONDS:
                raise
        # This process has stood still: the answer may have come, but timers run before reads.
        async with asyncio.timeout(self._timeout_seconds):
            return await self._post_twice(question)

    async def _post_twice(self, question: bytes) -> tuple[int, bytes]:
        try:
            return await self._post(question)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # A kept connection that the API closed just now: a question may be asked twice.
            return await self._post(question)

    async def _post(self, question: bytes) -> tuple[int, bytes]:
        # A redirect is no answer, and would carry the token elsewhere.
        async with self._client().post(
            self._url, data=question, headers=self._headers, allow_redirects=False
        ) as answer:
            return answer.status, await _read(answer.content)

    def _client(self) -> aiohttp.ClientSession:
        """Give the session; it is made where the loop runs."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # No limit of its own: a question would wait for a connection while its time runs.
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


async def _read(content: aiohttp.StreamReader) -> bytes:
    """Read a body to its end, or give up on a long one."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise NoAnswer(f"the API's answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)
