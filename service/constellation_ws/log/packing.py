"""The packed form of a log entry: the messages of one append, together in one field.

Pure. The form is described for consumers of the stream in docs/log.md. The ID of a packed entry is
that of its last message; the messages before it have the sequence numbers before. So a message of
a packed entry has an ID like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec

from constellation_ws.log.pubsub_positions import Received, Run, runs_of

FIELD = b"packed"
"""The first field of a packed entry."""
BEFORE = b"extra"
"""The field with how many messages the packed entries before it held, beyond one for each."""
VERSION = 1
"""The first byte of its value; the rest is msgpack."""
_SMALL_NUMBERS = [b"%d" % number for number in range(1_024)]
"""Formatting each sequence number again costs as much as reading its message."""

_Natural = Annotated[int, msgspec.Meta(ge=0)]
_Positive = Annotated[int, msgspec.Meta(ge=1)]


class Unreadable(ValueError):
    """A packed entry of another version, or one that is damaged."""


class _Body(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    runs: list[tuple[bytes, _Natural, _Positive]]
    channels: list[bytes]
    which: list[_Natural]
    payloads: list[bytes]


class Unpacked(NamedTuple):
    """The messages of a packed entry."""

    runs: list[Run]
    """Their positions in the Pub/Sub stream."""
    logged: list[tuple[bytes, bytes, bytes]]
    """ID, channel and payload of each."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Body).decode


def pack(received: Sequence[Received]) -> bytes:
    """Pack messages, at least one, in the order of the Pub/Sub stream."""
    numbers: dict[bytes, int] = {}
    which = [numbers.setdefault(one.channel, len(numbers)) for one in received]
    payloads = [one.payload for one in received]
    body = _Body([*runs_of(received)], list(numbers), which, payloads)
    return bytes((VERSION,)) + _encode(body)


def unpack(log_id: bytes, packed: bytes) -> Unpacked:
    """Unpack the entry with this ID. Raises Unreadable."""
    if packed[:1] != bytes((VERSION,)):
        raise Unreadable("it was packed by another release")
    try:
        body = _decode(memoryview(packed)[1:])
        channels = [body.channels[number] for number in body.which]
    except (msgspec.DecodeError, IndexError) as error:
        raise Unreadable("it is damaged") from error
    runs, payloads = [Run._make(one) for one in body.runs], body.payloads
    if not payloads or not len(payloads) == len(channels) == sum(run.length for run in runs):
        raise Unreadable("it is damaged")
    ids = ids_up_to(log_id, len(payloads))
    return Unpacked(runs, list(zip(ids, channels, payloads, strict=True)))


def ids_up_to(log_id: bytes, count: int) -> list[bytes]:
    """Return the IDs of the messages of a packed entry with this ID. Raises Unreadable."""
    milliseconds, _, sequence = log_id.partition(b"-")
    end = int(sequence) + 1
    if end < count:
        raise Unreadable("its ID was not given by a recorder")
    head = milliseconds + b"-"
    if end <= len(_SMALL_NUMBERS):
        return [head + number for number in _SMALL_NUMBERS[end - count : end]]
    return [b"%b%d" % (head, number) for number in range(end - count, end)]
