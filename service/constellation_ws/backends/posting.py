"""POSTs JSON to another service: one answer of bounded size, from that service and no other.

What is sent and what an answer means is decided by those who post, as is how long it may take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import aiohttp

from constellation_ws.backends.answers import MAX_ANSWER_BYTES

_IDLE_SECONDS = 4.0
"""Servers of Node.js close a connection that is idle for 5 s: what is sent just then is lost."""
_HEADERS = {
    "Content-Type": "application/json",
    # A small answer could unpack to a huge one.
    "Accept-Encoding": "identity",
}


class Posted(NamedTuple):
    """The answer to a POST."""

    status: int
    body: bytes


class PostFailed(Exception):
    """There is no answer; `str()` says why and holds nothing that was sent."""


class AnswerTooLong(PostFailed):
    """The answer was not read to its end."""


class Posting:
    """Connections to one service, which are kept for a moment; no redirects, no cookies."""

    def __init__(self, *, connect_seconds: float | None = None) -> None:
        """`connect_seconds` is what connecting may take, its name's look-up included."""
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, is_repeatable: bool
    ) -> Posted:
        """Post, and once more where that fails before anything was sent. Raises PostFailed.

        What is repeatable is also posted again when the connection breaks later: the service may
        have closed a kept one just then.
        """
        try:
            try:
                return await self._post(url, body, headers)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if not (is_repeatable or isinstance(error, aiohttp.ClientConnectorError)):
                    raise
            return await self._post(url, body, headers)
        except aiohttp.ServerTimeoutError as error:
            raise PostFailed("connecting timed out") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PostFailed(type(error).__name__) from error

    async def aclose(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        # A redirect is no answer, and would carry what is sent elsewhere.
        async with self._client().post(
            url, data=body, headers={**_HEADERS, **headers}, allow_redirects=False
        ) as answer:
            return Posted(answer.status, await _read(answer.content))

    def _client(self) -> aiohttp.ClientSession:
        """Give the session; it is made where the loop runs."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # No limit of its own: a question would wait for a connection while its time runs.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        if self._session.closed:
            raise PostFailed("the gateway is stopping")
        return self._session


async def _read(content: aiohttp.StreamReader) -> bytes:
    """Read a body to its end, or give up on a long one."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise AnswerTooLong(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)
