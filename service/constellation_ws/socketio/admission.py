"""Which packets of a client are read at all; what is refused is answered here."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace
from socketio import packet as sio

from constellation_ws.delivery.rooms import Member
from constellation_ws.engine.server import Engine
from constellation_ws.messages.admission import RATE_LIMIT, Denied
from constellation_ws.socketio.membership import Membership
from constellation_ws.socketio.packets import EVENTS, Head
from constellation_ws.socketio.requests import ack_packet
from constellation_ws.websocket import CloseCode

MAX_CONNECT_BYTES = 16_384
"""What a CONNECT may have at least, however small requests must be: a token has up to 8 KiB."""
MAX_CONNECTS_PER_HEARTBEAT = 100
"""Each may cost a signature: what nobody has proven yet must not cost more than what follows."""

RequestGate = Callable[[Member, int], Denied | None]
"""(who sends it, request bytes) -> why a request is not read; None where it is."""


class Admission:
    """Asks the gate about each packet whose size or number could cost others anything."""

    def __init__(self, engine: Engine, membership: Membership, gate: RequestGate) -> None:
        self._engine = engine
        self._membership = membership
        self._gate = gate

    @property
    def max_connect_bytes(self) -> int:
        """What a CONNECT may have at most."""
        return max(self._engine.limits.max_request_bytes, MAX_CONNECT_BYTES)

    def admits_connect(self, eio_sid: str) -> bool:
        """Whether a CONNECT may be handled; a session that sends too many is closed."""
        session = self._engine.sockets.get(eio_sid)
        load = self._engine.limits.max_packets_per_ping_interval // MAX_CONNECTS_PER_HEARTBEAT
        return session is None or self._engine.count_packets(session, max(1, load))

    def admits(self, eio_sid: str, member: Member | None, head: Head, size: int) -> bool:
        """Whether a packet of so many bytes may be read; a request that may not is answered.

        `member` is the session's in the namespace of the packet.
        """
        if head.kind == sio.DISCONNECT:
            return True
        if head.kind in EVENTS:
            return self._passes(eio_sid, member, head, size)
        if size <= self._engine.limits.max_request_bytes:
            return True
        # It counts as a refused request, and is not answered.
        self._passes(eio_sid, member, replace(head, ack_id=None), size)
        return False

    def _passes(self, eio_sid: str, member: Member | None, head: Head, size: int) -> bool:
        """Ask the gate. What is for a namespace that the client is not in counts in another one."""
        charged = member or next(iter(self._membership.index.of_session(eio_sid)), None)
        denied = None if charged is None else self._gate(charged, size)
        if denied is None:
            return True
        session = self._engine.sockets.get(eio_sid)
        if session is not None and denied.closes:
            self._engine.close(session, RATE_LIMIT, CloseCode.SERVICE_RESTART)
        elif session is not None and member is not None and head.ack_id is not None:
            ack = msgspec.json.encode(denied.refusal.acknowledgement())
            session.send_text(ack_packet(head.namespace, head.ack_id, ack))
        return False
