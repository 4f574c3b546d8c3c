"""Interface to the sessions of other pods, for long-polling and WebSocket handshakes."""

from __future__ import annotations

import asyncio
from typing import Protocol

from constellation_ws.http.refusals import UNKNOWN_SESSION
from constellation_ws.http.responses import HttpResponse
from constellation_ws.http.upgrade_request import UpgradeRequest
from constellation_ws.messages.admission import Refusal
from constellation_ws.websocket import Accept


class Elsewhere(Protocol):
    """Reaches the pods that hold the sessions."""

    async def forward(
        self, method: str, sid: str, body: bytes, gone: asyncio.Future[None]
    ) -> HttpResponse | None:
        """Forward a request to the pod that holds its session; None if that is not possible.

        `gone` is done when the client has disconnected.
        """

    def tunnel(
        self, transport: asyncio.Transport, request: UpgradeRequest, accept: Accept, sid: str
    ) -> asyncio.Protocol | Refusal:
        """Connect a WebSocket through a tunnel to the pod that holds its session."""


class Nowhere:
    """There are no other pods, or they are not reachable: the peer port is off."""

    async def forward(
        self, method: str, sid: str, body: bytes, gone: asyncio.Future[None]
    ) -> HttpResponse | None:
        return None

    def tunnel(
        self, transport: asyncio.Transport, request: UpgradeRequest, accept: Accept, sid: str
    ) -> asyncio.Protocol | Refusal:
        return UNKNOWN_SESSION
