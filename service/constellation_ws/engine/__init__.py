"""The engine: Engine.IO v4 and Socket.IO v5 for sockets by the ten thousand.

python-socketio implements the protocol above: packets, namespaces, acks. This package replaces what
is below it: a WebSocket is one asyncio protocol object and one session, without a task, a queue or
ASGI, and one timer wheel pings all sessions. Writing an event to many sessions is `fanout`'s task.

Private interfaces of other packages that are used here. pyproject.toml pins their versions, and
tests/contract/test_upstream.py fails if they change and says what has changed:

- python-engineio 4.15: `AsyncServer` as a base class for `sockets`, `handlers`, `generate_id`,
  `reason`; its transports are not used. `Packet`.
- python-socketio 5.18: `AsyncServer._engineio_server_class`, `._handle_eio_connect`,
  `._handle_eio_message`, replaced whole, `._handle_eio_disconnect`, `._handle_connect`,
  `._handle_disconnect`, `._handle_event`, `._handle_ack`, `._trigger_event`, `._send_packet`,
  `.environ`, `.packet_class`; `BaseManager`'s index, replaced whole (`rooms`, `pre_connect` ...
  `get_rooms`) and its `callbacks`; `Packet.encode`.
- uvicorn 0.54: `HttpToolsProtocol` as a base class whose `connection_made` and `data_received` are
  replaced: `._should_upgrade`, `._unset_keepalive_if_required`, `.timeout_keep_alive_task` and its
  handler, the parser's callbacks, `.on_response_complete`, `.cycle.response_complete`, `.headers`,
  `.url`, `.scope`, `.parser`, `.connections`, `.transport`, `.flow`, `.client`, `.scheme`, `.loop`;
  `FlowControl`, which pauses and resumes what it is given; `get_local_addr` and
  `is_ssl`. httptools 0.9: where an upgrade's bytes begin.
"""
