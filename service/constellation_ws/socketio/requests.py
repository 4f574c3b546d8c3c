"""The requests of the interface table, between the wire and what answers them."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Raw

from constellation_ws.chats.client_request import ClientRequest
from constellation_ws.delivery.rooms import Member, Stage
from constellation_ws.engine.server import Engine
from constellation_ws.messages.events import slice_array
from constellation_ws.messages.namespaces import packet_prefix
from constellation_ws.socketio.membership import Membership
from constellation_ws.socketio.packets import Head, Json

Answer = Callable[[ClientRequest], Awaitable[object]]
"""Gives the ack of a request; the client's next message waits until then."""
Forward = Callable[[ClientRequest, Callable[[object], None]], None]
"""Begins to answer a request; what it is given is called once, with the ack."""
TakeAck = Callable[[Member, int, Callable[[], Raw]], None]
"""Receives an acknowledgement of a member: its id, and what reads the answer."""

_NULL = Raw(b"null")
_slice = msgspec.json.Decoder(list[Raw]).decode


def ignore_ack(member: Member, ack_id: int, read: Callable[[], Raw]) -> None:
    """Ignore an acknowledgement: nobody has requested one."""


class Requests:
    """Who answers which requests, and how many have no answer yet."""

    def __init__(self, membership: Membership, engine: Engine, take_ack: TakeAck) -> None:
        self._membership = membership
        self._engine = engine
        self._take_ack = take_ack
        self._answers: dict[tuple[str, str], Answer] = {}
        """By namespace and event."""
        self._forwards: dict[tuple[str, str], Forward] = {}
        self._unanswered: Counter[str] = Counter()
        """By Engine.IO session."""

    def answer(self, namespace: str, event: str, answer: Answer) -> None:
        """Let requests be answered in the order in which a client sends them."""
        self._answers[namespace, event] = answer

    def forward(self, namespace: str, event: str, begin: Forward) -> None:
        """Let requests be answered without the client's next message waiting for that."""
        self._forwards[namespace, event] = begin

    def has(self, head: Head, event: list[Any]) -> bool:
        """Whether an event is one of these requests."""
        key = head.namespace, event[0]
        return key in self._answers or key in self._forwards

    def has_unanswered(self, eio_sid: str) -> bool:
        """Whether a session waits for an answer while its next messages are handled."""
        return eio_sid in self._unanswered

    def read(
        self, eio_sid: str, head: Head, event: list[Any], text: str | None, address: str
    ) -> ClientRequest | None:
        """Read a request; None where its client is not connected to the namespace.

        `text` is the whole packet, None where attachments belong to it. Raises RecursionError.
        """
        member = self._membership.member_of(eio_sid, head.namespace)
        if member is None or member.stage is not Stage.CONNECTED:
            return None
        raw = None if text is None else first_argument(head, text)
        return ClientRequest(member, event[1] if len(event) > 1 else None, raw, address)

    async def handle(self, head: Head, event: list[Any], request: ClientRequest) -> None:
        """Answer a request, or begin to."""
        key = head.namespace, event[0]
        if key in self._answers:
            self._acknowledge(request.member, head, await self._answers[key](request))
        else:
            self._forward(self._forwards[key], request, head)

    def _forward(self, begin: Forward, request: ClientRequest, head: Head) -> None:
        eio_sid = request.member.eio_sid
        self._unanswered[eio_sid] += 1

        def reply(ack: object) -> None:
            self._unanswered[eio_sid] -= 1
            if not self._unanswered[eio_sid]:
                del self._unanswered[eio_sid]
            self._acknowledge(request.member, head, ack)

        begin(request, reply)

    def acknowledged(self, eio_sid: str, head: Head, data: list[Any], text: str | None) -> None:
        """Pass on a client's acknowledgement; `text` as in `read`."""
        member = self._membership.member_of(eio_sid, head.namespace)
        if member is not None and member.stage is Stage.CONNECTED and head.ack_id is not None:
            self._take_ack(member, head.ack_id, functools.partial(read_answer, head, data, text))

    def _acknowledge(self, member: Member, head: Head, ack: object) -> None:
        """Answer a request, if its client asks for that and is still there."""
        session = self._engine.sockets.get(member.eio_sid)
        is_here = self._membership.member_of(member.eio_sid, head.namespace) is member
        if head.ack_id is not None and session is not None and is_here:
            session.send_message(ack_packet(head.namespace, head.ack_id, ack))


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


def ack_packet(namespace: str, ack_id: int, ack: object) -> str:
    """Write an acknowledgement with one argument."""
    return f"3{packet_prefix(namespace).decode()}{ack_id}[{Json.dumps(ack)}]"
