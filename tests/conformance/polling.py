"""A client on long-polling, request by request.

Lives here: the HTTP requests of Engine.IO's polling transport and what they are answered.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.conformance.wire import HOST
from tests.waiting import PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP request was answered."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The stable word of a refusal."""
        return str(json.loads(self.text)["data"]["code"])


class Http:
    """HTTP requests to one path; any number at a time, each on a connection that is free."""

    def __init__(self, client: aiohttp.ClientSession, url: str) -> None:
        self._client = client
        self._url = url

    async def ask(
        self,
        method: str = "GET",
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> Answer:
        """Send one request with these parameters and no others."""
        async with self._client.request(
            method, self._url, params=query, data=body, headers=headers
        ) as answer:
            return Answer(answer.status, await answer.text(), answer.headers)

    async def open(self, **query: str) -> Polling:
        """Open a session."""
        parameters: dict[str, Any] = {"EIO": "4", "transport": "polling", **query}
        answer = await self.ask(**parameters)
        assert answer.status == 200, answer
        assert answer.text.startswith("0")
        return Polling(self, json.loads(answer.text[1:]))


class Polling:
    """One session."""

    def __init__(self, http: Http, opening: dict[str, Any]) -> None:
        self._http = http
        self.opening = opening
        self.sid = str(opening["sid"])

    async def poll(self) -> Answer:
        """GET: wait for packets."""
        return await self._http.ask(EIO="4", transport="polling", sid=self.sid)

    async def post(self, body: str | bytes) -> Answer:
        """POST: bring packets."""
        data = body.encode() if isinstance(body, str) else body
        return await self._http.ask("POST", data, EIO="4", transport="polling", sid=self.sid)

    async def turns(self) -> None:
        """Let the server take notice of what was written or closed on another connection.

        It is accepted, read and handled in one turn of the server's loop each; each of these
        requests, which is refused and changes nothing, takes at least one.
        """
        for _ in range(3):
            assert (await self._http.ask()).status == 400

    async def packets(self) -> list[str]:
        """Poll, and give what came, packet by packet; the session must be there."""
        answer = await self.poll()
        assert answer.status == 200, answer
        return answer.text.split("\x1e")

    async def packets_but_pings(self, count: int) -> list[str]:
        """Poll until so many packets besides heartbeats have come; those are answered."""
        packets: list[str] = []
        while len(packets) < count:
            for packet in await self.packets():
                if packet == "2":
                    await self.send("3")
                else:
                    packets.append(packet)
        return packets

    async def send(self, body: str) -> None:
        """POST, which the server must take."""
        answer = await self.post(body)
        assert (answer.status, answer.text) == (200, "ok"), answer


@asynccontextmanager
async def http(port: int, path: str = "/engine.io/") -> AsyncIterator[Http]:
    """Open an HTTP client for one path, for the length of an `async with`."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        yield Http(client, f"http://{HOST}:{port}{path}")
