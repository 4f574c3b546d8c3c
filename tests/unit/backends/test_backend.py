"""A backend that hangs or fails costs its callers a code, and nobody else anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from constellation_ws.backends.answers import REFUSED, BackendFailed, OwnRefusal
from constellation_ws.backends.backend import GuardedBackend
from constellation_ws.backends.breaker import MAX_FAILURES
from constellation_ws.backends.request import BackendRequest, encode
from constellation_ws.backends.ways import SpawningWay, Target
from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.events import UserId
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NO_TRACING
from tests.seen_spans import Seen
from tests.spawning import spawn
from tests.unit.backends.asking import ask
from tests.waiting import PATIENCE_SECONDS, eventually

TARGET = Target("orders.place")
REQUEST = BackendRequest(
    event="place-order",
    data=msgspec.Raw(b"1"),
    userId=UserId("u1"),
    sid="s",
    namespace="/orders",
    address="192.0.2.1",
)
ACK = msgspec.Raw(b'{"success":true}')
Answer = Callable[[], Awaitable[msgspec.Raw | Refusal]]


async def accept() -> msgspec.Raw | Refusal:
    return ACK


async def refuse() -> msgspec.Raw | Refusal:
    return OwnRefusal("sold_out", "Sold out.")


async def time_out() -> msgspec.Raw | Refusal:
    raise TimeoutError


async def fail() -> msgspec.Raw | Refusal:
    raise BackendFailed("it is down")


async def fail_by_this_request() -> msgspec.Raw | Refusal:
    raise BackendFailed("its answer is not JSON", is_down=False)


async def hang() -> msgspec.Raw | Refusal:
    await asyncio.Event().wait()
    raise AssertionError


@dataclass
class World:
    """A backend whose answers and clock are a test's."""

    answer: Answer = accept
    now: float = 0.0
    sent: list[tuple[Target, bytes, str]] = field(default_factory=list)
    is_closed: bool = False
    seen: Seen | None = None

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.backend = GuardedBackend(
            "orders",
            SpawningWay(self, spawn),
            self.metrics,
            max_concurrent=64,
            tracing=NO_TRACING if self.seen is None else self.seen.tracing,
            clock=lambda: self.now,
        )

    async def send(self, target: Target, body: bytes, traceparent: str) -> msgspec.Raw | Refusal:
        self.sent.append((target, body, traceparent))
        return await self.answer()

    async def aclose(self) -> None:
        self.is_closed = True

    async def ask(self, times: int = 1) -> list[str]:
        """The codes of so many requests, one after the other; `ok` for an ack."""
        return [_code(await ask(self.backend, TARGET, REQUEST)) for _ in range(times)]

    async def ask_together(self, times: int) -> list[str]:
        asking = (ask(self.backend, TARGET, REQUEST) for _ in range(times))
        return list(map(_code, await asyncio.gather(*asking)))

    @contextmanager
    def hanging(self, times: int) -> Iterator[None]:
        """So many requests that are not answered."""
        self.answer = hang
        asking = [asyncio.create_task(ask(self.backend, TARGET, REQUEST)) for _ in range(times)]
        yield
        for one in asking:
            one.cancel()

    def count(self, outcome: str) -> int:
        return self.metrics.backend_requests.of("orders", outcome).value

    @property
    def state(self) -> float | None:
        labels = {"backend": "orders"}
        return self.metrics.registry.get_sample_value("constellation_backend_breaker_state", labels)

    @property
    def timed(self) -> float | None:
        name = "constellation_backend_request_duration_seconds_count"
        return self.metrics.registry.get_sample_value(name, {"backend": "orders"})


def _code(answer: msgspec.Raw | Refusal) -> str:
    return answer.code if isinstance(answer, Refusal) else "ok"


@pytest.fixture
def world() -> World:
    return World()


async def test_an_ack_is_given_as_it_is(world: World) -> None:
    assert await ask(world.backend, TARGET, REQUEST) is ACK
    assert world.sent == [(TARGET, encode(REQUEST), "")]
    assert (world.count("ok"), world.timed, world.state) == (1, 1, 0)


@pytest.mark.parametrize(
    ("answer", "code", "outcome"),
    [
        (refuse, "sold_out", "refused"),
        (time_out, "backend_timeout", "timeout"),
        (fail, "backend_unavailable", "unavailable"),
        (fail_by_this_request, "backend_unavailable", "unavailable"),
    ],
)
async def test_what_is_no_ack_has_a_code_and_is_counted(
    answer: Answer, code: str, outcome: str, world: World
) -> None:
    world.answer = answer
    assert await world.ask() == [code]
    assert (world.count(outcome), world.count("ok"), world.timed) == (1, 0, 1)


async def test_above_the_bound_requests_are_refused_at_once(world: World) -> None:
    with world.hanging(64):
        await asyncio.sleep(0)
        assert await world.ask_together(936) == ["backend_unavailable"] * 936
        assert len(world.sent) == 64
        assert (world.count("busy"), world.timed) == (936, 0)


async def test_a_backend_that_fails_is_cut_off_and_tried_again_by_one_request(
    world: World,
) -> None:
    world.answer = time_out
    assert await world.ask(MAX_FAILURES) == ["backend_timeout"] * MAX_FAILURES
    assert world.state == 2
    assert await world.ask(100) == ["backend_unavailable"] * 100
    assert len(world.sent) == MAX_FAILURES
    world.now += 1
    with world.hanging(1):
        await asyncio.sleep(0)
        assert world.state == 1
        assert await world.ask_together(100) == ["backend_unavailable"] * 100
        assert len(world.sent) == MAX_FAILURES + 1, "a single probe"


async def test_it_is_used_again_when_the_probe_is_answered(world: World) -> None:
    world.answer = fail
    await world.ask(MAX_FAILURES)
    world.now += 1
    world.answer = accept
    assert await world.ask() == ["ok"]
    assert world.state == 0
    assert await world.ask_together(64) == ["ok"] * 64


async def test_a_backend_that_hangs_is_cut_off_after_one_timeout_of_all_that_wait(
    world: World,
) -> None:
    """What was sent before it was cut off does not prolong that."""
    over = asyncio.Event()

    async def time_out_together() -> msgspec.Raw | Refusal:
        await over.wait()
        raise TimeoutError

    world.answer = time_out_together
    asking = asyncio.create_task(world.ask_together(64))
    await eventually(lambda: len(world.sent) == 64, PATIENCE_SECONDS, "all are sent")
    over.set()
    assert await asking == ["backend_timeout"] * 64
    assert world.state == 2
    world.now += 1
    world.answer = accept
    assert await world.ask() == ["ok"]


@pytest.mark.parametrize("answer", [refuse, fail_by_this_request])
async def test_no_request_makes_a_backend_unavailable_that_answers(
    answer: Answer, world: World
) -> None:
    world.answer = answer
    await world.ask(100)
    assert world.state == 0


async def test_a_connection_that_all_lose_together_is_one_failure(world: World) -> None:
    lost = object()

    async def lose() -> msgspec.Raw | Refusal:
        raise BackendFailed("the connection is lost", event=lost)

    world.answer = lose
    await world.ask_together(64)
    assert world.state == 0


async def test_changes_of_the_breaker_are_logged_once_each(world: World) -> None:
    world.answer = fail
    with capture_logs() as lines:
        await world.ask(MAX_FAILURES + 20)
        world.now += 1
        await world.ask()
        world.now += 2
        world.answer = accept
        await world.ask(3)
    changes = [
        (line["log_level"], line["event"].rpartition(" ")[2], line["pause_seconds"])
        for line in lines
        if line["event"].startswith("circuit breaker of backend orders")
    ]
    assert changes == [
        ("warning", "open", 1),
        ("info", "half_open", 1),
        ("info", "open", 2),
        ("info", "half_open", 2),
        ("info", "closed", 0),
    ]


async def test_a_failure_is_logged_with_its_reason_and_nothing_of_the_request(
    world: World,
) -> None:
    world.answer = fail
    with capture_logs() as lines:
        await world.ask()
    (line,) = lines
    assert line == {
        "event": "backend orders did not answer a request",
        "log_level": "warning",
        "target": "orders.place",
        "reason": "it is down",
    }


async def test_a_request_has_a_span_of_which_the_backend_gets_the_context() -> None:
    seen = Seen()
    world = World(seen=seen)
    with seen.tracing.tracer.start_as_current_span("place-order"):
        await world.ask()
    span = seen.named("request orders orders.place")
    caller = seen.named("place-order")
    assert span.kind is SpanKind.CLIENT
    assert span.parent is not None
    assert span.context is not None
    assert caller.context is not None
    assert span.parent.span_id == caller.context.span_id
    assert span.attributes == {
        "constellation.backend": "orders",
        "constellation.outcome": "ok",
    }
    ((_, body, traceparent),) = world.sent
    assert traceparent.startswith(f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-")
    assert msgspec.json.decode(body)["traceparent"] == traceparent


@pytest.mark.parametrize(("answer", "is_error"), [(refuse, False), (time_out, True), (fail, True)])
async def test_the_span_of_a_request_without_an_answer_is_an_error(
    answer: Answer, is_error: bool
) -> None:
    seen = Seen()
    await World(answer=answer, seen=seen).ask()
    span = seen.named("request orders orders.place")
    assert (span.status.status_code is StatusCode.ERROR) is is_error


async def test_closing_it_hangs_up(world: World) -> None:
    await world.backend.aclose()
    assert world.is_closed


async def test_a_refusal_without_words_has_ours(world: World) -> None:
    async def refuse_silently() -> msgspec.Raw | Refusal:
        return REFUSED

    world.answer = refuse_silently
    assert await world.ask() == ["backend_refused"]
