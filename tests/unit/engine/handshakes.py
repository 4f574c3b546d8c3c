"""Engine.IO handshakes, as requests over HTTP."""

from __future__ import annotations

import json

import pytest

from tests.conformance.wire import Response, request, upgrade_headers
from tests.unit.engine.world import PATH, World

POLLING = f"{PATH}/?EIO=4&transport=polling"
BOTH = pytest.mark.parametrize("transport", ["websocket", "polling"])


async def handshake(world: World, transport: str, query: str = "", origin: str = "") -> Response:
    """Ask for a session, on a connection that is closed behind it."""
    headers = [("Origin", origin)] if origin else []
    if transport == "websocket":
        headers += upgrade_headers()
    async with world.wired() as wire:
        await wire.write(request(f"{PATH}/?EIO=4&transport={transport}{query}", headers))
        return await wire.response()


def code(response: Response) -> str:
    return str(json.loads(response.body)["data"]["code"])
