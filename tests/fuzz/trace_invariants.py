"""What has to be true of trace context, whatever stands where it is looked for.

Not here: where the bytes come from.
"""

import json
import re

from constellation_ws.messages.trace_context import (
    KEYS,
    PARENT,
    STATE,
    TraceContext,
    parse_fields,
    put,
    read,
)

GIVEN = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1")
_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[\w.-]{0,256})?", re.A)
MAX_CONTEXT_BYTES = 1000


def check(data: bytes) -> None:
    """Look for context in any bytes, and put some there. AssertionError for a broken promise."""
    parent, _, state = data.partition(b"\n")
    for context in (read(data), parse_fields(parent, state), parse_fields(data, None)):
        if context is not None:
            _check_context(context)
            _check_put(data, context)
    _check_put(data, GIVEN)


def _check_context(context: TraceContext) -> None:
    """It can stand in a header, in JSON and in a log as it is."""
    assert _PARENT.fullmatch(context.parent)
    assert not context.parent.startswith("ff")
    assert context.state.isascii()
    assert context.state.isprintable()
    assert len(context.state) <= 512
    assert isinstance(context.is_sampled, bool)


def _check_put(data: bytes, context: TraceContext) -> None:
    """A JSON object gets the context in place of its own, and stays otherwise what it was."""
    written = put(data, context)
    assert len(written) <= 2 * len(data) + MAX_CONTEXT_BYTES
    before = _object(data)
    if before is None:
        return
    after = _object(written)
    assert after is not None
    assert after.pop(PARENT) == context.parent
    assert after.pop(STATE, "") == context.state
    assert after == {key: value for key, value in before.items() if key not in KEYS}


def _object(data: bytes) -> dict[str, object] | None:
    """Read a JSON object by another reader than the service's; None where there is none."""
    try:
        value = json.loads(data.decode(), parse_constant=_refuse, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
