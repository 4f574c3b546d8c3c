"""Socket.IO's server: python-socketio with its index of rooms and its rough edges replaced.

Private surface of python-socketio 5.18 that is overridden or called here, pinned in pyproject.toml
and guarded by tests/contract/test_upstream.py: `AsyncServer._handle_connect`,
`._handle_eio_message`, `._handle_eio_disconnect`, `._send_packet`, `.packet_class`; the whole of
`BaseManager`'s index (`pre_connect` ... `get_rooms`); `Packet.decode`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import socketio
from socketio import packet as sio

from service.admission import INVALID_NAMESPACE
from service.events import NAMESPACE, RESERVED_EVENTS, Room, Sid
from service.rooms import Member, Rooms, Stage

RequestGate = Callable[[str, int, int | None], Awaitable[bool]]
"""(eio_sid, request bytes, ack id) -> whether the request may be handled."""


class BadPacket(ValueError):
    """A client sent what is no Socket.IO v5 packet."""


class Packet(sio.Packet):  # type: ignore[misc]  # python-socketio is untyped
    """A Socket.IO packet whose shape is checked, as the reference implementation does."""

    def decode(self, encoded_packet: str) -> int:
        """Read a packet and say how many attachments follow. Raises BadPacket."""
        try:
            attachments: int = super().decode(encoded_packet)
        except (ValueError, TypeError, IndexError, RecursionError) as error:
            raise BadPacket("not a Socket.IO packet") from error
        if not _is_well_formed(self.packet_type, self.data, attachments):
            raise BadPacket("a packet whose payload does not fit its type")
        return attachments


_MAX_ATTACHMENTS = 10


def _is_well_formed(kind: int, data: object, attachments: int) -> bool:
    """Say whether a payload fits its packet type, see `isPacketValid` of socket.io-parser 4.2."""
    if attachments > _MAX_ATTACHMENTS or (attachments and kind not in _BINARY):
        return False
    match kind:
        case sio.CONNECT:
            return data is None or isinstance(data, dict)
        case sio.DISCONNECT:
            return data is None
        case sio.EVENT | sio.BINARY_EVENT:
            return (
                isinstance(data, list)
                and bool(data)
                and isinstance(data[0], str)
                and data[0] not in RESERVED_EVENTS
            )
        case sio.ACK | sio.BINARY_ACK:
            return isinstance(data, list)
    return False


_BINARY = (sio.BINARY_EVENT, sio.BINARY_ACK)


class Membership(socketio.AsyncManager):  # type: ignore[misc]  # python-socketio is untyped
    """python-socketio's view of `Rooms`: the same calls, another index behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.namespaces: dict[str, Rooms] = {}

    def rooms_of(self, namespace: str) -> Rooms:
        """Give the index of a namespace, the same object for ever."""
        return self.namespaces.setdefault(namespace, Rooms())

    def get_namespaces(self) -> Iterable[str]:
        return self.namespaces.keys()

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        rooms = self.rooms_of(namespace)
        if room is None:
            audience = rooms.everyone()
        elif isinstance(room, str):
            audience = rooms.members(room)
        else:
            audience = rooms.audience(room, ())
        yield from [(member.sid, member.eio_sid) for member in audience]

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        sid = Sid(self.server.eio.generate_id())
        member = Member(sid, eio_sid, self.server.eio.sockets.get(eio_sid))
        return sid if self.rooms_of(namespace).add(member) else None

    async def connect(self, sid: str, namespace: str) -> str:
        member = self.member(sid, namespace)
        if member is not None:
            member.stage = Stage.CONNECTED
        return sid

    def member(self, sid: str | None, namespace: str = NAMESPACE) -> Member | None:
        """Find a member of a namespace."""
        return self.rooms_of(namespace).by_sid(sid)

    def is_pre_connected(self, sid: str, namespace: str) -> bool:
        return self._stage(sid, namespace) is Stage.CONNECTING

    def is_connected(self, sid: str | None, namespace: str) -> bool:
        return self._stage(sid, namespace) is Stage.CONNECTED

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        member = self.rooms_of(namespace).by_eio_sid(eio_sid)
        return None if member is None else member.sid

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        member = self.member(sid, namespace)
        return None if member is None else member.eio_sid

    def pre_disconnect(self, sid: str, namespace: str) -> str | None:
        member = self.member(sid, namespace)
        if member is None:
            return None
        member.stage = Stage.LEAVING
        return member.eio_sid

    def basic_disconnect(self, sid: str, namespace: str, **_: Any) -> None:
        member = self.member(sid, namespace)
        if member is not None:
            self.rooms_of(namespace).remove(member)
        self.callbacks.pop(sid, None)

    def is_sid_room(self, namespace: str, room: str) -> bool:
        return self.member(room, namespace) is not None

    def basic_enter_room(
        self, sid: str, namespace: str, room: str, eio_sid: str | None = None
    ) -> None:
        member = self.member(sid, namespace)
        if member is None:
            raise ValueError("sid is not connected to requested namespace")
        self.rooms_of(namespace).enter(member, Room(room))

    def basic_leave_room(self, sid: str, namespace: str, room: str) -> None:
        member = self.member(sid, namespace)
        if member is not None:
            self.rooms_of(namespace).leave(member, Room(room))

    def basic_close_room(self, room: str, namespace: str) -> None:
        self.rooms_of(namespace).empty(Room(room))

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        member = self.member(sid, namespace)
        return [] if member is None else [sid, *member.rooms]

    def _stage(self, sid: str | None, namespace: str) -> Stage | None:
        member = self.member(sid, namespace)
        return None if member is None else member.stage


class Server(socketio.AsyncServer):  # type: ignore[misc]  # python-socketio is untyped
    """python-socketio's server, strict about packets and kind in its refusals."""

    def __init__(
        self,
        *,
        cors_origins: tuple[str, ...],
        ping_interval_seconds: float,
        ping_timeout_seconds: float,
        max_payload_bytes: int,
    ) -> None:
        super().__init__(
            async_mode="asgi",
            client_manager=Membership(),
            cors_allowed_origins="*" if "*" in cors_origins else list(cors_origins),
            ping_interval=ping_interval_seconds,
            ping_timeout=ping_timeout_seconds,
            max_http_buffer_size=max_payload_bytes,
            async_handlers=False,  # one message of a socket at a time, in order
        )
        self.packet_class = Packet
        self.on_refused: Callable[[str], None] = lambda code: None
        """Told the code of every refused namespace connection."""
        self.gate: RequestGate | None = None
        """Asked before a request is handled."""

    @property
    def membership(self) -> Membership:
        """Who is in which room."""
        members = self.manager
        assert isinstance(members, Membership)
        return members

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        namespace = namespace or "/"
        if namespace not in self.handlers:
            # Upstream sends a bare string here, of which the JavaScript client makes an error
            # without a message.
            error = {"message": INVALID_NAMESPACE.message, "data": {"code": INVALID_NAMESPACE.code}}
            self.on_refused(INVALID_NAMESPACE.code)
            await self._send_packet(
                eio_sid, self.packet_class(sio.CONNECT_ERROR, data=error, namespace=namespace)
            )
            return
        await super()._handle_connect(eio_sid, namespace, data)
        socket = self.eio.sockets.get(eio_sid)
        if socket is None or socket.closed:
            # The client left while the connect handler waited; upstream would keep its session
            # and rooms for good.
            await self._handle_eio_disconnect(eio_sid, self.reason.TRANSPORT_CLOSE)

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        try:
            if await self._passes_gate(eio_sid, data):
                await super()._handle_eio_message(eio_sid, data)
        except ValueError:
            # BadPacket, or upstream's own objection: an attachment without its packet.
            socket = self.eio.sockets.get(eio_sid)
            if socket is not None:
                await self.end(socket, "parse error")

    async def _passes_gate(self, eio_sid: str, data: str | bytes) -> bool:
        if self.gate is None or isinstance(data, bytes) or not data.startswith(("2", "5")):
            return True
        return await self.gate(eio_sid, len(data), _ack_id(data))

    async def acknowledge(self, member: Member, ack_id: int, answer: dict[str, Any]) -> None:
        """Answer a request that was refused before it was read."""
        packet = self.packet_class(sio.ACK, namespace=NAMESPACE, id=ack_id, data=[answer])
        await self._send_packet(member.eio_sid, packet)

    async def end(self, socket: Any, reason: str) -> None:
        """Close an Engine.IO socket after what waits in its queue, so that its client returns.

        `disconnect()` would tell a JavaScript client never to come back, and closing the Engine.IO
        session leaves it deaf until a ping times out.
        """
        socket.queue.put_nowait(None)
        if not socket.upgraded:
            await socket.close(wait=False, abort=True, reason=reason)


def _ack_id(text: str) -> int | None:
    """Find the ack id of an event packet without reading its payload."""
    try:
        header = Packet(encoded_packet=text[: text.index("[")] + '["x"]')
    except ValueError:
        return None
    return header.id if isinstance(header.id, int) else None
