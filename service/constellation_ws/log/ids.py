"""IDs of log entries. Pure."""

from __future__ import annotations

LogId = tuple[int, int]
"""Milliseconds and a sequence number: compares as the log orders."""

BEGINNING: LogId = (0, 0)


def parse_id(text: bytes | str) -> LogId | None:
    """Read an ID as Redis writes it; None where the text is none."""
    raw = text.encode() if isinstance(text, str) else text
    milliseconds, dash, sequence = raw.partition(b"-")
    if not (dash and milliseconds.isdigit() and sequence.isdigit() and len(raw) <= 41):
        return None
    log_id = int(milliseconds), int(sequence)
    return log_id if max(log_id) < 1 << 64 else None


def format_id(log_id: LogId) -> bytes:
    """Write an ID as Redis does."""
    return b"%d-%d" % log_id
