"""uvicorn's HTTP protocol, with WebSocket upgrades passed to the engine instead of to ASGI.

The request is parsed once; uvicorn would write it out again for a second parser. Limits that it
does not have are here: a head's size and time, and the time that a response waits to be read.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, auto
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, is_ssl

from constellation_ws.http import head as http_head
from constellation_ws.http.addresses import peer_of
from constellation_ws.http.bounded_reading import BoundedReading
from constellation_ws.http.gathering import GatheringTransport
from constellation_ws.http.lobby import Lobby
from constellation_ws.http.refusals import (
    BAD_METHOD,
    HEAD_TOO_LARGE,
    MAX_HEAD_BYTES,
    NO_SUCH_PATH,
    NOT_HTTP,
    PIPELINED,
    SECURITY_HEADERS,
    SLOW_READER,
    TOO_SLOW,
)
from constellation_ws.http.upgrade_request import Upgrade, UpgradeRequest
from constellation_ws.messages.admission import Refusal
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.websocket import Refuse, refusal_response

HEAD_SECONDS = 10.0
"""Timeout for a request's head, and for a new connection without one."""
UNREAD_SECONDS = 30.0
"""Timeout for a client that does not read a response which exceeds the write buffer."""


class _Part(Enum):
    """Which part of a request comes next."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class _Refused(Exception):
    """Ends the parsing of a request; is caught in this module."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class HttpProtocol(BoundedReading, HttpToolsProtocol):  # type: ignore[misc]  # eof_received
    """One HTTP connection. It becomes a WebSocket if the upgrade handler of the path accepts."""

    def __init__(
        self,
        *,
        turns: TurnQueue,
        upgrades: Mapping[str, Upgrade],
        lobby: Lobby,
        idle: Lobby,
        **uvicorn: Any,
    ) -> None:
        """`lobby` has connections that wait for a request's head, `idle` those between requests."""
        HttpToolsProtocol.__init__(self, **uvicorn)
        self._queue = turns
        self._upgrades = upgrades
        self._lobby = lobby
        self._idle = idle
        self._unread: asyncio.TimerHandle | None = None
        self._part = _Part.HEAD
        self._asks_for_websocket = False
        self._piece_bytes = 0
        self._calls = 0
        self._head_bytes = 0
        """Received since the head began; more than its size where a body came along."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        self.connections.add(self)
        self.transport = self._gathering = GatheringTransport(transport)  # type: ignore[assignment]
        self.begin_reading(transport, self._queue)
        # What uvicorn pauses is not parsed either: requests behind one that waits, large bodies.
        # The reference is weak: requests hold their flow control, and the protocol holds requests.
        self.flow = FlowControl(weakref.proxy(self))
        self.client = peer_of(transport.get_extra_info("peername"))
        self.scheme = "https" if is_ssl(transport) else "http"
        if self._lobby.is_crowded():
            self._idle.close_longest_waiting()  # a new connection probably has a request
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_keepalive_if_required()
        self._lobby.leave(self)
        self._idle.leave(self)
        self._cancel_unread_timer()
        self.stop_parsing()
        super().connection_lost(exc)

    def parse(self, piece: bytes) -> int:
        """Parse the next bytes of the client. The load is what the parser has called for them."""
        self._calls = 0
        if self._part is _Part.NOTHING:
            self._unset_keepalive_if_required()
            self._idle.leave(self)
            self._await_head()
        self._piece_bytes = len(piece)
        self._head_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            rest = piece[upgrade.args[0] :]
            (self._become_websocket if self._should_upgrade() else self._ignore_offer)(rest)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(cause.refusal if isinstance(cause, _Refused) else NOT_HTTP)
        except httptools.HttpParserError:
            self._refuse(NOT_HTTP)
        else:
            if self._part is _Part.HEAD and self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HEAD_TOO_LARGE)
        return self._calls

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self._abort_unread)

    def resume_writing(self) -> None:
        self._cancel_unread_timer()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        if self._part is not _Part.HEAD:
            super().timeout_keep_alive_handler()
        elif self._head_bytes:
            self._refuse(TOO_SLOW)
        else:
            self._lobby.refuse(TOO_SLOW)  # counted, without a response: there was no request
            self.transport.close()

    def close_waiting(self) -> None:
        """Close: there is no request, or no response that is incomplete."""
        if self._part is _Part.HEAD:
            self.transport.abort()
        else:
            self.transport.close()

    # What uvicorn calls after a response

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is None:
            return  # it closes, or the next request has arrived
        if self._part is _Part.HEAD:  # the next one has begun; its head has its own timeout
            self._unset_keepalive_if_required()
            self._time_head()
        else:
            self._idle.enter(self)

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self._calls += 1
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._calls += 1
        super().on_body(body)

    def on_message_begin(self) -> None:
        self._calls += 1
        super().on_message_begin()
        if self._part is not _Part.HEAD:  # pipelined: it began somewhere in this piece
            self._part, self._head_bytes = _Part.HEAD, self._piece_bytes

    def on_headers_complete(self) -> None:
        self._part = _Part.BODY
        self._lobby.leave(self)
        self._unset_keepalive_if_required()
        self._check_head()
        self._asks_for_websocket = HttpToolsProtocol._should_upgrade(self)
        if not self._asks_for_websocket:
            if self.parser.should_upgrade():
                return  # the parser stops here, see `_ignore_offer`
            # Only for pages: the call makes a socket object, and in a storm there are handshakes.
            self.scope["server"] = get_local_addr(self.transport)
        super().on_headers_complete()
        if not self._asks_for_websocket and self._lobby.is_crowded():
            # Idle connections would use up the files that health checks need.
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._part = _Part.NOTHING
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _should_upgrade(self) -> bool:
        return self._asks_for_websocket  # called three times for each request

    def _check_head(self) -> None:
        """Refuse a head, or normalize its target and Host. Raises _Refused."""
        if self._head_bytes > MAX_HEAD_BYTES:
            fields = sum(len(name) + len(value) for name, value in self.headers)
            if fields + len(self.url) > MAX_HEAD_BYTES:
                raise _Refused(HEAD_TOO_LARGE)
        refusal = http_head.check_host(self.parser.get_http_version(), self.headers)
        if refusal is not None:
            raise _Refused(refusal)
        if not self.url.startswith(b"/"):
            form = http_head.origin_form(self.url, self.headers)
            if isinstance(form, Refusal):
                raise _Refused(form)
            self.url, self.headers[:] = form  # in place: the ASGI scope has this list

    def _ignore_offer(self, rest: bytes) -> None:
        """Parse a request again without its offer of another protocol, and what follows it."""
        method = self.parser.get_method()
        if method == b"CONNECT":  # which is an offer by itself
            self._refuse(BAD_METHOD)
            return
        version = self.parser.get_http_version()
        head = http_head.without_offer(method, self.url, version, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self._part, self._head_bytes = _Part.HEAD, 0
        self.parse(head + rest)

    def _await_head(self) -> None:
        # With uvicorn's timer of idle connections: it closes them in the same way.
        self._part, self._head_bytes = _Part.HEAD, 0
        self._time_head()
        self._lobby.enter(self)

    def _time_head(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            HEAD_SECONDS, self.timeout_keep_alive_handler
        )

    def _become_websocket(self, rest: bytes) -> None:
        """Replace this protocol by that of the WebSocket, and pass on what followed the request."""
        self.connections.discard(self)
        decision = self._decide()
        if isinstance(decision, Refuse | Refusal):
            self._refuse(decision)
            return
        rest += self.pop_unparsed()
        self._cancel_unread_timer()
        self.stop_parsing()
        self._gathering.flush()
        self._transport.set_protocol(decision)
        # Parser and protocol refer to each other: only the garbage collector would free the 3 KiB,
        # and it runs rarely. uvicorn drops the parser too.
        self.parser = None  # type: ignore[assignment]
        if rest:
            decision.data_received(rest)

    def _decide(self) -> asyncio.Protocol | Refuse | Refusal:
        before = cast("RequestResponseCycle | None", self.cycle)  # uvicorn's type leaves None out
        if before is not None and not before.response_complete:
            return PIPELINED  # its response would be written between the frames
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
        return upgrade(self._transport, request) if upgrade is not None else NO_SUCH_PATH

    def _refuse(self, refusal: Refuse | Refusal) -> None:
        """Respond with a refusal and close. A Refuse has been counted, a Refusal has not."""
        refuse = self._lobby.refuse(refusal) if isinstance(refusal, Refusal) else refusal
        self._lobby.leave(self)
        self.stop_reading()
        headers = (*refuse.headers, *SECURITY_HEADERS)
        self.transport.write(refusal_response(replace(refuse, headers=headers)))
        self.transport.close()

    def _abort_unread(self) -> None:
        self._lobby.refuse(SLOW_READER)
        self.transport.abort()

    def _cancel_unread_timer(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
