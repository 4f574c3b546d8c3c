"""uvicorn's HTTP protocol, with WebSocket upgrades handed to the engine instead of to ASGI.

The request is parsed once; uvicorn would write it out again for a second parser. What uvicorn
leaves open with httptools is closed here: how large a request's head may be, and how long it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.websocket import Refuse, refusal_response

HEAD_SECONDS = 10.0
"""How long a request's head may take, and a new connection may be silent."""
MAX_HEAD_BYTES = 16_384
"""Node's own limit. Without one a head is collected in memory for as long as it is sent."""

NOT_FOUND = Refuse(HTTPStatus.NOT_FOUND, (), b"There is no WebSocket here; try /socket.io/.")
MALFORMED = Refuse(HTTPStatus.BAD_REQUEST, (), b"This is not HTTP.")
PIPELINED = Refuse(HTTPStatus.BAD_REQUEST, (), b"Wait for the answer before upgrading.")
HEAD_TOO_LARGE = Refuse(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    (),
    b"A request's head may have %d bytes at most." % MAX_HEAD_BYTES,
)


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """The request that asks for a WebSocket."""

    method: bytes
    version: bytes
    path: str
    query: str
    headers: list[tuple[bytes, bytes]]
    """Names in lower case."""
    address: str


Upgrade = Callable[[asyncio.Transport, UpgradeRequest], asyncio.Protocol | Refuse]
"""Takes the connection over, or says what to answer."""


class _Reading(Enum):
    """Which part of a request comes next."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class _HeadTooLarge(Exception):
    """Ends the parsing of a request; never leaves this module."""


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection; becomes a WebSocket when the path's engine agrees."""

    def __init__(self, *, upgrades: Mapping[str, Upgrade], **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._upgrades = upgrades
        self._reading = _Reading.HEAD
        self._chunk_bytes = 0
        self._head_bytes = 0
        """Received since the head began; more than its size where a body came along."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._reading is _Reading.NOTHING:
            self._unset_keepalive_if_required()
            self._await_head()
        self._chunk_bytes = len(data)
        self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._hand_over(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            is_large = isinstance(error.__context__, _HeadTooLarge)
            self._refuse(HEAD_TOO_LARGE if is_large else MALFORMED)
        except httptools.HttpParserError:
            self._refuse(MALFORMED)
        else:
            if self._reading is _Reading.HEAD and self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HEAD_TOO_LARGE)

    # What the parser calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._reading is not _Reading.HEAD:  # pipelined: it began somewhere in this chunk
            self._reading, self._head_bytes = _Reading.HEAD, self._chunk_bytes

    def on_headers_complete(self) -> None:
        self._reading = _Reading.BODY
        self._unset_keepalive_if_required()
        if self._head_bytes > MAX_HEAD_BYTES:
            fields = sum(len(name) + len(value) for name, value in self.headers)
            if fields + len(self.url) > MAX_HEAD_BYTES:
                raise _HeadTooLarge
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._reading = _Reading.NOTHING
        super().on_message_complete()

    def _await_head(self) -> None:
        # uvicorn's timer of idle connections: it ends them in the same way.
        self._reading, self._head_bytes = _Reading.HEAD, 0
        self.timeout_keep_alive_task = self.loop.call_later(
            HEAD_SECONDS, self.timeout_keep_alive_handler
        )

    def _hand_over(self, rest: bytes) -> None:
        """Make a WebSocket of the connection, and give it what came behind the request."""
        self.connections.discard(self)
        answer = self._decide()
        if isinstance(answer, Refuse):
            self._refuse(answer)
            return
        self.transport.set_protocol(answer)
        # Parser and protocol hold each other, which only the collector would find out, and it comes
        # rarely: 3 KiB a connection until then. uvicorn lets go of it in the same way.
        self.parser = None  # type: ignore[assignment]
        if rest:
            answer.data_received(rest)

    def _decide(self) -> asyncio.Protocol | Refuse:
        before = cast("RequestResponseCycle | None", self.cycle)  # uvicorn's type leaves None out
        if before is not None and not before.response_complete:
            return PIPELINED  # its answer would be written between the frames
        path, _, query = self.url.decode("latin-1").partition("?")
        request = UpgradeRequest(
            method=self.scope["method"].encode(),
            version=b"HTTP/" + self.scope["http_version"].encode(),
            path=path,
            query=query,
            headers=self.headers,
            address=self.client[0] if self.client else "",
        )
        upgrade = self._upgrades.get(path.rstrip("/"))
        return upgrade(self.transport, request) if upgrade is not None else NOT_FOUND

    def _refuse(self, refuse: Refuse) -> None:
        self.transport.write(refusal_response(refuse))
        self.transport.close()
