"""A small client of NestJS's TCP transport: enough to ask a gateway, and to ask it wrongly.

Lives here: framing and matching of answers, written from the contract, not from the gateway's own
code, so that the two check each other. Real NestJS clients have their own journey.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.processes import tcp_stream
from tests.waiting import PATIENCE_SECONDS

NO_HANDLER = "There is no matching message handler defined in the remote service."


def frame(packet: object, *, ascii_only: bool = True) -> bytes:
    """`<n>#<json>`, n being the JSON text's length in UTF-16 code units."""
    text = json.dumps(packet, ensure_ascii=ascii_only)
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    return f"{units}#{text}".encode()


class NestClient:
    """One connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)

    async def request(self, pattern: object, data: object = None) -> dict[str, Any]:
        """Send a request and return the whole answer packet; its id must be the request's."""
        number = str(next(self._ids))
        self._writer.write(frame({"pattern": pattern, "data": data, "id": number}))
        packet = await self.packet()
        assert packet.pop("id") == number
        return packet

    async def response(self, pattern: object, data: object = None) -> dict[str, Any]:
        """The `response` of a request that must be answered with one."""
        packet = await self.request(pattern, data)
        assert packet.keys() == {"response", "isDisposed"}, packet
        assert packet["isDisposed"] is True
        response: dict[str, Any] = packet["response"]
        return response

    async def ask(self, pattern: object, data: object = None) -> Any:
        """`response.data` of a request that must succeed."""
        response = await self.response(pattern, data)
        assert response["success"] is True, response
        return response["data"]

    def event(self, pattern: object, data: object) -> None:
        """Send an event: nothing will be answered."""
        self._writer.write(frame({"pattern": pattern, "data": data}))

    def write(self, data: bytes) -> None:
        """Send bytes as they stand."""
        self._writer.write(data)

    async def packet(self) -> dict[str, Any]:
        """Read one packet. The gateway answers in ASCII, so units are bytes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await self._reader.readuntil(b"#")
            text = await self._reader.readexactly(int(head[:-1]))
        packet: dict[str, Any] = json.loads(text.decode("ascii"))
        return packet

    async def closed_by_server(self) -> None:
        """Wait until the server has closed this connection, answering nothing more."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                rest = await self._reader.read()
            except ConnectionResetError:
                return
        assert rest == b"", f"answered before it closed: {rest[:200]!r}"


@asynccontextmanager
async def nest_client(port: int) -> AsyncIterator[NestClient]:
    """A connection to a gateway's TCP port."""
    async with tcp_stream(port) as (reader, writer):
        yield NestClient(reader, writer)
