"""Reading the bodies of requests: how large one may be, how long it may take, how much in all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from constellation_ws.services.refusals import RequestRefused

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

BODY_SECONDS = 10.0
"""How long a body may take: a megabyte over a slow link, and nobody who holds it back."""
MAX_IN_HAND = 1_000
MAX_BYTES_IN_HAND = 64 * 1024 * 1024
"""What all requests in hand may hold: while Redis hangs, each stays for five seconds."""
_OVERLOADED = "this pod has too many requests in hand; try again"


class Gone(Exception):
    """The caller hung up before its request was whole."""


class InHand:
    """The requests that were read and not answered, and what they hold."""

    def __init__(self) -> None:
        self._requests = 0
        self._bytes = 0

    @contextmanager
    def one(self) -> Iterator[Holding]:
        """Count a request meanwhile. Raises RequestRefused where there are too many."""
        if self._requests >= MAX_IN_HAND:
            raise RequestRefused("overloaded", _OVERLOADED)
        self._requests += 1
        holding = Holding(self)
        try:
            yield holding
        finally:
            self._requests -= 1
            self._bytes -= holding.size

    def add(self, size: int) -> None:
        """Count bytes of a request. Raises RequestRefused where there are too many."""
        self._bytes += size
        if self._bytes > MAX_BYTES_IN_HAND:
            raise RequestRefused("overloaded", _OVERLOADED)


class Holding:
    """What one request holds."""

    def __init__(self, in_hand: InHand) -> None:
        self._in_hand = in_hand
        self.size = 0

    async def read(self, receive: Receive, max_bytes: int) -> bytes:
        """Read the body. Raises Gone, and RequestRefused where it is too large or too slow."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._read(receive, max_bytes)
        except TimeoutError as error:
            sentence = f"the body was not complete after {BODY_SECONDS:.0f} s"
            raise RequestRefused("too_slow", sentence) from error

    async def _read(self, receive: Receive, max_bytes: int) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            piece = message.get("body", b"")
            self.size += len(piece)
            self._in_hand.add(len(piece))
            body += piece
            if len(body) > max_bytes:
                raise RequestRefused("too_large", f"the body has more than {max_bytes:,} bytes")
            if not message.get("more_body", False):
                return bytes(body)
