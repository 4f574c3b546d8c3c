"""Long-polling requests for sessions of this pod: GET waits for packets, POST sends some.

This pod has received them itself, or another pod has forwarded them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from constellation_ws.engine import inbox
from constellation_ws.engine.admission import Admission
from constellation_ws.engine.server import Engine
from constellation_ws.engine.session import CLOSE, NOOP, EngineSession, UpgradeProbe
from constellation_ws.http.refusals import (
    BAD_METHOD,
    BAD_REQUEST,
    PAYLOAD_TOO_LARGE,
    TOO_MANY_PACKETS,
    TOO_SLOW,
    UNKNOWN_SESSION,
)
from constellation_ws.http.responses import HttpResponse
from constellation_ws.messages.admission import Refusal

AsgiMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Headers = list[tuple[bytes, bytes]]

_MAX_RESPONSE_BYTES = 1_000_000
"""Of one response, unless one packet is larger: a slow client has 30 s to read a response."""
_IN_A_ROW = 64
"""Packets of one request that are handled in one turn."""
_SEPARATOR = "\x1e"
_SEPARATOR_BYTE = _SEPARATOR.encode()
TEXT = (b"content-type", b"text/plain; charset=UTF-8")
_JSON = (b"content-type", b"application/json")


class UnreadableBody(Exception):
    """A body that is too large, too slow or incomplete."""

    def __init__(self, refusal: Refusal, *, is_clients_end: bool = False) -> None:
        """`is_clients_end` means that the client disconnected before its request was complete."""
        super().__init__(refusal)
        self.refusal, self.is_clients_end = refusal, is_clients_end


class Polls:
    """Answers the requests of the sessions of one engine."""

    def __init__(self, engine: Engine, admission: Admission) -> None:
        self._engine = engine
        self._admission = admission

    async def serve_forwarded(
        self, method: str, sid: str, body: bytes, gone: asyncio.Future[None]
    ) -> HttpResponse:
        """Respond to a request that another pod has received and checked.

        `gone` is done when its client has disconnected.
        """
        has_body = True

        async def receive() -> AsgiMessage:
            nonlocal has_body
            if has_body:
                has_body = False
                return {"type": "http.request", "body": body}
            await asyncio.wait({gone})
            return {"type": "http.disconnect"}

        return await self.serve(method, sid, receive)

    def finish_poll(self, sid: str) -> None:
        """Have a poll that waits respond with a noop."""
        session = self._engine.sockets.get(sid)
        if session is not None and session.poll is not None:
            session.queue(NOOP)

    async def serve(self, method: str, sid: str, receive: Receive) -> HttpResponse:
        """Respond to a request."""
        closed = self._engine.pending_closes.pop_polling(sid) if method == "GET" else None
        if closed is not None:
            return _packets_response(self._last_of(closed))
        session = self._engine.find(sid)
        if isinstance(session, Refusal):
            return self.refuse(session)
        if session.upgraded:
            return self.refuse(BAD_REQUEST)
        if method == "GET":
            return await self._poll(session, receive)
        if method == "POST":
            return await self._post(session, receive)
        return self.refuse(BAD_METHOD)

    async def _poll(self, session: EngineSession, receive: Receive) -> HttpResponse:
        """Wait for packets. A second poll while one waits closes the session."""
        if session.poll is not None:
            self._engine.close(session, self._engine.reason.TRANSPORT_ERROR)
            return self.refuse(BAD_REQUEST)
        if not session.outbox:
            if session.upgrade_probe is UpgradeProbe.ANSWERED:
                return _packets_response([NOOP])
            await self._wait(session, receive)
            if session.upgraded:
                return _packets_response([NOOP])
        # What is queued for a closed session cannot be fetched later.
        packets = (
            self._last_of(session) if session.closed else session.pop_outbox(_MAX_RESPONSE_BYTES)
        )
        if session.closed and not packets:
            return self.refuse(UNKNOWN_SESSION)
        return _packets_response(packets)

    def _last_of(self, session: EngineSession) -> list[str]:
        """Remove and return what is queued for a closed session, its close in a response of its
        own.

        socket.io-client handles a close before the events of the same response. It would handle
        these at its next connect, without their offsets, and get them again by its resume.
        """
        packets = session.pop_outbox()
        if packets[-1:] == [CLOSE] and len(packets) > 1:
            session.put_back(packets.pop())
            self._engine.pending_closes.add_polling(session)
        return packets

    async def _wait(self, session: EngineSession, receive: Receive) -> None:
        """Wait for packets. If the client disconnects meanwhile, its session is removed."""
        session.poll = asyncio.get_running_loop().create_future()
        watch = self._engine.spawn(self._watch(session, receive))
        try:
            await session.poll
        finally:
            session.poll = None
            if isinstance(watch, asyncio.Task):
                watch.cancel()

    async def _watch(self, session: EngineSession, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if session.poll is not None and not session.poll.done():
            # What is sent from now on would be lost without notice.
            self._engine.remove(session, self._engine.reason.TRANSPORT_CLOSE)

    async def _post(self, session: EngineSession, receive: Receive) -> HttpResponse:
        """Receive packets. A second POST at a time closes the session: their order is unknown."""
        if session.post is not None:
            self._engine.close(session, self._engine.reason.TRANSPORT_ERROR)
            return self.refuse(BAD_REQUEST)
        session.post = asyncio.get_running_loop().create_future()
        try:
            return await self._receive_body(session, session.post, receive)
        finally:
            session.post = None

    async def _receive_body(
        self, session: EngineSession, may_go_on: asyncio.Future[None], receive: Receive
    ) -> HttpResponse:
        try:
            body = await self.read_body(receive)
            if not self._engine.count_packets(session, body.count(_SEPARATOR_BYTE) + 1):
                return self.refuse(TOO_MANY_PACKETS)
            packets = decode_payload(body)
        except UnreadableBody as unreadable:
            if not unreadable.is_clients_end:
                self._engine.close(session, self._engine.reason.TRANSPORT_ERROR)
            return self.refuse(unreadable.refusal)
        except ValueError:
            self._engine.close_on_parse_error(session)
            return self.refuse(BAD_REQUEST)
        if session.closed:
            return self.refuse(UNKNOWN_SESSION)
        for number, packet in enumerate(packets, 1):
            self._receive(session, packet)
            if number % _IN_A_ROW == 0:
                await self._engine.turns.wait()
        if inbox.is_full(session):
            await may_go_on  # as a WebSocket is not read meanwhile
        return HttpResponse(HTTPStatus.OK, [TEXT], b"ok")

    def _receive(self, session: EngineSession, packet: str | bytes) -> None:
        if session.closed:
            return
        if isinstance(packet, bytes):
            self._engine.receive_message(session, packet)
        elif packet == CLOSE:
            # The reference server answers the poll that waits with a noop, and both with 200.
            session.queue(NOOP)
            self._engine.remove(session, self._engine.reason.TRANSPORT_CLOSE)
        else:
            self._engine.receive_packet(session, packet)

    async def read_body(self, receive: Receive) -> bytes:
        """Read a body within the size and time limits. Raises UnreadableBody."""
        body = bytearray()
        limits = self._engine.limits
        seconds = limits.ping_interval_seconds + limits.ping_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise UnreadableBody(BAD_REQUEST, is_clients_end=True)
                    body += message.get("body", b"")
                    if len(body) > limits.max_payload_bytes:
                        raise UnreadableBody(PAYLOAD_TOO_LARGE)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise UnreadableBody(TOO_SLOW) from None

    def refuse(self, refusal: Refusal) -> HttpResponse:
        """Count a refusal, and return the response to it."""
        refuse = self._admission.refuse(refusal)
        return HttpResponse(refuse.status, [_JSON, *refuse.headers], refuse.body, refusal.code)


def _packets_response(packets: list[str]) -> HttpResponse:
    return HttpResponse(HTTPStatus.OK, [TEXT], _SEPARATOR.join(packets).encode())


def decode_payload(body: bytes) -> list[str | bytes]:
    """Split a payload into packets. Raises ValueError if one is invalid."""
    packets: list[str | bytes] = []
    for packet in body.decode().split(_SEPARATOR):
        if packet.startswith("b"):
            try:
                packets.append(base64.b64decode(packet[1:], validate=True))
            except binascii.Error as error:
                raise ValueError("not base64") from error
        elif packet[:1] in ("1", "3", "4"):
            packets.append(packet)
        else:
            raise ValueError("no packet")
    return packets
