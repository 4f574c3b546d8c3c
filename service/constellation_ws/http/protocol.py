"""uvicorn's HTTP protocol, with WebSocket upgrades handed to the engine instead of to ASGI.

The request is parsed once; uvicorn would write it out again for a second parser. What uvicorn
leaves open with httptools is closed here: how large a request's head may be, how long it takes, and
how long an answer waits for its reader.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from constellation_ws.http import head as http_head
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
from constellation_ws.messages.admission import Refusal
from constellation_ws.websocket import Refuse, refusal_response

HEAD_SECONDS = 10.0
"""How long a request's head may take, and a new connection may be silent."""
UNREAD_SECONDS = 30.0
"""How long a client may leave more of an answer unread than its connection holds."""


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


class _Part(Enum):
    """Which part of a request comes next."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class _Refused(Exception):
    """Ends the parsing of a request; never leaves this module."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class HttpProtocol(BoundedReading, HttpToolsProtocol):
    """One HTTP connection; becomes a WebSocket when the path's engine agrees."""

    def __init__(
        self, *, upgrades: Mapping[str, Upgrade], lobby: Lobby, idle: Lobby, **uvicorn: Any
    ) -> None:
        """`lobby` has the connections whose request is on its way, `idle` those between two."""
        HttpToolsProtocol.__init__(self, **uvicorn)
        self._upgrades = upgrades
        self._lobby = lobby
        self._idle = idle
        self._unread: asyncio.TimerHandle | None = None
        self._part = _Part.HEAD
        self._asks_for_websocket = False
        self._piece_bytes = 0
        self._head_bytes = 0
        """Received since the head began; more than its size where a body came along."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        self.connections.add(self)
        self.transport = self._gathering = GatheringTransport(transport)  # type: ignore[assignment]
        self.begin_reading(transport)
        # What uvicorn pauses is not parsed either: requests behind one that waits, large bodies. By
        # a weak reference, as requests keep their flow control, and the protocol keeps requests.
        self.flow = FlowControl(weakref.proxy(self))
        self.client = get_remote_addr(transport)
        self.scheme = "https" if is_ssl(transport) else "http"
        if self._lobby.is_crowded():
            self._idle.close_longest_waiting()  # whoever comes has something to ask
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_keepalive_if_required()
        self._lobby.leave(self)
        self._idle.leave(self)
        self._has_read()
        self.stop_parsing()
        super().connection_lost(exc)

    def parse(self, piece: bytes) -> int:
        """Take the next bytes of the client."""
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
        return 0  # the bytes alone bound the turn

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self._abort_unread)

    def resume_writing(self) -> None:
        self._has_read()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        if self._part is not _Part.HEAD:
            super().timeout_keep_alive_handler()
        elif self._head_bytes:
            self._refuse(TOO_SLOW)
        else:
            self._lobby.refuse(TOO_SLOW)  # counted, not answered: nothing was asked
            self.transport.close()

    def close_waiting(self) -> None:
        """Make room for others: this one has asked nothing yet, or has all its answers."""
        if self._part is _Part.HEAD:
            self.transport.abort()
        else:
            self.transport.close()

    # What uvicorn calls when it has answered

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is None:
            return  # it closes, or the next request is there
        if self._part is _Part.HEAD:  # the next one has begun, and its head has a time of its own
            self._unset_keepalive_if_required()
            self._time_head()
        else:
            self._idle.enter(self)

    # What the parser calls

    def on_message_begin(self) -> None:
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
            # For pages alone: to ask makes a socket object, and a storm is of handshakes.
            self.scope["server"] = get_local_addr(self.transport)
        super().on_headers_complete()
        if not self._asks_for_websocket and self._lobby.is_crowded():
            self.cycle.keep_alive = False  # an idle connection would keep a probe from its answer

    def on_message_complete(self) -> None:
        self._part = _Part.NOTHING
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _should_upgrade(self) -> bool:
        return self._asks_for_websocket  # asked of each request thrice

    def _check_head(self) -> None:
        """Refuse a head, or put it into the form that everybody else expects. Raises _Refused."""
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
        """Read a request again as if it had offered no other protocol, and what follows it."""
        method = self.parser.get_method()
        if method == b"CONNECT":  # which is one by itself
            self._refuse(BAD_METHOD)
            return
        version = self.parser.get_http_version()
        head = http_head.without_offer(method, self.url, version, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self._part, self._head_bytes = _Part.HEAD, 0
        self.parse(head + rest)

    def _await_head(self) -> None:
        # By uvicorn's timer of idle connections: it ends them in the same way.
        self._part, self._head_bytes = _Part.HEAD, 0
        self._time_head()
        self._lobby.enter(self)

    def _time_head(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            HEAD_SECONDS, self.timeout_keep_alive_handler
        )

    def _become_websocket(self, rest: bytes) -> None:
        """Make a WebSocket of the connection, and give it what came behind the request."""
        self.connections.discard(self)
        answer = self._decide()
        if isinstance(answer, Refuse | Refusal):
            self._refuse(answer)
            return
        rest += self.pop_unparsed()
        self._has_read()
        self.stop_parsing()
        self._gathering.flush()
        self._transport.set_protocol(answer)
        # Parser and protocol hold each other, which only the collector would find out, and it comes
        # rarely: 3 KiB a connection until then. uvicorn lets go of it in the same way.
        self.parser = None  # type: ignore[assignment]
        if rest:
            answer.data_received(rest)

    def _decide(self) -> asyncio.Protocol | Refuse | Refusal:
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
        return upgrade(self._transport, request) if upgrade is not None else NO_SUCH_PATH

    def _refuse(self, answer: Refuse | Refusal) -> None:
        """Answer no and hang up; a Refusal is ours and not counted yet."""
        refuse = self._lobby.refuse(answer) if isinstance(answer, Refusal) else answer
        self._lobby.leave(self)
        self.stop_reading()
        headers = (*refuse.headers, *SECURITY_HEADERS)
        self.transport.write(refusal_response(replace(refuse, headers=headers)))
        self.transport.close()

    def _abort_unread(self) -> None:
        self._lobby.refuse(SLOW_READER)
        self.transport.abort()

    def _has_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
