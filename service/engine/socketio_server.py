"""The Socket.IO server: python-socketio's, on our engine, with its refusals made useful."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import socketio
from socketio import packet as sio
from socketio.exceptions import ConnectionRefusedError as HandshakeRefused

from service.admission import INVALID_NAMESPACE, PACKET_FLOOD
from service.engine.membership import Membership
from service.engine.packets import BadPacket, Packet, ack_id, connect_packet
from service.engine.server import CONNECT_TIMEOUT, Engine
from service.engine.session import Handshake, Session
from service.events import NAMESPACE
from service.rooms import Member, Stage
from service.websocket import CloseCode
from service.welcome import RetryLater, Welcome

RequestGate = Callable[[str, int, int | None], Awaitable[bool]]
"""(Engine.IO sid, request bytes, ack id) -> whether the request may be handled."""


class HandlerFailed(Exception):
    """A handler raised what would be taken for a client's fault."""


class Server(socketio.AsyncServer):  # type: ignore[misc]  # python-socketio is untyped
    """All namespaces on one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # One message of a socket at a time, in order.
        super().__init__(client_manager=Membership(), async_handlers=False)
        self.packet_class = Packet
        self.on_refused: Callable[[str], None] = lambda code: None
        """Told the code of every refused namespace connection."""
        self.gate: RequestGate | None = None
        """Asked before a request is handled."""

    @property
    def membership(self) -> Membership:
        """Who is in which room."""
        members = self.manager
        assert isinstance(members, Membership), "given by the constructor"
        return members

    def _engineio_server_class(self) -> Callable[..., Engine]:
        return lambda **_: self._engine

    def _handle_eio_connect(self, eio_sid: str, environ: Handshake) -> None:
        self.environ[eio_sid] = environ

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        namespace = namespace or "/"
        if namespace not in self.handlers:
            self.on_refused(INVALID_NAMESPACE.code)
            error = self.invalid_namespace()
            await self._send_packet(
                eio_sid, self.packet_class(sio.CONNECT_ERROR, data=error, namespace=namespace)
            )
            return
        if self.membership.rooms_of(namespace).by_eio_sid(eio_sid) is not None:
            raise BadPacket("a second CONNECT to the same namespace")
        sid = await self.membership.pre_connect(eio_sid, namespace)
        if sid is None:
            return  # the session went while its message waited
        try:
            welcome = await self._trigger_event(
                "connect", namespace, sid, self.environ[eio_sid], data
            )
        except HandshakeRefused as refused:
            await self._send_packet(
                eio_sid,
                self.packet_class(sio.CONNECT_ERROR, data=refused.error_args, namespace=namespace),
            )
            await self.membership.disconnect(sid, namespace)
        except RetryLater as refused:
            # A CONNECT_ERROR would be final: socket.io-client does not retry after one.
            await self.membership.disconnect(sid, namespace)
            session = self._engine.sockets.get(eio_sid)
            if session is not None:
                self.end(session, str(refused))
        else:
            self._greet(eio_sid, namespace, welcome)

    def _greet(self, eio_sid: str, namespace: str, welcome: Welcome | None) -> None:
        """Send what a member missed and that it is connected: nothing may come in between."""
        session = self._engine.sockets.get(eio_sid)
        member = self.membership.rooms_of(namespace).by_eio_sid(eio_sid)
        if member is None:
            return
        member.stage = Stage.CONNECTED  # also of one that has left: its farewell says so
        if session is None:
            return  # it left while the handler waited; its farewell cleans up
        self._engine.settle(session)
        answer: dict[str, str] = {"sid": member.sid}
        if welcome is not None and welcome.pid is not None:
            answer["pid"] = welcome.pid
        session.send_after(
            welcome.missed if welcome is not None else [], connect_packet(namespace, answer)
        )

    def invalid_namespace(self) -> dict[str, Any]:
        """What a CONNECT to an unknown namespace is answered.

        Upstream sends a bare string, of which the JavaScript client makes an error without a
        message.
        """
        return {"message": INVALID_NAMESPACE.message, "data": {"code": INVALID_NAMESPACE.code}}

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        try:
            self._check_turn(eio_sid, data)
            if await self._passes_gate(eio_sid, data):
                await super()._handle_eio_message(eio_sid, data)
        except ValueError:
            # BadPacket, or upstream's own objection: a binary packet from who is not connected.
            self._end(eio_sid, "parse error")

    def _check_turn(self, eio_sid: str, data: str | bytes) -> None:
        """Take attachments where they are due, and nothing else there. Raises BadPacket."""
        is_attachment = isinstance(data, bytes)
        if is_attachment is not (eio_sid in self._binary_packet) or data == "":
            raise BadPacket("an attachment too many, one too few, or nothing at all")

    async def _handle_event(self, eio_sid: str, namespace: str | None, *packet: Any) -> None:
        self._check_use(eio_sid)
        await super()._handle_event(eio_sid, namespace, *packet)

    async def _handle_ack(self, eio_sid: str, namespace: str | None, *packet: Any) -> None:
        self._check_use(eio_sid)
        await super()._handle_ack(eio_sid, namespace, *packet)

    def _check_use(self, eio_sid: str) -> None:
        """Object to a client that talks before it connects. Raises BadPacket.

        Who is connected somewhere may have been disconnected here without knowing it yet.
        """
        if not self._is_in_use(eio_sid):
            raise BadPacket("not connected")

    async def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        try:
            return await super()._trigger_event(event, namespace, *args)
        except ValueError as error:
            raise HandlerFailed(event) from error

    async def _handle_disconnect(
        self, eio_sid: str, namespace: str | None, reason: str | None = None
    ) -> None:
        if eio_sid in self._engine.sockets:  # else it is the end of all its namespaces
            self._check_use(eio_sid)
        await super()._handle_disconnect(eio_sid, namespace, reason)
        self._expect_use(eio_sid)

    async def disconnect(self, sid: str, namespace: str | None = None, **options: Any) -> None:
        """Disconnect a member for good; its client hangs up, or is hung up on after a while."""
        eio_sid = self.membership.eio_sid_from_sid(sid, namespace or "/")
        await super().disconnect(sid, namespace, **options)
        self._expect_use(eio_sid)

    def _expect_use(self, eio_sid: str | None) -> None:
        """Give a client that has left its last namespace some time to enter another."""
        session = self._engine.sockets.get(eio_sid or "")
        if session is not None and not self._is_in_use(session.sid):
            self._engine.expect_use(session)

    def _is_in_use(self, eio_sid: str) -> bool:
        indexes = self.membership.rooms.values()
        return any(rooms.by_eio_sid(eio_sid) is not None for rooms in indexes)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        if reason in (CONNECT_TIMEOUT, PACKET_FLOOD) and not self._is_in_use(eio_sid):
            self.on_refused(reason.replace(" ", "_"))  # no namespace would tell of its end
        await super()._handle_eio_disconnect(eio_sid, reason)
        self._binary_packet.pop(eio_sid, None)
        for rooms in self.membership.rooms.values():
            # Left over where the connect handler failed: upstream would keep it for good.
            member = rooms.by_eio_sid(eio_sid)
            if member is not None:
                rooms.remove(member)

    async def _passes_gate(self, eio_sid: str, data: str | bytes) -> bool:
        if self.gate is None:
            return True
        if isinstance(data, bytes):
            # An attachment counts as a request does: ten of a packet's size each would be held
            # for a request that never comes to its end.
            if not await self.gate(eio_sid, len(data), None):
                raise BadPacket("an attachment too large, or one too many for now")
            return True
        if data[:1] not in ("2", "5"):
            return True
        size = len(data) if data.isascii() else len(data.encode())
        return await self.gate(eio_sid, size, ack_id(data))

    async def acknowledge(self, member: Member, ack: int, answer: dict[str, Any]) -> None:
        """Answer a request that was refused before it was read."""
        packet = self.packet_class(sio.ACK, namespace=NAMESPACE, id=ack, data=[answer])
        await self._send_packet(member.eio_sid, packet)

    def end(self, session: Session, reason: str) -> None:
        """Close a session after all that was sent to it, so that its client comes back."""
        self._engine.end(session, reason, CloseCode.SERVICE_RESTART)

    def _end(self, eio_sid: str, reason: str) -> None:
        session = self._engine.sockets.get(eio_sid)
        if session is not None:
            self._engine.end(session, reason)
