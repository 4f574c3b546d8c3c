"""Sessions that other pods hold, as far as the engine's doors need them."""

from __future__ import annotations

import asyncio
from typing import Protocol

from constellation_ws.http.protocol import UpgradeRequest
from constellation_ws.http.refusals import UNKNOWN_SESSION
from constellation_ws.http.responses import HttpResponse
from constellation_ws.messages.admission import Refusal
from constellation_ws.websocket import Accept


class Elsewhere(Protocol):
    """Reaches the pods that hold them."""

    async def forward(
        self, method: str, sid: str, body: bytes, gone: asyncio.Future[None]
    ) -> HttpResponse | None:
        """Have a request answered where its session is; None where no pod has it.

        `gone` is done when the client has hung up.
        """

    def tunnel(
        self, transport: asyncio.Transport, request: UpgradeRequest, accept: Accept, sid: str
    ) -> asyncio.Protocol | Refusal:
        """Lead a WebSocket to where its session is."""


class Nowhere:
    """There are no other pods that could be asked."""

    async def forward(
        self, method: str, sid: str, body: bytes, gone: asyncio.Future[None]
    ) -> HttpResponse | None:
        return None

    def tunnel(
        self, transport: asyncio.Transport, request: UpgradeRequest, accept: Accept, sid: str
    ) -> asyncio.Protocol | Refusal:
        return UNKNOWN_SESSION
