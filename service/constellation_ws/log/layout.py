"""What an entry of the log holds.

Layout of an entry: field `channel` (a channel of the route table, or the commands channel), field
`data` (the message, as it would be published) and, from the recorder only, field `at` (its position
in the Pub/Sub stream). Any producer may XADD; the ID must be `*`. Fields `traceparent` and
`tracestate` of a producer are put into the message.
"""

from __future__ import annotations

from typing import Any

from constellation_ws.log.ids import LogId
from constellation_ws.messages import trace_context

Logged = tuple[bytes, bytes, bytes]
"""An entry as it came: ID, channel, payload. A bare tuple: one is made per message."""

PAGE = 1_000
"""Entries that are read at once."""


def read_entries(pairs: list[Any]) -> list[Logged]:
    """Read the entries out of Redis' pairs of an ID and its fields."""
    return [(log_id, *_channel_and_data(fields)) for log_id, fields in pairs]


def tail_pairs(reply: Any) -> list[Any]:
    """Take the pairs out of an XREAD reply, a map in RESP3 and pairs in RESP2."""
    if not reply:
        return []
    pairs: list[Any] = next(iter(reply.values())) if isinstance(reply, dict) else reply[0][1]
    return pairs


def id_of(entry: Any) -> LogId:
    """Return the ID of an entry, or of a pair."""
    milliseconds, _, sequence = entry[0].partition(b"-")  # Redis's own: there is nothing to check
    return int(milliseconds), int(sequence)


def later_than(delivered: LogId, entries: list[Any]) -> list[Any]:
    """Return the entries, or pairs, with a later ID: nearly always all of them."""
    if entries and id_of(entries[0]) <= delivered:
        return [entry for entry in entries if id_of(entry) > delivered]
    return entries


def positions(pairs: list[Any]) -> list[bytes]:
    """Return the positions of those entries that a recorder has appended."""
    return [fields[5] for _, fields in pairs if len(fields) == 6 and fields[4] == b"at"]


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
