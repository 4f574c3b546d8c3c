"""The Socket.IO server: python-socketio's, on our engine, with its refusals made useful."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import socketio
from socketio import packet as sio
from socketio.exceptions import ConnectionRefusedError as ConnectRefused

from constellation_ws.delivery.rooms import Member, Stage
from constellation_ws.delivery.welcome import RetryLater, Welcome
from constellation_ws.engine.inbox import Rest
from constellation_ws.engine.server import CONNECT_TIMEOUT, Engine
from constellation_ws.engine.session import EngineSession, Handshake, MovedSession
from constellation_ws.messages.admission import PACKET_FLOOD, Refusal, invalid_namespace
from constellation_ws.socketio.admission import Admission, RequestGate
from constellation_ws.socketio.incomplete import Incomplete
from constellation_ws.socketio.membership import Membership
from constellation_ws.socketio.packets import (
    EVENTS,
    BadPacket,
    Head,
    Packet,
    connect_packet,
    event_of,
    read_head,
    read_payload,
)
from constellation_ws.socketio.requests import Requests, TakeAck, ignore_ack
from constellation_ws.websocket import CloseCode


class HandlerFailed(Exception):
    """A handler raised what would be taken for a client's fault."""


class Server(socketio.AsyncServer):  # type: ignore[misc]  # python-socketio is untyped
    """All namespaces on one engine."""

    def __init__(
        self,
        engine: Engine,
        membership: Membership,
        gate: RequestGate,
        take_ack: TakeAck = ignore_ack,
    ) -> None:
        """`gate` is asked about each request before it is read."""
        self._engine = engine
        self._admission = Admission(engine, membership, gate)
        # One message of a socket at a time, in order.
        super().__init__(client_manager=membership, async_handlers=False)
        self.packet_class = Packet
        self._incomplete: dict[str, Incomplete] = {}
        """By Engine.IO session: the packet whose attachments are still to come."""
        self.requests = Requests(membership, engine, take_ack)
        """The requests of the interface table; python-socketio handles all other events."""

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
            refusal = invalid_namespace(sorted(self.membership.namespaces.scopes))
            await self._refuse_connect(eio_sid, namespace, refusal)
            return
        if self.membership.member_of(eio_sid, namespace) is not None:
            raise BadPacket("a second CONNECT to the same namespace")
        sid = await self.membership.pre_connect(eio_sid, namespace)
        if sid is None:
            return  # the session went while its message waited
        try:
            welcome = await self._trigger_event(
                "connect", namespace, sid, self.environ[eio_sid], data
            )
        except ConnectRefused as refused:
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
                self.close_session(session, str(refused))
        else:
            self._greet(eio_sid, namespace, welcome)

    def _greet(self, eio_sid: str, namespace: str, welcome: Welcome | None) -> None:
        """Send what a member missed and that it is connected: nothing may come in between."""
        session = self._engine.sockets.get(eio_sid)
        member = self.membership.member_of(eio_sid, namespace)
        if member is None:
            return
        member.connect()  # also one that has left: its end is queued
        if session is None:
            return  # it left while the handler waited; what is queued for its end cleans up
        self._engine.mark_used(session)
        answer: dict[str, str] = {"sid": member.sid}
        if welcome is not None and welcome.pid is not None:
            answer["pid"] = welcome.pid
        session.send_after(
            welcome.missed if welcome is not None else [], connect_packet(namespace, answer)
        )

    async def _refuse_connect(self, eio_sid: str, namespace: str, refusal: Refusal) -> None:
        self._engine.observer.refused(refusal.code)
        error = self.connect_error(refusal)
        packet = self.packet_class(sio.CONNECT_ERROR, data=error, namespace=namespace)
        await self._send_packet(eio_sid, packet)

    def connect_error(self, refusal: Refusal) -> dict[str, Any]:
        """What a CONNECT is answered that no handler has seen.

        Upstream sends a bare string, of which the JavaScript client makes an error without a
        message.
        """
        return {"message": refusal.message, "data": {"code": refusal.code}}

    def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> Rest | None:
        """Handle a message as far as that needs no waiting, and give the rest."""
        try:
            if isinstance(data, bytes):
                return self._take_attachment(eio_sid, data)
            return self._take_text(eio_sid, data)
        except BadPacket:
            self._end(eio_sid, "parse error")
            return None

    def _take_text(self, eio_sid: str, text: str) -> Rest | None:
        """Handle a packet, or wait for its attachments. Raises BadPacket."""
        if eio_sid in self._incomplete:
            raise BadPacket("text where an attachment is due")
        head = read_head(text)
        size = len(text) if text.isascii() else len(text.encode())
        if head.kind == sio.CONNECT:
            return partial(self._take_connect, eio_sid, head, text, size)
        member = self._member(eio_sid, head)
        is_admitted = self._admission.admits(eio_sid, member, head, size)
        if is_admitted and self.requests.begin(member, head, text, self.environ[eio_sid].address):
            return None
        data = read_payload(head, text) if is_admitted else None
        if not head.attachments:
            return self._dispatch(eio_sid, head, data, text) if is_admitted else None
        self._incomplete[eio_sid] = Incomplete(head, data, size, is_refused=not is_admitted)
        return None

    def _take_attachment(self, eio_sid: str, attachment: bytes) -> Rest | None:
        """Add to a packet, and handle it when it is complete. Raises BadPacket.

        What follows a packet that was refused is received all the same, and not kept.
        """
        packet = self._incomplete.get(eio_sid)
        if packet is None:
            raise BadPacket("an attachment too many")
        member = self._member(eio_sid, packet.head)
        if not packet.is_refused:
            # It counts as a request does: a thousand of a request's size each would be held.
            size = packet.size + len(attachment)
            if not self._admission.admits(eio_sid, member, packet.head, size):
                packet.refuse()
        if packet.take(attachment):
            del self._incomplete[eio_sid]
            if not packet.is_refused:
                return self._dispatch(eio_sid, packet.head, packet.filled())
        return None

    async def _take_connect(self, eio_sid: str, head: Head, text: str, size: int) -> None:
        try:
            await self._connect(eio_sid, head, text, size)
        except BadPacket:
            self._end(eio_sid, "parse error")

    async def _connect(self, eio_sid: str, head: Head, text: str, size: int) -> None:
        """Handle a CONNECT. Raises BadPacket."""
        if not self._admission.admits_connect(eio_sid):
            return
        most = self._admission.max_connect_bytes
        if size <= most:
            await self._handle_connect(eio_sid, head.namespace, read_payload(head, text))
        elif head.namespace in self.handlers:
            refusal = Refusal("payload_too_large", f"The auth data can have at most {most} bytes.")
            await self._refuse_connect(eio_sid, head.namespace, refusal)
        else:
            raise BadPacket("too large, and for no namespace")

    def _dispatch(
        self, eio_sid: str, head: Head, data: Any, text: str | None = None
    ) -> Rest | None:
        """Handle a packet; `text` is all of it, None where attachments belong to it."""
        if head.kind == sio.DISCONNECT:
            reason = self.reason.CLIENT_DISCONNECT
            return partial(self._handle_disconnect, eio_sid, head.namespace, reason)
        if head.kind not in EVENTS:
            self.requests.acknowledged(eio_sid, head, data, text)
            return None
        event = event_of(data)
        try:
            handle = self.requests.find(head, event, text)
        except RecursionError:
            # As in `read_payload`, which has read it on a stack that was a little less deep.
            handle, event = None, event_of([])
        if handle is None:
            return partial(self._handle_event, eio_sid, head.namespace, head.ack_id, event)
        member = self.membership.member_of(eio_sid, head.namespace)
        if member is None or member.stage is not Stage.CONNECTED:
            return None
        return handle(member, self.environ[eio_sid].address)

    def _member(self, eio_sid: str, head: Head) -> Member | None:
        """Find whose packet it is. Raises BadPacket where its client has not connected anywhere."""
        # Who is connected elsewhere may have been disconnected here without knowing it yet.
        member = self.membership.member_of(eio_sid, head.namespace)
        if member is None and not self._is_in_use(eio_sid):
            raise BadPacket("not connected")
        return member

    async def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        try:
            result = await super()._trigger_event(event, namespace, *args)
        except ValueError as error:
            raise HandlerFailed(event) from error
        task = asyncio.current_task()
        if result is None and task is not None and task.cancelling():
            # Upstream answers a handler that was cancelled, as this process ends, with an empty
            # acknowledgement: its client would take it for a yes.
            return self.not_handled
        return result

    async def _handle_disconnect(
        self, eio_sid: str, namespace: str | None, reason: str | None = None
    ) -> None:
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
        return bool(self.membership.index.of_session(eio_sid))

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        if reason in (CONNECT_TIMEOUT, PACKET_FLOOD) and not self._is_in_use(eio_sid):
            # No namespace would report its end.
            self._engine.observer.refused(reason.replace(" ", "_"))
        await super()._handle_eio_disconnect(eio_sid, reason)
        self._incomplete.pop(eio_sid, None)
        for member in self.membership.index.of_session(eio_sid):
            # Left over where the connect handler failed: upstream would keep it for good.
            self.membership.index.remove(member)

    def is_between_packets(self, session: EngineSession) -> bool:
        """Tell whether nothing that a client has sent waits for more, or for an answer."""
        is_whole = session.inbox is None and session.sid not in self._incomplete
        return is_whole and not self.requests.has_unanswered(session.sid)

    def release(self, session: EngineSession) -> MovedSession:
        """Give a session away that another pod goes on with; its member has been given already."""
        handshake: Handshake = self.environ.pop(session.sid)
        return self._engine.release(session, handshake)

    def close_session(self, session: EngineSession, reason: str) -> None:
        """Close a session after all that was sent to it, so that its client comes back."""
        self._engine.close(session, reason, CloseCode.SERVICE_RESTART)

    def _end(self, eio_sid: str, reason: str) -> None:
        session = self._engine.sockets.get(eio_sid)
        if session is not None:
            self._engine.close(session, reason)
