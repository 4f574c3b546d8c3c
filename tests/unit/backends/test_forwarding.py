"""Which requests reach a backend, what it is told of the client, and how the ack comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from msgspec import Raw

from constellation_ws.auth.identity import Identity
from constellation_ws.backends.forwarding import MAX_UNANSWERED, Forwarding
from constellation_ws.backends.request import BackendRequest
from constellation_ws.backends.ways import Target
from constellation_ws.chats.client_request import ClientRequest
from constellation_ws.delivery.rooms import Member
from constellation_ws.interface.rows import RequestRow
from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.events import Sid, UserId
from constellation_ws.messages.namespaces import Scope
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NO_TRACING
from tests.unit.delivery.test_rooms import Nowhere

TARGET = Target("orders.place")
ROW = RequestRow(
    "place-order",
    "/orders",
    to="nest",
    backend="shop",
    in_room="order:{orderId}",
    claims=("tenant", "absent"),
    rooms=True,
    types={"items": "list"},
)
GOOD = '{"orderId":7,"items":[1.50],"userId":"mallory"}'


class World:
    """A backend that answers as a test says, and one member."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.asked: list[BackendRequest] = []
        self.answer: Raw | Refusal = Raw(b'{"placed":1.0}')
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.member = Member(Sid("sid"), "eio", Nowhere(), Scope("/orders,"))
        self.member.admit(UserId("u"), None)
        self.member.identify(Identity(UserId("u"), claims={"tenant": "t", "role": "admin"}))
        self.member.rooms = {"/orders,", "/orders,user:u", "/orders,order:7"}
        forwarding = Forwarding(Metrics(), self.spawn, NO_TRACING, max_id_chars=64)
        self.begin = forwarding.starter(ROW, self, TARGET)
        self.acks: list[Any] = []

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(work))
        return self.tasks[-1]

    async def request(self, target: Target, request: BackendRequest) -> Raw | Refusal:
        assert target is TARGET
        self.asked.append(request)
        await self.may_answer.wait()
        return self.answer

    async def aclose(self) -> None:
        """Nothing is held."""

    def send(self, text: str | None = GOOD) -> None:
        raw = None if text is None else Raw(text.encode())
        self.begin(ClientRequest(self.member, None, raw, "10.0.0.9"), self.acks.append)

    async def code(self, text: str | None) -> str:
        self.send(text)
        await asyncio.wait_for(self.tasks[-1], 5)
        return str(self.acks.pop()["error"]["code"])


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_backend_gets_what_the_client_sent_and_what_the_gateway_guarantees(
    world: World,
) -> None:
    world.send()
    await asyncio.gather(*world.tasks)
    (request,) = world.asked
    assert bytes(request.data).decode() == GOOD, "untouched"
    assert (request.user, request.sid, request.namespace) == ("u", "sid", "/orders")
    assert request.claims == {"tenant": "t"}
    assert request.rooms == ["order:7", "user:u"]
    assert request.address == "10.0.0.9"
    assert world.acks == [Raw(b'{"placed":1.0}')]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "binary_not_supported"),
        ("null", "invalid_request"),
        ('{"orderId":7}', "invalid_request"),
        ('{"orderId":7,"items":{}}', "invalid_request"),
        ('{"orderId":8,"items":[]}', "forbidden"),
        ('{"orderId":"7,","items":[]}', "forbidden"),
    ],
)
async def test_a_request_that_is_refused_here_reaches_no_backend(
    world: World, text: str | None, code: str
) -> None:
    assert await world.code(text) == code
    assert world.asked == []


async def test_a_refusal_of_the_backend_is_an_ack(world: World) -> None:
    world.answer = Refusal("sold_out", "None left.")
    assert await world.code(GOOD) == "sold_out"


async def test_one_client_has_a_bounded_number_of_unanswered_requests(world: World) -> None:
    world.may_answer.clear()
    for _ in range(MAX_UNANSWERED):
        world.send()
    assert await world.code(GOOD) == "rate_limited"
    assert len(world.asked) == MAX_UNANSWERED
    world.may_answer.set()
    await asyncio.gather(*world.tasks)
    world.send()
    await asyncio.gather(*world.tasks)
    assert len(world.acks) == MAX_UNANSWERED + 1
