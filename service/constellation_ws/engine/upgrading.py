"""WebSockets on their way in: sessions that begin on one, and sessions that move there.

What is asked of a handshake is decided in `websocket` and `entrance`; `server` opens the sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import parse_qsl

from constellation_ws.engine.connection import WebSocketConnection
from constellation_ws.engine.server import Engine
from constellation_ws.engine.session import Probe
from constellation_ws.http import entrance
from constellation_ws.http.protocol import UpgradeRequest
from constellation_ws.messages.admission import Refusal
from constellation_ws.websocket import (
    Accept,
    CloseCode,
    Refuse,
    check_upgrade,
    text_frame,
    upgrade_response,
)


@lru_cache(maxsize=16)  # nearly all clients send the same few; who sends an sid sends it once
def _parameters(query: str) -> Mapping[str, str]:
    return dict(parse_qsl(query))


class Upgrades:
    """The WebSocket side of an engine's handshakes, as `LongPolling` is the other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(
        self, transport: asyncio.Transport, request: UpgradeRequest
    ) -> asyncio.Protocol | Refuse:
        """Open a session on a WebSocket, or begin to move one there; or say why not."""
        engine = self._engine
        if request.version == b"HTTP/1.0":
            return self._refuse(entrance.OLD_HTTP)
        verdict = check_upgrade(request.method, request.version, request.headers)
        if isinstance(verdict, Refuse):
            engine.observer.refused(entrance.BAD_HANDSHAKE.code)
            return verdict
        query = _parameters(request.query)
        fault = entrance.check_query(query, "websocket") or engine.check_origin(request.headers)
        if fault is not None:
            return self._refuse(fault)
        if "sid" in query:
            return self._probe(transport, verdict, query["sid"])
        address = engine.proxies.client_of(request.address, request.headers)
        refusal = engine.admit(address)
        if refusal is not None:
            return self._refuse(refusal)
        session = engine.open(request.query, address, request.headers)
        connection = WebSocketConnection(engine, transport)
        connection.carry(session)
        hello = text_frame(b"0" + session.opening())
        transport.write(upgrade_response(verdict) + hello)
        return connection

    def _probe(
        self, transport: asyncio.Transport, accept: Accept, sid: str
    ) -> asyncio.Protocol | Refuse:
        session = self._engine.find(sid)
        if isinstance(session, Refusal):
            return self._refuse(session)
        connection = WebSocketConnection(self._engine, transport)
        transport.write(upgrade_response(accept))
        if session.upgraded or session.probe is not Probe.NONE:
            # As the reference server does: a refused handshake is an error to many clients, and to
            # a program on `ws` one that nobody catches.
            self._engine.observer.refused(entrance.BAD_REQUEST.code)
            connection.close(CloseCode.NO_STATUS, "")
            return connection
        connection.probe(session)
        self._engine.expect_upgrade(connection)
        return connection

    def _refuse(self, refusal: Refusal) -> Refuse:
        return Refuse(*self._engine.refuse(refusal))
