"""RFC 6455 for a server, without I/O.

Lives here: bytes of a client -> messages (`parser`, `received`), messages -> bytes to write
(`frames`), and the decision on the opening handshake (`handshake`). Not here: sockets, timers, and
when to ping or to close. Extensions are never negotiated, and subprotocols have no effect.
"""

from constellation_ws.websocket.frames import (
    CloseCode,
    binary_frame,
    close_frame,
    ping_frame,
    pong_frame,
    text_frame,
)
from constellation_ws.websocket.handshake import (
    Accept,
    Refuse,
    accept_key,
    check_upgrade,
    refusal_response,
    upgrade_response,
)
from constellation_ws.websocket.parser import LOAD_BYTES, MAX_FRAGMENTS, Parser
from constellation_ws.websocket.received import Close, Failure, Ping, Pong, Received

__all__ = [
    "LOAD_BYTES",
    "MAX_FRAGMENTS",
    "Accept",
    "Close",
    "CloseCode",
    "Failure",
    "Parser",
    "Ping",
    "Pong",
    "Received",
    "Refuse",
    "accept_key",
    "binary_frame",
    "check_upgrade",
    "close_frame",
    "ping_frame",
    "pong_frame",
    "refusal_response",
    "text_frame",
    "upgrade_response",
]
