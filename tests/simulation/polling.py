"""Long-polling of a client: one HTTP request at a time in each direction, each to any pod."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from tests.simulation.hosts import Host

_HEADS = {
    "GET": "GET /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nHost: gateway\r\n"
    "Connection: close\r\n\r\n",
    "POST": "POST /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nHost: gateway\r\n"
    "Connection: close\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {size}\r\n\r\n",
}
Answer = Callable[[int, str], None]
"""Gets the status and the body of a response; 0 and the reason where there is none."""


class Request(asyncio.Protocol):
    """One request on a connection of its own."""

    def __init__(self, method: str, sid: str, body: bytes, on_answer: Answer) -> None:
        query = f"&sid={sid}" if sid else ""
        self._request = _HEADS[method].format(query=query, size=len(body)).encode() + body
        self._on_answer = on_answer
        self._received = b""
        self._is_over = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and len(body) >= _length(head):
            self._end(int(head[9:12]), body.decode())

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(0, str(exc or "closed"))

    def give_up(self) -> None:
        """Wait for the answer no more."""
        self._is_over = True
        self._transport.abort()

    def _end(self, status: int, body: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._transport.close()
            self._on_answer(status, body)


def _length(head: bytes) -> int:
    for line in head.lower().splitlines():
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


class PollingClient:
    """One Engine.IO session over requests."""

    def __init__(
        self,
        host: Host,
        choose: Callable[[], str],
        on_text: Callable[[str], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """`choose` gives the address of the pod that the ingress sends the next request to."""
        self._host = host
        self._choose = choose
        self._on_text = on_text
        self._on_lost = on_lost
        self._sid = ""
        self._outgoing: deque[str] = deque()
        self._is_posting = False
        self._is_paused = False
        self._on_paused: Callable[[], None] | None = None
        self._is_getting = False
        self._is_over = False
        self._get()

    @property
    def sid(self) -> str:
        return self._sid

    def send(self, packet: str) -> None:
        """Send one packet."""
        self._outgoing.append(packet)
        self._post()

    def pause(self, on_paused: Callable[[], None]) -> None:
        """Ask for nothing more; the callback is called when nothing is under way."""
        self._is_paused, self._on_paused = True, on_paused
        self._check_paused()

    def take_unsent(self) -> list[str]:
        """Give what was not sent: the session goes on by WebSocket."""
        self._is_over = True
        unsent, self._outgoing = list(self._outgoing), deque()
        return unsent

    def close(self, reason: str) -> None:
        """Give the session up."""
        if not self._is_over:
            self._is_over = True
            self._on_lost(reason)

    def _get(self) -> None:
        self._is_getting = True
        self._host.begin(self._request("GET", b"", self._got))

    def _got(self, status: int, body: str) -> None:
        self._is_getting = False
        if self._is_over:
            return
        if status != 200:
            self.close(f"HTTP {status}: {body[:80]}")
            return
        for packet in body.split("\x1e"):
            if packet.startswith("0") and not self._sid:
                self._sid = packet.partition('"sid":"')[2].partition('"')[0]
            self._on_text(packet)
            if self._is_over:
                return
        if self._is_paused:
            self._check_paused()
        else:
            self._get()
        self._post()

    def _post(self) -> None:
        if self._is_posting or not self._outgoing or not self._sid or self._is_over:
            return
        self._is_posting = True
        body = "\x1e".join(self._outgoing).encode()
        self._outgoing.clear()
        self._host.begin(self._request("POST", body, self._posted))

    def _posted(self, status: int, body: str) -> None:
        self._is_posting = False
        if self._is_over:
            return
        if status != 200:
            self.close(f"HTTP {status}: {body[:80]}")
        elif self._is_paused:
            self._check_paused()
        else:
            self._post()

    def _check_paused(self) -> None:
        if self._on_paused is not None and not self._is_getting and not self._is_posting:
            on_paused, self._on_paused = self._on_paused, None
            on_paused()

    async def _request(self, method: str, body: bytes, on_answer: Answer) -> None:
        try:
            await self._host.create_connection(
                lambda: Request(method, self._sid, body, on_answer), self._choose(), 7000
            )
        except OSError as error:
            on_answer(0, str(error))
