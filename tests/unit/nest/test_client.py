"""The client of NestJS services: whose answer is whose, and what a lost connection costs whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from constellation_ws.nest.client import ConnectTimeout, LineLost, NestClient, NoReply, ReplyTooLong
from constellation_ws.nest.framing import Reply
from tests.fake_nest import FakeNest, Packet, fake_nest, full_port
from tests.nest_client import frame
from tests.processes import HOST, unused_port
from tests.waiting import PATIENCE_SECONDS, eventually

MAX_ANSWER_BYTES = 10_000


def echo(packet: Packet) -> bytes:
    reply = {"response": packet["data"], "isDisposed": True, "id": packet["id"]}
    return frame(reply, ascii_only=False)


def silent(packet: Packet) -> None:
    return None


@pytest.fixture
async def server() -> AsyncIterator[FakeNest]:
    async with fake_nest(echo) as one:
        yield one


def make(port: int, *, connections: int = 1, seconds: float = PATIENCE_SECONDS) -> NestClient:
    return NestClient(
        HOST,
        port,
        max_answer_bytes=MAX_ANSWER_BYTES,
        connect_seconds=seconds,
        silence_seconds=seconds,
        max_connections=connections,
    )


@pytest.fixture
async def client(server: FakeNest) -> AsyncIterator[NestClient]:
    one = make(server.port)
    yield one
    await one.aclose()


async def ask(
    client: NestClient,
    data: object = None,
    *,
    seconds: float = PATIENCE_SECONDS,
    is_repeatable: bool = False,
) -> Reply:
    line = await client.line()
    return await line.ask("p", data, seconds, is_repeatable=is_repeatable)


def asking(
    client: NestClient, *data: object, seconds: float = PATIENCE_SECONDS
) -> list[asyncio.Task[Reply]]:
    return [asyncio.create_task(ask(client, one, seconds=seconds)) for one in data]


async def asked(server: FakeNest, count: int) -> None:
    await eventually(lambda: len(server.asked) == count, PATIENCE_SECONDS, f"{count} are asked")


async def test_answers_come_in_any_order_over_one_connection(
    server: FakeNest, client: NestClient
) -> None:
    server.answer = silent
    questions = asking(client, *range(100))
    await asked(server, 100)
    server.writers[0].write(b"".join(map(echo, reversed(server.asked))))
    assert [reply.response for reply in await asyncio.gather(*questions)] == [
        b"%d" % number for number in range(100)
    ]
    assert len(server.writers) == 1


async def test_only_the_first_answer_to_a_question_counts(
    server: FakeNest, client: NestClient
) -> None:
    def answer_twice(packet: Packet) -> bytes:
        return echo(packet) + frame({"response": "again", "id": packet["id"]})

    server.answer = answer_twice
    assert (await ask(client, 1)).response == b"1"
    assert (await ask(client, 2)).response == b"2"


async def test_an_answer_may_come_byte_by_byte(server: FakeNest, client: NestClient) -> None:
    server.answer = silent
    (question,) = asking(client, "Привет 👋")
    await asked(server, 1)
    for byte in echo(server.asked[0]):
        server.writers[0].write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await question).response.decode() == '"Привет 👋"'


async def test_questions_go_where_the_fewest_wait(server: FakeNest) -> None:
    client = make(server.port, connections=3)
    for _ in range(5):
        await ask(client)
    assert len(server.writers) == 1, "one after the other they need one connection"
    server.answer = silent
    questions = asking(client, *range(9))
    await asked(server, 5 + 9)
    assert len(server.writers) == 3
    for writer in server.writers:
        writer.write(b"".join(map(echo, server.asked)))  # each takes those that it has asked
    await asyncio.gather(*questions)
    await client.aclose()


async def test_whoever_loses_a_connection_loses_it_to_the_same_exception(
    server: FakeNest, client: NestClient
) -> None:
    server.answer = silent
    questions = asking(client, *range(50))
    await asked(server, 50)
    server.writers[0].transport.abort()
    found = await asyncio.gather(*questions, return_exceptions=True)
    assert len({id(one) for one in found}) == 1
    assert isinstance(found[0], LineLost)
    server.answer = echo
    assert (await ask(client, 1)).response == b"1", "the next one gets another connection"


async def test_half_an_answer_is_none(server: FakeNest, client: NestClient) -> None:
    def answer_half(packet: Packet) -> bytes:
        asyncio.get_running_loop().call_soon(server.writers[0].close)
        return echo(packet)[:-1]

    server.answer = answer_half
    with pytest.raises(LineLost):
        await ask(client)


async def test_a_connection_that_cannot_be_made_fails_for_all_by_the_same_exception() -> None:
    client = make(unused_port())
    found = await asyncio.gather(*asking(client, *range(20)), return_exceptions=True)
    assert len({id(one) for one in found}) == 1
    assert isinstance(found[0], NoReply)
    assert not isinstance(found[0], LineLost)


async def test_connecting_has_a_timeout_of_its_own() -> None:
    with full_port() as port:
        client = make(port, seconds=0.1)
        with pytest.raises(ConnectTimeout):
            await ask(client)


@pytest.mark.parametrize("garbage", [b"x", b"99999999#", b"3#abc", b"\xff"])
async def test_what_cannot_be_read_ends_the_connection(
    garbage: bytes, server: FakeNest, client: NestClient
) -> None:
    server.answer = lambda packet: garbage
    with pytest.raises(NoReply, match="cannot be read"):
        await ask(client)
    server.answer = echo
    assert (await ask(client, 1)).response == b"1"


async def test_an_answer_that_is_too_long_costs_the_others_nothing(
    server: FakeNest, client: NestClient
) -> None:
    server.answer = silent
    before, long, behind = asking(client, "before", "long", "behind")
    await asked(server, 3)
    first, second, third = server.asked
    second["data"] = "👋" * MAX_ANSWER_BYTES
    server.writers[0].write(echo(second))
    with pytest.raises(ReplyTooLong):
        await long
    server.writers[0].write(echo(third) + echo(first))
    assert (await before).response == b'"before"'
    assert (await behind).response == b'"behind"'
    assert len(server.writers) == 1


async def test_a_silent_connection_gets_no_more_questions_but_those_that_wait_keep_their_time(
    server: FakeNest,
) -> None:
    """They must not be asked twice, and the service may only have been busy for a while."""
    client = make(server.port, seconds=0.2)
    server.answer = silent
    (patient,) = asking(client, "patient")
    await asked(server, 1)
    with pytest.raises(TimeoutError):
        await ask(client, "impatient", seconds=0.2)
    server.answer = echo
    assert (await ask(client, 1)).response == b"1"
    assert len(server.writers) == 2
    server.writers[0].write(echo(server.asked[0]))
    assert (await patient).response == b'"patient"'
    await eventually(server.writers[0].is_closing, PATIENCE_SECONDS, "nobody needs it any more")
    await client.aclose()


async def test_a_question_that_may_be_repeated_does_not_wait_on_a_silent_connection(
    server: FakeNest,
) -> None:
    client = make(server.port, seconds=0.2)
    server.answer = silent
    repeatable = asyncio.create_task(ask(client, is_repeatable=True))
    await asked(server, 1)
    with pytest.raises(TimeoutError):
        await ask(client, seconds=0.2)
    with pytest.raises(LineLost, match="silent"):
        await repeatable
    await client.aclose()


async def test_a_question_with_less_time_proves_no_silence(server: FakeNest) -> None:
    client = make(server.port, seconds=0.2)
    server.answer = silent
    with pytest.raises(TimeoutError):
        await ask(client, seconds=0.05)
    server.answer = echo
    await ask(client)
    assert len(server.writers) == 1
    await client.aclose()


async def test_a_service_that_does_not_read_gets_its_questions_over_another_connection() -> None:
    writers: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    # With so small a limit the server leaves unread what the kernel does not buffer.
    async with await asyncio.start_server(accept, HOST, 0, limit=1) as listening:
        client = make(listening.sockets[0].getsockname()[1])
        line, large = await client.line(), "x" * 2_000_000
        flood = [
            asyncio.create_task(line.ask("p", large, PATIENCE_SECONDS, is_repeatable=False))
            for _ in range(8)
        ]
        await eventually(lambda: not line.is_usable, PATIENCE_SECONDS, "it is not used any more")
        assert await client.line() is not line
        await client.aclose()
        line.hang_up(NoReply("the test is over"))
        assert {type(one) for one in await asyncio.gather(*flood, return_exceptions=True)} <= {
            NoReply,
            LineLost,
        }
        for writer in writers:
            writer.close()


async def test_whoever_leaves_costs_the_others_nothing(
    server: FakeNest, client: NestClient
) -> None:
    server.answer = silent
    leaves, stays = asking(client, "leaves", "stays")
    await asked(server, 2)
    leaves.cancel()
    await asyncio.wait({leaves})
    server.writers[0].write(b"".join(map(echo, server.asked)))
    assert (await stays).response == b'"stays"'


async def test_whoever_leaves_while_connecting_does_not_end_that_for_the_others(
    client: NestClient,
) -> None:
    connects, waits = asking(client, 1, 2)
    await asyncio.sleep(0)  # both have begun, and one of them connects
    connects.cancel()
    assert (await waits).response == b"2"


async def test_at_the_end_nobody_waits(server: FakeNest, client: NestClient) -> None:
    server.answer = silent
    (question,) = asking(client, 1)
    await asked(server, 1)
    await client.aclose()
    with pytest.raises(NoReply, match="stopping"):
        await question
