"""Questions that one pod asks all pods: the bytes of the answers, and whether all have answered.

Sending them and waiting for the answers is in `all_pods`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import msgspec

from constellation_ws.messages.events import Sid, UserId


class MalformedAnswer(ValueError):
    """No pod answers like this; anybody may publish on a reply channel."""


class Counted(msgspec.Struct, frozen=True):
    """A pod's answer to Disconnect: how many of its sockets it concerned."""

    count: int
    pod: str
    """Its instance; empty in answers of a release that did not give it."""


class Listed(msgspec.Struct, frozen=True):
    """A pod's answer to ListMembers: the first users, in the order of their ids."""

    users: list[UserId]
    pod: str


class Reached(msgspec.Struct, frozen=True):
    """A pod's answer to an event with acks: the sockets to which it was written there."""

    sids: list[Sid]
    pod: str


class Acked(msgspec.Struct, frozen=True):
    """A socket of a pod has acknowledged an event."""

    sid: Sid
    data: msgspec.Raw
    """What it gave, JSON."""


class Reported(msgspec.Struct, frozen=True, array_like=True):
    """A pod's answer to Inspect."""

    pod: str
    report: msgspec.Raw
    """What it means is known to who asked; `null` of a pod that has no console."""


Reply = Counted | Listed | Reported
AckAnswer = Reached | Acked

_encode = msgspec.json.Encoder().encode
_decode_reported = msgspec.json.Decoder(Reported).decode
_decode_listed = msgspec.json.Decoder(Listed).decode
_decode_reached = msgspec.json.Decoder(Reached).decode
_ACK_MARK = b"ack "
"""What the answers to an event with acks begin with: their numbers are not those of questions."""


def write(ask: int, answer: Reply, *, is_named: bool = True) -> bytes:
    """Write the answer to the question with this number, as it travels between pods.

    Counts have a form of their own: it is that of the releases before, which knew no other.
    """
    if isinstance(answer, Listed | Reported):
        return b"%d %b" % (ask, _encode(answer))
    name = b" " + answer.pod.encode() if is_named else b""
    return b"%d %d%b" % (ask, answer.count, name)


def read(payload: bytes) -> tuple[int, Reply]:
    """Read an answer and the number of its question. Raises MalformedAnswer."""
    ask, _, answer = payload.partition(b" ")
    try:
        if answer.startswith(b"{"):
            return _number(ask), _decode_listed(answer)
        if answer.startswith(b"["):
            return _number(ask), _decode_reported(answer)
        count, _, pod = answer.partition(b" ")
        return _number(ask), Counted(_number(count), pod.decode("latin-1"))
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
        raise MalformedAnswer("not an answer of a pod") from error


def write_ack(ack_id: int, answer: AckAnswer) -> bytes:
    """Write what a pod reports of an event with acks, as it travels between pods.

    What a client gave stays as it is: it may hold half of a surrogate pair, which msgspec refuses.
    """
    if isinstance(answer, Reached):
        return b"%b%d %b" % (_ACK_MARK, ack_id, _encode(answer))
    return b"%b%d %b %b" % (_ACK_MARK, ack_id, answer.sid.encode(), bytes(answer.data))


def read_ack(payload: bytes) -> tuple[int, AckAnswer] | None:
    """Read what `write_ack` wrote; None for another answer. Raises MalformedAnswer."""
    if not payload.startswith(_ACK_MARK):
        return None
    ack_id, _, answer = payload.removeprefix(_ACK_MARK).partition(b" ")
    try:
        if answer.startswith(b"{"):
            return _number(ack_id), _decode_reached(answer)
        sid, _, data = answer.partition(b" ")
        if not sid or not data:
            raise ValueError("no answer")
        return _number(ack_id), Acked(Sid(sid.decode()), msgspec.Raw(data))
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
        raise MalformedAnswer("not an answer of a pod") from error


def _number(digits: bytes) -> int:
    if not digits.isdigit():  # `int` reads signs and spaces too
        raise ValueError("no number")
    return int(digits)


class Question:
    """One question to all pods, and the answers so far."""

    def __init__(self, pods: Collection[str]) -> None:
        """`pods` are those that must answer."""
        self._missing = set(pods)
        self._unnamed = 0
        """Answers of pods of the release before, which do not say their names."""
        self._subscribers: int | None = None
        self.answers: list[Reply] = []
        self.complete = asyncio.Event()

    def expect(self, subscribers: int) -> None:
        """Note how many pods certainly received the question; there may be more."""
        self._subscribers = subscribers
        self._check()

    def add(self, answer: Reply) -> None:
        """Note one pod's answer."""
        self.answers.append(answer)
        self._missing.discard(answer.pod)
        self._unnamed += not answer.pod
        self._check()

    def missing(self) -> list[str]:
        """Return the instances of the pods that have not answered."""
        return sorted(self._missing)

    def _check(self) -> None:
        has_all = len(self._missing) <= self._unnamed
        if has_all and self._subscribers is not None and len(self.answers) >= self._subscribers:
            self.complete.set()
