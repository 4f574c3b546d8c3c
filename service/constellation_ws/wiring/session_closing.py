"""Closes Engine.IO sessions for those who know a session, its ID, or its member."""

from __future__ import annotations

from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.engine.server import Engine
from constellation_ws.engine.session import EngineSession
from constellation_ws.recovery.none import NoSessions
from constellation_ws.recovery.sessions import Sessions
from constellation_ws.socketio.server import Server


class SessionClosing:
    """Every close is graceful: what was sent before reaches the client, and it may resume."""

    def __init__(
        self, engine: Engine, server: Server, rooms: Rooms, sessions: Sessions | NoSessions
    ) -> None:
        self._engine = engine
        self._server = server
        self._rooms = rooms
        self._sessions = sessions

    def close(self, session: EngineSession, reason: str) -> None:
        """Close a session so that its client reconnects; its Close frame proves what arrived."""
        if not session.closed:
            for member in self._rooms.of_session(session.sid):
                self._sessions.closing(member)
        self._server.close_session(session, reason)

    def close_for_peer(self, sid: str) -> None:
        """Close a session whose client's WebSocket is on a pod that is about to stop."""
        session = self._engine.sockets.get(sid)
        if session is not None:
            self.close(session, "drain")

    def close_member(self, member: Member, reason: str) -> None:
        """Close a member's session, which another connection has resumed."""
        session = self._engine.sockets.get(member.eio_sid)
        if session is not None:
            self._server.close_session(session, reason)
