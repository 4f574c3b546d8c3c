"""Questions that one pod asks all pods: the bytes of the answers, and whether all have answered.

Sending them and waiting for the answers is in `all_pods`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import msgspec

from constellation_ws.messages.events import UserId


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


class Reported(msgspec.Struct, frozen=True, array_like=True):
    """A pod's answer to Inspect."""

    pod: str
    report: msgspec.Raw
    """What it means is known to who asked; `null` of a pod that has no console."""


Answer = Counted | Listed | Reported

_encode = msgspec.json.Encoder().encode
_decode_reported = msgspec.json.Decoder(Reported).decode
_decode_listed = msgspec.json.Decoder(Listed).decode


def write(ask: int, answer: Answer, *, is_named: bool = True) -> bytes:
    """Write the answer to the question with this number, as it travels between pods.

    Counts have a form of their own: it is that of the releases before, which knew no other.
    """
    if isinstance(answer, Listed | Reported):
        return b"%d %b" % (ask, _encode(answer))
    name = b" " + answer.pod.encode() if is_named else b""
    return b"%d %d%b" % (ask, answer.count, name)


def read(payload: bytes) -> tuple[int, Answer]:
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
        self.answers: list[Answer] = []
        self.complete = asyncio.Event()

    def expect(self, subscribers: int) -> None:
        """Note how many pods certainly received the question; there may be more."""
        self._subscribers = subscribers
        self._check()

    def add(self, answer: Answer) -> None:
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
