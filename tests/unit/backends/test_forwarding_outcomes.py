"""What becomes of a request that a backend answers, for its client and in the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from msgspec import Raw

from constellation_ws.backends.answers import REFUSED, TIMED_OUT, OwnRefusal
from constellation_ws.backends.forwarding import Forwarding
from constellation_ws.backends.request import BackendRequest
from constellation_ws.backends.ways import Target
from constellation_ws.chats.client_request import ClientRequest
from constellation_ws.delivery.rooms import Member
from constellation_ws.interface.rows import RequestRow
from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.events import Sid
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NO_TRACING
from tests.spawning import spawn

ROW = RequestRow(event="place-order", namespace="/orders", to="nest", pattern="orders.place")


class Outlet:
    """Where nothing is written."""

    closed = False
    write: Callable[[bytes], None] | None = None
    pending: bytes | list[bytes] | None = None

    def queue(self, packet: str) -> None:
        raise AssertionError(packet)


class Answering:
    """A backend that gives one answer."""

    def __init__(self, answer: Raw | Refusal) -> None:
        self._answer = answer

    async def request(self, target: Target, request: BackendRequest) -> Raw | Refusal:
        return self._answer

    async def aclose(self) -> None:
        """There is nothing to close."""


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Raw(b"1"), "ok"),
        (TIMED_OUT, "backend_timeout"),
        (REFUSED, "backend_refused"),
        (OwnRefusal("order-4711-is-closed", "It is closed."), "backend_refused"),
    ],
)
async def test_outcomes_are_words_of_ours_whatever_code_the_client_gets(
    answer: Raw | Refusal, outcome: str
) -> None:
    metrics = Metrics()
    forwarding = Forwarding(metrics, spawn, NO_TRACING, max_id_chars=128)
    begin = forwarding.starter(ROW, Answering(answer), Target("orders.place"))
    replied: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    request = ClientRequest(Member(Sid("s"), "e", Outlet()), 1, Raw(b"1"), "192.0.2.1")
    begin(request, replied.set_result)
    sent = await replied
    assert sent == (answer.acknowledgement() if isinstance(answer, Refusal) else answer)
    counted = metrics.registry.get_sample_value(
        "constellation_client_requests_total", {"event": "place-order", "outcome": outcome}
    )
    assert counted == 1
