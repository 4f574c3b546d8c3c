"""The request that no table has: where clients have tokens, they may present a newer one."""

from __future__ import annotations

from collections.abc import Mapping

from constellation_ws.interface.rows import RequestRow

REFRESH = "refresh-token"
"""Its event; no request of a table may have this name."""
_ANSWER: Mapping[str, str] = {"expiresAt": "number?"}


def refresh_row(namespace: str) -> RequestRow:
    """Describe it as a table would."""
    return RequestRow(event=REFRESH, namespace=namespace, types={"token": "string"})


def answer_types(row: RequestRow) -> Mapping[str, str] | None:
    """Give the types of the data of its ack; None for a request of a table."""
    return _ANSWER if row.event == REFRESH else None
