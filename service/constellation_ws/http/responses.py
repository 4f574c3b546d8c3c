"""A response to an HTTP request, as a value."""

from __future__ import annotations

from typing import NamedTuple


class HttpResponse(NamedTuple):
    """Status, headers (names in lower case) and body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    code: str = ""
    """Code of the refusal that this response is; empty if it is none."""
