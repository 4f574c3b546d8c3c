"""New inputs from old ones, by chance."""

from __future__ import annotations

import random
from collections.abc import Sequence

TELLING = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"#", b"-", b"/", b"\x1e", b"\n", b"="),
    *(b"\xff", b"\xc3", b"\xf0\x9f\x98\x80", b"\\ud83d", b"\\u0000", b"\x00", b"\x7f", b"\x80"),
    *(b"null", b"true", b"1e400", b"-0", b"NaN", b"9" * 30, b"[" * 40, b'{"a":' * 40),
    *(b'"_placeholder":true,"num":', b'"traceparent":', b'"id":', b'"cmd":', b'"connect"'),
)
"""Pieces that mean something to one reader or another."""


def mutated(inputs: Sequence[bytes], chance: random.Random) -> bytes:
    """Make an input: one of the given, changed in a few places."""
    data = bytearray(chance.choice(inputs))
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.choice((0, 0, 1, 2, 8)))
        match chance.randrange(4):
            case 0:
                data[at:end] = chance.choice(TELLING)
            case 1:
                data[at:end] = chance.randbytes(chance.randint(0, 4))
            case 2:
                other = chance.choice(inputs)
                start = chance.randint(0, len(other))
                data[at:end] = other[start : start + chance.randint(1, 40)]
            case _:
                data[at:end] = data[at:end] * 2
    return bytes(data)
