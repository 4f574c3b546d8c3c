"""A caller of the HTTP API, for tests."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from tests.processes import HOST, HttpAnswer

KEY, READER_KEY, SLOW_KEY = (
    "full-0123456789abcdef",
    "reader-0123456789abcdef",
    "slow-0123456789abcdef",
)
KEYS = f"full:{KEY},reader:{READER_KEY}:read,slow:{SLOW_KEY}:read"
WITH_API = {"CONSTELLATION_API_PORT": 0, "CONSTELLATION_API_KEYS": KEYS}
"""Settings of a gateway with an API."""


class ApiClient:
    """One caller with one key."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._url = f"http://{HOST}:{port}"

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """One request to a path as it is written, percent-encoding included; `data` stays as is."""
        url = URL(self._url + path, encoded=True)
        if body is not None:
            data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        sent = None if data is None else io.BytesIO(data)  # aiohttp warns of large bytes
        async with self._session.request(method, url, headers=headers, data=sent) as answer:
            return HttpAnswer(answer.status, dict(answer.headers), await answer.text())

    async def done(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """The answer to a request that succeeds."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        answer = await self.call(method, path, body, headers=named)
        assert answer.status in (200, 202), answer.text
        return answer.json()

    async def refused(
        self, method: str, path: str, body: object = None, **more: Any
    ) -> tuple[int, str]:
        """The status and the code of a request that is refused."""
        answer = await self.call(method, path, body, **more)
        assert answer.status >= 400, answer.text
        error = answer.json()["error"]
        assert error["message"]
        return answer.status, str(error["code"])


@asynccontextmanager
async def api_client(port: int, key: str | None = KEY) -> AsyncIterator[ApiClient]:
    """A caller with connections of its own."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield ApiClient(session, port)
