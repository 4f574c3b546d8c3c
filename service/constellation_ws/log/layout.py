"""What an entry of the log holds.

Layout of a plain entry: field `channel` (a channel of the route table, or the commands channel),
field `data` (the message, as it would be published) and, from the recorder only, field `at` (its
position in the Pub/Sub stream). Any producer may XADD; the ID must be `*`. Fields `traceparent` and
`tracestate` of a producer are put into the message.

What a recorder appends together may be one packed entry: see `packing`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from constellation_ws.log import packing
from constellation_ws.log.ids import LogId
from constellation_ws.log.pubsub_positions import Run, parse_position
from constellation_ws.messages import trace_context

Logged = tuple[bytes, bytes, bytes]
"""A message as it is in the log: ID, channel, payload. A bare tuple: one is made per message."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A packed entry that cannot be read."""

    id: str
    reason: str
    is_recorded: bool
    """Whether a recorder has appended it, so that received messages are in it."""


@dataclass(slots=True)
class Content:
    """What entries hold."""

    logged: list[Logged] = field(default_factory=list)
    """The messages. One without channel stands for an entry that cannot be read."""
    runs: list[Run] = field(default_factory=list)
    """The positions of those that a recorder has appended."""
    faults: list[Fault] = field(default_factory=list)
    """What cannot be read."""


def read_entries(pairs: list[Any]) -> Content:
    """Read what is in entries, which Redis gives as pairs of an ID and its fields."""
    content = Content()
    for log_id, fields in pairs:
        if fields[0] == packing.FIELD:
            _read_packed(content, log_id, fields)
            continue
        content.logged.append((log_id, *_channel_and_data(fields)))
        if len(fields) == 6 and fields[4] == b"at":
            content.runs.append(Run(*parse_position(fields[5]), 1))
    return content


def read_named(pairs: list[tuple[bytes, dict[bytes, bytes]]]) -> Content:
    """Read what is in entries whose fields redis-py has put into a dictionary."""
    return read_entries([(log_id, [*chain.from_iterable(one.items())]) for log_id, one in pairs])


def _read_packed(content: Content, log_id: bytes, fields: list[bytes]) -> None:
    try:
        runs, logged = packing.unpack(log_id, fields[1])
    except packing.Unreadable as error:
        content.faults.append(Fault(log_id.decode(), str(error), b"at" in fields[2::2]))
        content.logged.append((log_id, b"", b""))
    else:
        content.logged += logged
        content.runs += runs


def tail_pairs(reply: Any) -> list[Any]:
    """Take the pairs out of an XREAD reply, a map in RESP3 and pairs in RESP2."""
    if not reply:
        return []
    pairs: list[Any] = next(iter(reply.values())) if isinstance(reply, dict) else reply[0][1]
    return pairs


def id_of(entry: Any) -> LogId:
    """Return the ID of a message, or of a pair."""
    milliseconds, _, sequence = entry[0].partition(b"-")  # Redis's own: there is nothing to check
    return int(milliseconds), int(sequence)


def later_than(delivered: LogId, entries: list[Any]) -> list[Any]:
    """Return the messages, or pairs, with a later ID: nearly always all of them."""
    if entries and id_of(entries[0]) <= delivered:
        return [entry for entry in entries if id_of(entry) > delivered]
    return entries


def _channel_and_data(fields: list[bytes]) -> tuple[bytes, bytes]:
    """Find the two fields that count; an entry without them means nothing and is dropped later."""
    if (
        3 < len(fields) < 7
        and fields[0] == b"channel"
        and fields[2] == b"data"
        and fields[-2] in (b"at", b"data")  # nothing but what the gateway itself writes
    ):
        return fields[1], fields[3]
    named = dict(zip(fields[::2], fields[1::2], strict=False))
    data = named.get(b"data", b"")
    context = trace_context.parse_fields(named.get(b"traceparent"), named.get(b"tracestate"))
    return named.get(b"channel", b""), data if context is None else trace_context.put(data, context)
