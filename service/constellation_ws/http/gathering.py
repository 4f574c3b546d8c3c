"""Joins what is written to an HTTP connection in one turn of the event loop into one system call.

uvicorn writes the head and the body of a response separately, and a write costs more than the rest
of the response to a poll.
"""

from __future__ import annotations

import asyncio
from typing import Any


class GatheringTransport:
    """Wraps a transport. Only writing and closing differ from it."""

    __slots__ = ("_gathered", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._gathered: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Write at the end of this turn."""
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self.flush)
        self._gathered.append(data)

    def flush(self) -> None:
        """Write now what is to be written at the end of this turn."""
        if self._gathered:
            data = b"".join(self._gathered)
            self._gathered.clear()
            if not self._transport.is_closing():  # uvloop raises on writing to one that is lost
                self._transport.write(data)

    def close(self) -> None:
        """Close once all is sent."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
