"""W3C trace context as JSON messages carry it: top-level `traceparent` and `tracestate`.

Pure. Spans are made elsewhere; see https://www.w3.org/TR/trace-context/ for the two values.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from constellation_ws.messages.events import slice_object

PARENT, STATE = "traceparent", "tracestate"
KEYS = (PARENT, STATE)

_PARENT_KEY = b'"traceparent"'
_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    r"(?:-[0-9A-Za-z_.-]{0,256})?"  # of a later version of the standard
)
_STATE = re.compile(r"[ !#-\[\]-~]{1,512}")
"""Printable ASCII, as the standard has it, and nothing that JSON would have to escape."""


class TraceContext(NamedTuple):
    """Where a trace stands: the span that caused what comes next. Made by `parse`."""

    parent: str
    state: str = ""

    @property
    def is_sampled(self) -> bool:
        """Whether whoever began the trace records it."""
        return bool(int(self.parent[53:55], 16) & 1)


class _Carrier(msgspec.Struct):
    traceparent: str | None = None
    tracestate: str | None = None


_read = msgspec.json.Decoder(_Carrier).decode


def parse(parent: object, state: object = None) -> TraceContext | None:
    """Take the two values from wherever they came; None where they are no context."""
    if not isinstance(parent, str) or not _PARENT.fullmatch(parent):
        return None
    is_usable = isinstance(state, str) and _STATE.fullmatch(state) is not None
    return TraceContext(parent, str(state) if is_usable else "")


def parse_fields(parent: bytes | None, state: bytes | None) -> TraceContext | None:
    """Take the two values from a stream entry or from headers."""
    if parent is None:
        return None
    return parse(parent.decode("latin-1"), None if state is None else state.decode("latin-1"))


def read(message: bytes) -> TraceContext | None:
    """Find the context in a JSON object; None where there is none, whatever the bytes are."""
    try:
        try:
            carrier = _read(message)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:  # of what JSON allows, for half of a surrogate pair somewhere
            slices = slice_object(message.decode())
            carrier = _read(msgspec.json.encode({k: slices[k] for k in KEYS if k in slices}))
    except (ValueError, RecursionError):  # msgspec's are ValueErrors
        return None
    return parse(carrier.traceparent, carrier.tracestate)


def put(message: bytes, context: TraceContext) -> bytes:
    """Give the JSON object with this context in place of its own; its values stay as written.

    What is no JSON object is given back as it is: judging it is not done here.
    """
    body = message.strip()
    if not (body.startswith(b"{") and body.endswith(b"}")):
        return message
    if _PARENT_KEY in body:
        body = _without_context(body)
    rest = body[:-1].rstrip()
    state = f',"{STATE}":"{context.state}"' if context.state else ""
    comma = b"" if rest == b"{" else b","
    return b'%b%b"%b":"%b"%b}' % (
        rest, comma, PARENT.encode(), context.parent.encode(), state.encode(),
    )  # fmt: skip


def _without_context(body: bytes) -> bytes:
    """Drop the object's own context. The key may as well be a nested one, or stand in a text."""
    try:
        slices = slice_object(body.decode())
        return msgspec.json.encode({k: raw for k, raw in slices.items() if k not in KEYS})
    except (ValueError, RecursionError):
        return body
