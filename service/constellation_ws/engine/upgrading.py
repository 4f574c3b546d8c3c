"""WebSocket handshakes: sessions that begin on a WebSocket, and sessions that are upgraded to one.

What a handshake must contain is decided in `websocket` and `http.query`; `server` opens sessions.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache

from constellation_ws.engine.admission import Admission
from constellation_ws.engine.connection import WebSocketConnection
from constellation_ws.engine.elsewhere import Elsewhere
from constellation_ws.engine.server import Engine
from constellation_ws.engine.session import EngineSession, UpgradeProbe
from constellation_ws.http import refusals
from constellation_ws.http.query import check_query, read_query
from constellation_ws.http.upgrade_request import UpgradeRequest
from constellation_ws.messages.admission import Refusal
from constellation_ws.websocket import (
    Accept,
    CloseCode,
    Refuse,
    check_upgrade,
    text_frame,
    upgrade_response,
)

SOCKET_IO_PATH = "/socket.io"
"""Where clients connect that are told nothing else."""


@lru_cache(maxsize=16)  # nearly all clients send one of a few queries; one with a sid is sent once
def _parameters(query: str) -> Mapping[str, str]:
    return read_query(query)


class Upgrades:
    """Handles the WebSocket handshakes of one path; `LongPolling` handles its other requests."""

    def __init__(self, engine: Engine, admission: Admission, elsewhere: Elsewhere) -> None:
        self._engine = engine
        self._admission = admission
        self._elsewhere = elsewhere

    def handle(
        self, transport: asyncio.Transport, request: UpgradeRequest
    ) -> asyncio.Protocol | Refuse:
        """Open a session on a WebSocket, or begin to upgrade one; or return the refusal."""
        engine = self._engine
        if request.version == b"HTTP/1.0":
            return self._refuse(refusals.OLD_HTTP)
        verdict = check_upgrade(request.method, request.version, request.headers)
        if isinstance(verdict, Refuse):
            engine.observer.refused(refusals.BAD_HANDSHAKE.code)
            return verdict
        query = _parameters(request.query)
        fault = check_query(query, "websocket") or self._admission.check_origin(request.headers)
        if fault is not None:
            return self._refuse(fault)
        if "sid" in query:
            if engine.owner_of(query["sid"]) is not None:
                return self._tunnel(transport, request, verdict, query["sid"])
            return self._probe(transport, verdict, query["sid"])
        address = self._admission.proxies.client_of(request.address, request.headers)
        refusal = self._admission.admit(address)
        if refusal is not None:
            return self._refuse(refusal)
        # One copy of the query: it is the same from nearly all clients that do not poll first.
        session = engine.open(sys.intern(request.query), address, request.headers)
        connection = WebSocketConnection(engine, transport)
        connection.carry(session)
        open_packet = text_frame(b"0" + session.open_payload())
        transport.write(upgrade_response(verdict) + open_packet)
        return connection

    def _probe(
        self, transport: asyncio.Transport, accept: Accept, sid: str
    ) -> asyncio.Protocol | Refuse:
        session = self._engine.find(sid)
        if isinstance(session, Refusal):
            return self._refuse(session)
        connection = WebSocketConnection(self._engine, transport)
        transport.write(upgrade_response(accept))
        _begin_probe(self._engine, connection, session)
        return connection

    def _tunnel(
        self,
        transport: asyncio.Transport,
        request: UpgradeRequest,
        accept: Accept,
        sid: str,
    ) -> asyncio.Protocol | Refuse:
        """Connect a WebSocket to the pod that holds its session, if this pod has room for it."""
        refusal = self._admission.admit_tunnel()
        tunnel = refusal or self._elsewhere.tunnel(transport, request, accept, sid)
        return self._refuse(tunnel) if isinstance(tunnel, Refusal) else tunnel

    def _refuse(self, refusal: Refusal) -> Refuse:
        return self._admission.refuse(refusal)


class TunnelledConnection(WebSocketConnection):
    """A WebSocket whose client is at another pod, to which its session moves once it is carried."""

    __slots__ = ("_upgraded",)

    def __init__(
        self,
        engine: Engine,
        transport: asyncio.Transport,
        upgraded: Callable[[EngineSession], None],
    ) -> None:
        super().__init__(engine, transport)
        self._upgraded = upgraded

    def upgrade(self, session: EngineSession) -> None:
        super().upgrade(session)
        self._upgraded(session)


def accept_tunnelled(
    engine: Engine,
    transport: asyncio.Transport,
    sid: str,
    upgraded: Callable[[EngineSession], None],
) -> asyncio.Protocol | Refusal:
    """Begin to upgrade a session to a WebSocket that another pod has received.

    `transport` is the tunnel to it. The other pod answers the handshake. `upgraded` is called once
    the WebSocket carries the session.
    """
    session = engine.find(sid)
    if isinstance(session, Refusal):
        return session
    connection = TunnelledConnection(engine, transport, upgraded)
    _begin_probe(engine, connection, session)
    return connection


def _begin_probe(engine: Engine, connection: WebSocketConnection, session: EngineSession) -> None:
    if session.upgraded or session.upgrade_probe is not UpgradeProbe.NONE:
        # As the reference server does. A refused handshake would be an error in many clients, and
        # in programs that use `ws` one that nobody catches.
        engine.observer.refused(refusals.BAD_REQUEST.code)
        connection.close(CloseCode.NO_STATUS, "")
        return
    connection.probe(session)
    engine.expect_upgrade(connection)
