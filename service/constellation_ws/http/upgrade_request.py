"""A request to upgrade to a WebSocket, as the HTTP port passes it on. It decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from constellation_ws.websocket import Refuse


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """A request to upgrade to a WebSocket."""

    method: bytes
    version: bytes
    path: str
    query: str
    headers: list[tuple[bytes, bytes]]
    """Names in lower case."""
    address: str


Upgrade = Callable[[asyncio.Transport, UpgradeRequest], asyncio.Protocol | Refuse]
"""Returns the protocol that continues the connection, or the refusal."""
