"""Requests to a real NestJS service, and to one that does what NestJS would not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from constellation_ws.backends.answers import BackendFailed
from constellation_ws.backends.nest import NestWay
from constellation_ws.backends.request import BackendRequest, encode
from constellation_ws.backends.ways import Target
from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.events import UserId
from constellation_ws.nest.long_frames import MAX_SKIPPED_BYTES
from tests.fake_nest import FakeNest, Packet, fake_nest, full_port
from tests.nest_backend import nest_backend
from tests.nest_client import frame
from tests.processes import HOST, unused_port
from tests.waiting import PATIENCE_SECONDS, eventually

MAJORS = [10, 11, 12]


def body(data: str = "1") -> bytes:
    return encode(
        BackendRequest(
            event="place-order",
            data=msgspec.Raw(data.encode()),
            userId=UserId("u1"),
            sid="s",
            namespace="/orders",
            address="192.0.2.1",
        )
    )


async def send(way: NestWay, pattern: str, data: str = "1") -> msgspec.Raw | Refusal:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await way.send(Target(pattern), body(data), "")


async def ack(way: NestWay, pattern: str, data: str = "1") -> bytes:
    answer = await send(way, pattern, data)
    assert isinstance(answer, msgspec.Raw), answer
    return bytes(answer)


async def refusal(way: NestWay, pattern: str) -> tuple[str, str]:
    answer = await send(way, pattern)
    assert isinstance(answer, Refusal), answer
    return answer.code, answer.message


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=MAJORS)
async def service(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    """The port of a NestJS service."""
    port = unused_port()
    async with nest_backend(request.param, port):
        yield port


@pytest.fixture
async def way(service: int) -> AsyncIterator[NestWay]:
    one = NestWay(HOST, service, PATIENCE_SECONDS)
    yield one
    await one.aclose()


async def test_the_service_gets_the_request_and_its_answer_is_the_ack(way: NestWay) -> None:
    data = '{"text":"Привет 👋 \\"\\n","deep":[{}],"null":null}'
    for pattern in ("echo", '{"cmd":"echo"}'):
        assert json.loads(await ack(way, pattern, data)) == {
            "event": "place-order",
            "data": json.loads(data),
            "userId": "u1",
            "sid": "s",
            "namespace": "/orders",
            "address": "192.0.2.1",
        }


async def test_no_answer_is_null_and_of_several_the_first_counts(way: NestWay) -> None:
    assert await ack(way, "nothing") == b"null"
    assert await ack(way, "twice") == b'"first"'


async def test_answers_come_as_they_are_ready(way: NestWay) -> None:
    answered: list[str] = []

    async def ask(milliseconds: str) -> None:
        assert await ack(way, "later", milliseconds) == milliseconds.encode()
        answered.append(milliseconds)

    await asyncio.gather(*(ask(one) for one in ("600", "300", "0")))
    assert answered == ["0", "300", "600"]


async def test_a_thousand_requests_at_once_are_answered_each_with_its_own(way: NestWay) -> None:
    answers = await asyncio.gather(*(ack(way, "later", str(n % 7)) for n in range(1_000)))
    assert answers == [b"%d" % (n % 7) for n in range(1_000)]


@pytest.mark.parametrize(
    ("pattern", "code", "message"),
    [
        ("rpc text", "backend_refused", "Sold out 👋"),
        ("rpc object", "sold_out", "Sold out 👋"),
        ("rpc nested", "sold_out", "Sold out 👋"),
        ("rpc number", "backend_refused", "Sold out 👋"),
        ("filtered", "backend_refused", "Sold out 👋"),
        ("http", "backend_refused", "Internal server error"),
        ("error", "backend_refused", "Internal server error"),
        ("no such pattern", "backend_refused", "The request was refused."),
    ],
)
async def test_what_a_handler_throws_is_a_refusal(
    pattern: str, code: str, message: str, way: NestWay
) -> None:
    assert await refusal(way, pattern) == (code, message)


async def test_a_huge_answer_is_none_and_costs_the_others_nothing(way: NestWay) -> None:
    waiting = [asyncio.create_task(ack(way, "later", "500")) for _ in range(8)]
    await asyncio.sleep(0)  # they are on all connections
    with pytest.raises(BackendFailed, match="too long") as caught:
        await send(way, "huge")
    assert not caught.value.is_down
    assert await asyncio.gather(*waiting) == [b"500"] * 8
    assert await ack(way, "twice") == b'"first"'


async def test_a_handler_that_hangs_costs_others_nothing(service: int) -> None:
    way = NestWay(HOST, service, 1.0)
    hanging = [asyncio.create_task(send(way, "silent")) for _ in range(20)]
    for _ in range(20):
        assert await ack(way, "twice") == b'"first"'
    assert {type(one) for one in await asyncio.gather(*hanging, return_exceptions=True)} == {
        TimeoutError
    }
    await way.aclose()


async def test_a_service_that_restarts_is_used_again() -> None:
    port = unused_port()
    way = NestWay(HOST, port, PATIENCE_SECONDS)
    async with nest_backend(10, port):
        waiting = [asyncio.create_task(send(way, "silent")) for _ in range(20)]
        assert await ack(way, "twice") == b'"first"'
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(one) for one in found} == {BackendFailed}
    events = {id(one.event) for one in found if isinstance(one, BackendFailed)}
    assert len(events) <= 4, "one for each connection"
    with pytest.raises(BackendFailed, match="no connection"):
        await send(way, "twice")
    async with nest_backend(10, port):
        assert await ack(way, "twice") == b'"first"'
    await way.aclose()


# What NestJS would not do


def echo(packet: Packet) -> bytes:
    reply = {"response": packet["data"]["data"], "isDisposed": True, "id": packet["id"]}
    return frame(reply, ascii_only=False)


@pytest.fixture
async def server() -> AsyncIterator[FakeNest]:
    async with fake_nest(echo) as one:
        yield one


@pytest.fixture
async def odd(server: FakeNest) -> AsyncIterator[NestWay]:
    one = NestWay(HOST, server.port, PATIENCE_SECONDS)
    yield one
    await one.aclose()


async def test_the_packet_is_one_that_nest_reads(server: FakeNest, odd: NestWay) -> None:
    await send(odd, "orders.place")
    (packet,) = server.asked
    assert packet.keys() == {"pattern", "data", "id"}
    assert packet["pattern"] == "orders.place"
    assert packet["data"] == json.loads(body())


async def test_numbers_and_spaces_of_an_answer_are_untouched(
    server: FakeNest, odd: NestWay
) -> None:
    text = '{"big": 9007199254740993,  "price": 1.10}'

    def answer(packet: Packet) -> bytes:
        reply = f'{{"response":{text},"isDisposed":true,"id":"{packet["id"]}"}}'
        return f"{len(reply)}#{reply}".encode()

    server.answer = answer
    assert await ack(odd, "p") == text.encode()


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"3#abc",
        b'9#{"id": []}',
        b"\xff",
        f"{MAX_SKIPPED_BYTES + 1}#".encode(),
        b"100000#" + b"[" * 100_000,
    ],
    ids=lambda garbage: repr(garbage[:12]),
)
async def test_garbage_is_no_answer(garbage: bytes, server: FakeNest, odd: NestWay) -> None:
    server.answer = lambda packet: garbage
    with pytest.raises(BackendFailed, match="cannot be read") as caught:
        await send(odd, "p")
    assert caught.value.is_down
    server.answer = echo
    assert await ack(odd, "p") == b"1"


async def test_a_request_whose_connection_breaks_is_not_sent_again(
    server: FakeNest, odd: NestWay
) -> None:
    def hang_up(_: Packet) -> None:
        server.writers[-1].transport.abort()

    server.answer = hang_up
    with pytest.raises(BackendFailed, match="closed the connection"):
        await send(odd, "p")
    assert len(server.asked) == 1


async def test_connecting_takes_its_part_of_the_timeout() -> None:
    with full_port() as port:
        way = NestWay(HOST, port, 0.4)
        with pytest.raises(BackendFailed, match="connecting timed out"):
            await send(way, "p")
        await way.aclose()


async def test_a_service_that_accepts_and_says_nothing_times_out_and_is_left(
    server: FakeNest,
) -> None:
    way = NestWay(HOST, server.port, 0.3)
    server.answer = lambda packet: None
    for connections in (1, 2):
        with pytest.raises(TimeoutError):
            await send(way, "p")
        assert len(server.writers) == connections
    await eventually(server.writers[0].is_closing, PATIENCE_SECONDS, "it is closed")
    await way.aclose()


async def test_whoever_leaves_is_forgotten(server: FakeNest, odd: NestWay) -> None:
    server.answer = lambda packet: None
    leaving = asyncio.create_task(send(odd, "p", '"leaves"'))
    await eventually(lambda: server.asked, PATIENCE_SECONDS, "it is asked")
    leaving.cancel()
    await asyncio.wait({leaving})
    server.answer = echo
    server.writers[0].write(echo(server.asked[0]))
    assert await ack(odd, "p", '"stays"') == b'"stays"'
