"""The requests of the interface table, between the wire and what answers them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw
from socketio.packet import EVENT

from constellation_ws.chats.client_request import ClientRequest
from constellation_ws.delivery.rooms import Member, Stage
from constellation_ws.engine.inbox import Rest
from constellation_ws.engine.server import Engine
from constellation_ws.messages.events import slice_array
from constellation_ws.messages.namespaces import packet_prefix
from constellation_ws.socketio.membership import Membership
from constellation_ws.socketio.packets import Head, Json

Answer = Callable[[ClientRequest], Awaitable[object]]
"""Gives the ack of a request; the client's next message waits until then."""
Forward = Callable[[Member, Raw | None, str, Callable[[Raw | bytes], None]], None]
"""Begins to answer a request: of whom, its first argument, the client's address, and what is
called once, with the ack."""
TakeAck = Callable[[Member, int, Callable[[], Raw]], None]
"""Receives an acknowledgement of a member: its id, and what reads the answer."""

_NULL = Raw(b"null")
_slice = msgspec.json.Decoder(list[Raw]).decode
_encode = msgspec.json.Encoder().encode


def ignore_ack(member: Member, ack_id: int, read: Callable[[], Raw]) -> None:
    """Ignore an acknowledgement: nobody has requested one."""


class Requests:
    """Who answers which requests."""

    def __init__(self, membership: Membership, engine: Engine, take_ack: TakeAck) -> None:
        self._membership = membership
        self._engine = engine
        self._take_ack = take_ack
        self._answers: dict[tuple[str, str], Answer] = {}
        """By namespace and event."""
        self._forwards: dict[str, dict[bytes, Forward]] = {}
        """By namespace, then by event as JSON has it."""

    def answer(self, namespace: str, event: str, answer: Answer) -> None:
        """Let requests be answered in the order in which a client sends them."""
        self._answers[namespace, event] = answer

    def forward(self, namespace: str, event: str, begin: Forward) -> None:
        """Let requests be answered without the client's next message waiting for that."""
        self._forwards.setdefault(namespace, {})[_encode(event)] = begin

    def has_unanswered(self, eio_sid: str) -> bool:
        """Whether a session waits for an answer while its next messages are handled."""
        return any(member.unanswered for member in self._membership.index.of_session(eio_sid))

    def begin(self, member: Member | None, head: Head, text: str, address: str) -> bool:
        """Begin to answer a request that is forwarded, cut from its packet without decoding it.

        False for all other packets, and where msgspec cannot cut: see `find`.
        """
        forwards = self._forwards.get(head.namespace)
        if forwards is None or member is None or head.kind != EVENT:
            return False
        try:
            values = _slice(text[head.payload_at :])
        except (msgspec.DecodeError, RecursionError):
            return False
        begin = forwards.get(bytes(values[0])) if values else None
        if begin is None:
            return False
        if member.stage is Stage.CONNECTED:
            self._forward(begin, member, head, values[1] if len(values) > 1 else _NULL, address)
        return True

    def find(
        self, head: Head, event: list[Any], text: str | None
    ) -> Callable[[Member, str], Rest | None] | None:
        """Find who answers an event; None where it is none of these requests.

        `text` is the whole packet, None where attachments belong to it. What is given is called
        with a member that is connected and its address. Raises RecursionError.
        """
        answer = self._answers.get((head.namespace, event[0]))
        if answer is not None:
            raw = None if text is None else first_argument(head, text)
            argument = event[1] if len(event) > 1 else None
            return lambda member, _: partial(
                self._answer, answer, ClientRequest(member, argument, raw), head
            )
        begin = self._forwards.get(head.namespace, {}).get(Json.dumps(event[0]).encode())
        if begin is not None:
            raw = None if text is None else first_argument(head, text)
            return lambda member, address: self._forward(begin, member, head, raw, address)
        return None

    async def _answer(self, answer: Answer, request: ClientRequest, head: Head) -> None:
        self._acknowledge(request.member, head, Json.dumps(await answer(request)).encode())

    def _forward(
        self, begin: Forward, member: Member, head: Head, argument: Raw | None, address: str
    ) -> None:
        begin(member, argument, address, lambda ack: self._acknowledge(member, head, ack))

    def acknowledged(self, eio_sid: str, head: Head, data: list[Any], text: str | None) -> None:
        """Pass on a client's acknowledgement; `text` as in `find`."""
        member = self._membership.member_of(eio_sid, head.namespace)
        if member is not None and member.stage is Stage.CONNECTED and head.ack_id is not None:
            self._take_ack(member, head.ack_id, partial(read_answer, head, data, text))

    def _acknowledge(self, member: Member, head: Head, ack: Raw | bytes) -> None:
        """Answer a request, if its client asks for that and is still there."""
        if head.ack_id is None:
            return
        session = self._engine.sockets.get(member.eio_sid)
        is_here = self._membership.index.by_session(member.eio_sid, member.scope) is member
        if session is not None and is_here:
            session.send_text(ack_packet(head.namespace, head.ack_id, ack))


def first_argument(head: Head, text: str) -> Raw:
    """Cut the first argument behind the name out of an event that has been read already.

    Raises RecursionError.
    """
    values = _slice_values(text[head.payload_at :])
    return values[1] if len(values) > 1 else _NULL


def _slice_values(payload: str) -> list[Raw]:
    try:
        return _slice(payload)
    except msgspec.DecodeError:
        return slice_array(payload)  # half of a surrogate pair


def read_answer(head: Head, data: list[Any], text: str | None) -> Raw:
    """Give the first argument of an acknowledgement as JSON, null where there is none.

    `text` is the whole packet, None where attachments belong to it: those are written as Node
    writes a Buffer in JSON.
    """
    try:
        if text is None:
            return Raw(Json.dumps(_without_bytes(data[0])).encode()) if data else _NULL
        values = _slice_values(text[head.payload_at :])
    except RecursionError:
        return _NULL  # it was read on a stack that was a little less deep
    return values[0] if values else _NULL


def _without_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"type": "Buffer", "data": list(value)}
    if isinstance(value, list):
        return [_without_bytes(one) for one in value]
    if isinstance(value, dict):
        return {key: _without_bytes(one) for key, one in value.items()}
    return value


def ack_packet(namespace: str, ack_id: int, ack: Raw | bytes) -> bytes:
    """Write an acknowledgement with one argument, which is JSON text."""
    return b"3%b%d[%b]" % (packet_prefix(namespace), ack_id, ack)
