"""uvicorn's HTTP protocol, with WebSocket upgrades handed to the engine instead of to ASGI.

The request is parsed once; uvicorn would write it out again for a second parser.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.websocket import Refuse, refusal_response

NOT_FOUND = Refuse(HTTPStatus.NOT_FOUND, (), b"There is no WebSocket here; try /socket.io/.")


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """The request that asks for a WebSocket."""

    method: bytes
    version: bytes
    path: str
    query: str
    headers: list[tuple[bytes, bytes]]
    """Names in lower case."""
    address: str


Upgrade = Callable[[asyncio.Transport, UpgradeRequest], asyncio.Protocol | Refuse]
"""Takes the connection over, or says what to answer."""


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection; becomes a WebSocket when the path's engine agrees."""

    def __init__(self, *, upgrades: Mapping[str, Upgrade], **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._upgrades = upgrades

    def handle_websocket_upgrade(self) -> None:
        self.connections.discard(self)
        self._unset_keepalive_if_required()
        path, _, query = self.url.decode("latin-1").partition("?")
        request = UpgradeRequest(
            method=self.scope["method"].encode(),
            version=b"HTTP/" + self.scope["http_version"].encode(),
            path=path,
            query=query,
            headers=self.headers,
            address=self.client[0] if self.client else "",
        )
        upgrade = self._upgrades.get(path.rstrip("/"))
        answer = upgrade(self.transport, request) if upgrade is not None else NOT_FOUND
        if isinstance(answer, Refuse):
            self.transport.write(refusal_response(answer))
            self.transport.close()
        else:
            self.transport.set_protocol(answer)
