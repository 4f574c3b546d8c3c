"""Which requests reach a backend, what it is told of the client, and what becomes of its answer."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET, Raw
from opentelemetry.trace import SpanKind

from constellation_ws.auth.identity import Identity
from constellation_ws.backends.answers import REFUSED, TIMED_OUT, OwnRefusal
from constellation_ws.backends.backend import Answered
from constellation_ws.backends.forwarding import MAX_UNANSWERED, Forwarder
from constellation_ws.backends.request import BackendRequest
from constellation_ws.backends.ways import Target
from constellation_ws.delivery.rooms import Member
from constellation_ws.interface.rows import RequestRow
from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.events import Sid, UserId
from constellation_ws.messages.namespaces import Scope
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.tracing import Tracing
from tests.seen_spans import Seen
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
PLAIN = RequestRow("place-order", "/orders", to="nest", backend="shop")
GOOD = '{"orderId":7,"items":[1.50],"userId":"mallory"}'


class Shop:
    """A backend that answers as a test says."""

    def __init__(self) -> None:
        self.asked: list[BackendRequest] = []
        self.answer: Raw | Refusal = Raw(b'{"placed":1.0}')
        self.is_busy = False
        self.waiting: list[Answered] = []

    def begin(self, target: Target, request: BackendRequest, answered: Answered) -> None:
        assert target is TARGET
        self.asked.append(request)
        self.waiting.append(answered)
        if not self.is_busy:
            self.go_on()

    def go_on(self) -> None:
        self.is_busy = False
        while self.waiting:
            self.waiting.pop(0)(self.answer)

    async def aclose(self) -> None:
        """Nothing is held."""


class World:
    """A backend, and one member with its acks."""

    def __init__(self, row: RequestRow = ROW, tracing: Tracing | NoTracing = NO_TRACING) -> None:
        self.shop = Shop()
        self.member = Member(Sid("sid"), "eio", Nowhere(), Scope("/orders,"))
        self.member.admit(UserId("u"))
        self.member.identify(Identity(UserId("u"), claims={"tenant": "t", "role": "admin"}))
        self.member.rooms = {"/orders,", "/orders,user:u", "/orders,order:7"}
        self.metrics = Metrics()
        self._forwarder = Forwarder(row, self.shop, TARGET, self.metrics, tracing, max_id_chars=64)
        self.acks: list[bytes] = []

    def send(self, text: str | None = GOOD) -> None:
        raw = None if text is None else Raw(text.encode())
        reply = self.acks.append
        self._forwarder.begin(self.member, raw, "10.0.0.9", lambda ack: reply(bytes(ack)))

    def code(self, text: str | None = GOOD) -> str:
        self.send(text)
        return str(msgspec.json.decode(self.acks.pop())["error"]["code"])


@pytest.fixture
def world() -> World:
    return World()


def test_a_backend_gets_what_the_client_sent_and_what_the_gateway_guarantees(
    world: World,
) -> None:
    world.send()
    (request,) = world.shop.asked
    assert bytes(request.data).decode() == GOOD, "untouched"
    assert (request.userId, request.sid, request.namespace) == ("u", "sid", "/orders")
    assert request.claims == Raw(b'{"tenant":"t"}')
    assert request.rooms == ["order:7", "user:u"]
    assert request.address == "10.0.0.9"
    assert world.acks == [b'{"placed":1.0}']


def test_a_backend_gets_no_more_than_its_row_says() -> None:
    world = World(PLAIN)
    world.send("null")
    (request,) = world.shop.asked
    assert (request.claims, request.rooms) == (UNSET, UNSET)


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
def test_a_request_that_is_refused_here_reaches_no_backend(
    world: World, text: str | None, code: str
) -> None:
    assert world.code(text) == code
    assert world.shop.asked == []
    assert world.member.unanswered == 0


def test_one_client_has_a_bounded_number_of_unanswered_requests(world: World) -> None:
    world.shop.is_busy = True
    for _ in range(MAX_UNANSWERED):
        world.send()
    assert world.code() == "rate_limited"
    assert len(world.shop.asked) == world.member.unanswered == MAX_UNANSWERED
    world.shop.go_on()
    world.send()
    assert len(world.acks) == MAX_UNANSWERED + 1
    assert world.member.unanswered == 0


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Raw(b"1"), "ok"),
        (TIMED_OUT, "backend_timeout"),
        (REFUSED, "backend_refused"),
        (OwnRefusal("order-4711-is-closed", "It is closed."), "backend_refused"),
    ],
)
def test_outcomes_are_words_of_ours_whatever_code_the_client_gets(
    world: World, answer: Raw | Refusal, outcome: str
) -> None:
    world.shop.answer = answer
    if isinstance(answer, Refusal):
        assert world.code() == answer.code
    else:
        world.send()
        assert world.acks == [bytes(answer)]
    assert world.metrics.requests.of("place-order", outcome).value == 1


def test_a_request_has_a_span_that_links_to_that_of_the_client() -> None:
    seen = Seen()
    world = World(PLAIN, seen.tracing)
    world.shop.is_busy = True
    client = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    world.send(f'{{"traceparent":"{client}"}}')
    assert seen.spans == [], "it lasts until the answer"
    world.shop.go_on()
    span = seen.named("place-order")
    assert span.kind is SpanKind.SERVER
    assert span.parent is None
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [client[3:35]]
    assert span.attributes == {"user.id": "u", "constellation.outcome": "ok"}
