"""Requests of a backend to the TCP port, each on a connection of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

from tests.simulation.hosts import Host
from tests.simulation.pods import TCP_PORT


class Question(asyncio.Protocol):
    """One request, and what it was answered."""

    def __init__(self, pattern: str, data: dict[str, object]) -> None:
        text = json.dumps({"pattern": pattern, "data": data, "id": "1"})
        self._packet = f"{len(text)}#{text}".encode()
        self._received = b""
        self._transport: asyncio.Transport
        self.is_over = False
        self.is_successful = False
        self.data: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._packet)

    def data_received(self, data: bytes) -> None:
        self._received += data
        size, mark, rest = self._received.partition(b"#")
        if mark and len(rest) >= int(size):
            response = json.loads(rest).get("response") or {}
            self.is_successful, self.data = bool(response.get("success")), response.get("data")
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True


async def ask(host: Host, choose_pod: Callable[[], str], question: Question) -> None:
    """Ask a pod; the question is over where none can be reached."""
    try:
        await host.create_connection(lambda: question, choose_pod(), TCP_PORT)
    except OSError:
        question.is_over = True
