"""The engine: Engine.IO v4 and Socket.IO v5 for sockets by the ten thousand.

python-socketio stays the protocol above: packets, namespaces, acks. What carries it is ours: a
WebSocket is one asyncio protocol object and one session, without a task, a queue or ASGI; the
heartbeats of all sessions share one wheel. What goes out to many is `fanout`'s.

Private surface of others that is used here, pinned in pyproject.toml and guarded by
tests/contract/test_upstream.py, which says on failure what moved:

- python-engineio 4.15: `AsyncServer` as a base class for `sockets`, `handlers`, `generate_id`,
  `_get_socket`; its transports are not used. `Packet`.
- python-socketio 5.18: `AsyncServer._engineio_server_class`, `._handle_eio_connect`,
  `._handle_eio_message`, `._handle_eio_disconnect`, `._handle_connect`, `._send_packet`,
  `.environ`, `.packet_class`, `._binary_packet`; `BaseManager`'s index, replaced whole
  (`pre_connect` ... `get_rooms`); `Packet.decode`.
- uvicorn 0.54: `HttpToolsProtocol.handle_websocket_upgrade`, `.headers`, `.url`, `.scope`,
  `.parser`, `.connections`, `.transport`, `.client`.
"""

from service.engine.http_protocol import HttpProtocol, UpgradeRequest
from service.engine.membership import Membership
from service.engine.packets import BadPacket, Packet
from service.engine.polling import LongPolling
from service.engine.server import Engine, EngineLimits
from service.engine.session import Handshake, Session
from service.engine.socketio_server import Server

__all__ = [
    "BadPacket",
    "Engine",
    "EngineLimits",
    "Handshake",
    "HttpProtocol",
    "LongPolling",
    "Membership",
    "Packet",
    "Server",
    "Session",
    "UpgradeRequest",
]
