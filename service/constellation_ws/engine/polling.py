"""HTTP long-polling: Engine.IO's transport for clients that cannot have a WebSocket yet.

An ASGI application for one path. GET waits for packets, POST brings some. Sessions are `server`'s.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from constellation_ws.engine import inbox
from constellation_ws.engine.server import Engine
from constellation_ws.engine.session import NOOP, Probe, Session
from constellation_ws.http.entrance import (
    BAD_METHOD,
    BAD_REQUEST,
    PAYLOAD_TOO_LARGE,
    TOO_MANY_PACKETS,
    TOO_SLOW,
    UNKNOWN_SESSION,
    check_query,
)
from constellation_ws.messages.admission import Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Answer = tuple[HTTPStatus, Headers, bytes]

_ANSWER_BYTES = 1_000_000
"""What one answer holds, unless one packet is larger: a slow client has 30 s to read an answer."""
_IN_A_ROW = 256
"""Packets of one request that are taken in one turn of the event loop."""
_SEPARATOR = "\x1e"
_SEPARATOR_BYTE = _SEPARATOR.encode()
_TEXT = (b"content-type", b"text/plain; charset=UTF-8")
_JSON = (b"content-type", b"application/json")


class _Gone(Exception):
    """The client hung up before its request was whole."""


class _TooLarge(Exception):
    """The body has more bytes than are taken."""


class LongPolling:
    """Answers the HTTP requests of one Engine.IO path."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: Headers = scope["headers"]
        if (refusal := self._engine.check_origin(headers)) is not None:
            status, more, body = self._refuse(refusal)
        else:
            status, more, body = await self._answer(scope, headers, receive)
            more += _cors(scope["method"], headers)
        length = (b"content-length", b"%d" % len(body))
        all_headers = [length, *more, _NO_STORE]
        start = {"type": "http.response.start", "status": int(status), "headers": all_headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        method = scope["method"]
        if method == "OPTIONS":
            return HTTPStatus.NO_CONTENT, [], b""
        query_string = scope["query_string"].decode("latin-1")
        query = dict(parse_qsl(query_string))
        if (refusal := check_query(query, "polling")) is not None:
            return self._refuse(refusal)
        if "sid" not in query:
            peer = (scope.get("client") or ("",))[0]
            address = self._engine.proxies.client_of(peer, headers)
            return self._open(method, query_string, address, headers)
        return await self._serve(method, query["sid"], receive)

    def _open(self, method: str, query: str, address: str, headers: Headers) -> Answer:
        refusal = BAD_METHOD if method != "GET" else self._engine.admit(address)
        if refusal is not None:
            return self._refuse(refusal)
        session = self._engine.open(query, address, headers)
        return HTTPStatus.OK, [_TEXT], b"0" + session.opening()

    async def _serve(self, method: str, sid: str, receive: Receive) -> Answer:
        goodbye = self._engine.take_goodbye(sid) if method == "GET" else None
        if goodbye is not None:
            return _packets(goodbye.take_outbox())
        session = self._engine.find(sid)
        if isinstance(session, Refusal):
            return self._refuse(session)
        if session.upgraded:
            return self._refuse(BAD_REQUEST)
        if method == "GET":
            return await self._poll(session, receive)
        if method == "POST":
            return await self._post(session, receive)
        return self._refuse(BAD_METHOD)

    async def _poll(self, session: Session, receive: Receive) -> Answer:
        """Wait until there is something to send. A second poll beside the first is a fault."""
        if session.poll is not None:
            self._engine.end(session, self._engine.reason.TRANSPORT_ERROR)
            return self._refuse(BAD_REQUEST)
        if not session.outbox:
            if session.probe is Probe.ANSWERED:
                return _packets([NOOP])
            await self._wait(session, receive)
            if session.upgraded:
                return _packets([NOOP])
        # What waits for a session that has ended cannot be fetched later.
        packets = session.take_outbox(None if session.closed else _ANSWER_BYTES)
        if session.closed and not packets:
            return self._refuse(UNKNOWN_SESSION)
        return _packets(packets)

    async def _wait(self, session: Session, receive: Receive) -> None:
        """Wait for packets; a client that hangs up meanwhile has left."""
        session.poll = asyncio.get_running_loop().create_future()
        watch = self._engine.spawn(self._watch(session, receive))
        try:
            await session.poll
        finally:
            session.poll = None
            if isinstance(watch, asyncio.Task):
                watch.cancel()

    async def _watch(self, session: Session, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if session.poll is not None and not session.poll.done():
            # What would be sent now would be lost unnoticed.
            self._engine.lose(session, self._engine.reason.TRANSPORT_CLOSE)

    async def _post(self, session: Session, receive: Receive) -> Answer:
        """Take packets. A second request beside the first is a fault: which one is older?"""
        if session.post is not None:
            self._engine.end(session, self._engine.reason.TRANSPORT_ERROR)
            return self._refuse(BAD_REQUEST)
        session.post = asyncio.get_running_loop().create_future()
        try:
            return await self._take_body(session, session.post, receive)
        finally:
            session.post = None

    async def _take_body(
        self, session: Session, may_go_on: asyncio.Future[None], receive: Receive
    ) -> Answer:
        try:
            body = await self._read(receive)
            if not self._engine.bear(session, body.count(_SEPARATOR_BYTE) + 1):
                return self._refuse(TOO_MANY_PACKETS)
            packets = decode_payload(body)
        except _Gone:
            return self._refuse(BAD_REQUEST)
        except TimeoutError:
            self._engine.end(session, self._engine.reason.TRANSPORT_ERROR)
            return self._refuse(TOO_SLOW)
        except _TooLarge:
            self._engine.end(session, self._engine.reason.TRANSPORT_ERROR)
            return self._refuse(PAYLOAD_TOO_LARGE)
        except ValueError:
            self._engine.fail(session)
            return self._refuse(BAD_REQUEST)
        if session.closed:
            return self._refuse(UNKNOWN_SESSION)
        for number, packet in enumerate(packets, 1):
            self._take(session, packet)
            if number % _IN_A_ROW == 0:
                await asyncio.sleep(0)  # the loop's other work comes in between
        if inbox.is_full(session):
            await may_go_on  # as a WebSocket is not read meanwhile
        return HTTPStatus.OK, [_TEXT], b"ok"

    def _take(self, session: Session, packet: str | bytes) -> None:
        if session.closed:
            return
        if isinstance(packet, bytes):
            self._engine.receive(session, packet)
        elif packet == "1":
            # The reference server answers the poll that waits with a noop, and both with 200.
            session.queue(NOOP)
            self._engine.lose(session, self._engine.reason.TRANSPORT_CLOSE)
        else:
            self._engine.hear(session, packet)

    async def _read(self, receive: Receive) -> bytes:
        """Read the body. Raises _Gone, _TooLarge and TimeoutError."""
        body = bytearray()
        limits = self._engine.limits
        async with asyncio.timeout(limits.ping_interval_seconds + limits.ping_timeout_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                body += message.get("body", b"")
                if len(body) > limits.max_payload_bytes:
                    raise _TooLarge
                if not message.get("more_body", False):
                    return bytes(body)

    def _refuse(self, refusal: Refusal) -> Answer:
        status, headers, body = self._engine.refuse(refusal)
        return status, [_JSON, *headers], body


_NO_STORE = (b"cache-control", b"no-store")


def _packets(packets: list[str]) -> Answer:
    return HTTPStatus.OK, [_TEXT], _SEPARATOR.join(packets).encode()


def decode_payload(body: bytes) -> list[str | bytes]:
    """Split a payload into packets. Raises ValueError where one is none."""
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


def _cors(method: str, headers: Headers) -> Headers:
    """Allow the page that asks, which `check_origin` has let through."""
    asked = dict(headers)
    origin = asked.get(b"origin")
    if origin is None:
        return []
    allowed = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"origin"),
    ]
    if method == "OPTIONS":
        allowed.append((b"access-control-allow-methods", b"GET, POST, OPTIONS"))
        wanted = asked.get(b"access-control-request-headers")
        if wanted is not None:
            allowed.append((b"access-control-allow-headers", wanted))
    return allowed
