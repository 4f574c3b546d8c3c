"""Asks an HTTP endpoint of the API who may be in a chat."""

from __future__ import annotations

import aiohttp
import msgspec

from service.access_answers import MAX_ANSWER_BYTES, NoAnswer, read_verdict
from service.events import ChatId, UserId


class HttpApi:
    """One URL that answers `POST {userId, chatId}`; connections to it are kept."""

    def __init__(self, url: str, token: str, max_connections: int) -> None:
        """`token` is sent as a bearer's; empty means none."""
        self._url = url
        self._headers = {
            "Content-Type": "application/json",
            # A small answer could unpack to a huge one.
            "Accept-Encoding": "identity",
            **({"Authorization": f"Bearer {token}"} if token else {}),
        }
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def allows(self, user: UserId, chat: ChatId) -> bool:
        """Ask once. Raises NoAnswer; how long it may take is the caller's affair."""
        question = msgspec.json.encode({"userId": user, "chatId": chat})
        try:
            try:
                return await self._post(question)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # A kept connection that the API closed just now: a question may be asked twice.
                return await self._post(question)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoAnswer(f"the API cannot be asked: {type(error).__name__}") from error

    async def aclose(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, question: bytes) -> bool:
        # A redirect is no answer, and would carry the token elsewhere.
        async with self._client().post(
            self._url, data=question, headers=self._headers, allow_redirects=False
        ) as answer:
            return read_verdict(answer.status, await _read(answer.content))

    def _client(self) -> aiohttp.ClientSession:
        """Give the session; it is made where the loop runs."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections),
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
