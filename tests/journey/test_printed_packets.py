"""The packets that docs/clients/strict.md prints, sent and received as they are printed."""

from __future__ import annotations

import json
import re

import aiohttp
import pytest

from tests.documentation.pages import blocks_of
from tests.journey.conftest import Pods
from tests.journey.publishing import Publisher
from tests.processes import HOST
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVENT = '["new-message",'


def lines() -> list[tuple[str, str]]:
    """Each line's arrow and packet."""
    (block,) = blocks_of("docs/clients/strict.md", "text")
    return [(line[0], line[2:]) for line in block.splitlines()]


def fits(printed: str, packet: str) -> bool:
    """Whether a packet is as printed: `…` is anything, and an offset is another one each time."""
    pattern = re.escape(re.sub(r'"\d+-\d+"', '"…"', printed)).replace("…", ".+")
    return re.fullmatch(pattern, packet) is not None


async def test_a_client_that_speaks_as_printed_is_answered_as_printed(
    pods: Pods, publish: Publisher
) -> None:
    url = f"http://{HOST}:{pods.a.ws_port}/socket.io/?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        for arrow, packet in lines():
            if packet in ("2", "3"):
                continue  # a heartbeat: the next one is due in 25 seconds
            if arrow == "→":
                await socket.send_str(packet)
                continue
            if EVENT in packet:
                event = json.loads(packet[packet.index("[") :])
                await publish("chat:newMessage", {**event[1], "recipientId": "-"})
            received = await socket.receive_str(timeout=PATIENCE_SECONDS)
            assert fits(packet, received), f"{received} is not {packet}"
