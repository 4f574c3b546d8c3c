"""What a command returns, and how that is written: RESP 2 and 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Status:
    """A simple string."""

    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """An error; its first word is the code."""

    text: str


OK = Status("OK")
PONG = Status("PONG")


class Refusal(Exception):
    """A command cannot be executed; `str()` is the error that the client gets."""


WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
SYNTAX = "ERR syntax error"

Reply = Any
"""bytes, int, float, None, Status, Failure, and lists and dicts of these."""


def encode(reply: Reply, protocol: int) -> bytes:
    """Write a reply."""
    kind = type(reply)
    if kind is bytes:
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    if kind is int:
        return b":%d\r\n" % reply
    if reply is None:
        return b"_\r\n" if protocol == 3 else b"$-1\r\n"
    if kind is list:
        return b"*%d\r\n" % len(reply) + b"".join([encode(one, protocol) for one in reply])
    if kind is dict:
        parts = [one for pair in reply.items() for one in pair]
        head = b"%%%d\r\n" % len(reply) if protocol == 3 else b"*%d\r\n" % len(parts)
        return head + b"".join([encode(one, protocol) for one in parts])
    if kind is float:
        text = format_score(reply)
        return b",%b\r\n" % text if protocol == 3 else encode(text, protocol)
    if kind is Status:
        return b"+%b\r\n" % reply.text.encode()
    if kind is Failure:
        return b"-%b\r\n" % reply.text.encode()
    raise TypeError(f"no reply: {reply!r}")


def encode_push(parts: list[Reply], protocol: int) -> bytes:
    """Write what comes without having been asked for."""
    mark = b">" if protocol == 3 else b"*"
    return mark + encode(parts, protocol)[1:]


def format_score(score: float) -> bytes:
    """Write a floating-point number as Redis does."""
    if score in (float("inf"), float("-inf")):
        return b"inf" if score > 0 else b"-inf"
    if score == int(score) and abs(score) < 1e17:
        return b"%d" % int(score)
    return repr(score).encode()
