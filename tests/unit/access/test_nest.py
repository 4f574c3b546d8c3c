"""Asking over NestJS' TCP: a server that answers late, in any order, wrongly or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from constellation_ws.access.answers import NoAnswer
from constellation_ws.access.nest import NestApi
from constellation_ws.messages.events import ChatId, UserId
from constellation_ws.nest.long_frames import MAX_SKIPPED_BYTES
from tests.fake_nest import FakeNest, Packet, fake_nest, full_port
from tests.nest_client import frame
from tests.processes import HOST, unused_port
from tests.waiting import PATIENCE_SECONDS, eventually

BOB = UserId("bob")


def answer_of_members(*members: object) -> Callable[[Packet], bytes]:
    response = {"success": True, "data": {"metadata": {"participants": members}, "title": "👋"}}

    def answer(packet: Packet) -> bytes:
        reply = {"response": response, "isDisposed": True, "id": packet["id"]}
        return frame(reply, ascii_only=False)

    return answer


@pytest.fixture
async def server() -> AsyncIterator[FakeNest]:
    async with fake_nest(answer_of_members("bob")) as one:
        yield one


@pytest.fixture
async def api(server: FakeNest) -> AsyncIterator[NestApi]:
    one = NestApi(HOST, server.port, "getChatDetails", PATIENCE_SECONDS)
    yield one
    await one.aclose()


async def ask(api: NestApi, chat: str = "c") -> bool:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return (await api.ask(BOB, ChatId(chat))).allowed


async def test_the_question_is_the_pattern_with_the_chat(server: FakeNest, api: NestApi) -> None:
    assert await ask(api, "__proto__") is True
    (packet,) = server.asked
    assert packet.keys() == {"pattern", "data", "id"}
    assert (packet["pattern"], packet["data"]) == ("getChatDetails", {"chatId": "__proto__"})


async def test_who_is_not_among_the_participants_is_refused(server: FakeNest, api: NestApi) -> None:
    server.answer = answer_of_members("eve", 7, {"userId": "mallory"})
    assert await ask(api) is False


async def test_questions_share_a_connection_and_answers_may_come_in_any_order(
    server: FakeNest, api: NestApi
) -> None:
    server.answer = lambda packet: None
    asking = [asyncio.create_task(ask(api, str(n))) for n in range(3)]
    await eventually(lambda: len(server.asked) == 3, PATIENCE_SECONDS, "all are asked")
    yes, no = answer_of_members("bob"), answer_of_members("eve")
    for packet in reversed(server.asked):
        server.writers[0].write((yes if packet["data"]["chatId"] == "1" else no)(packet))
    assert await asyncio.gather(*asking) == [False, True, False]
    assert len(server.writers) == 1


async def test_answers_to_what_nobody_asked_are_passed_over(server: FakeNest, api: NestApi) -> None:
    yes = answer_of_members("bob")

    def answer(packet: Packet) -> bytes:
        strangers = [yes({"id": strange}) for strange in ("", "99", 7)]
        no = answer_of_members("eve")(packet)
        return b"".join([*strangers, frame({"isDisposed": True}), no, yes(packet)])

    server.answer = answer
    assert await ask(api) is False, "the first answer to the question counts"


@pytest.mark.parametrize(
    "garbage",
    [
        b"x",
        b"#",
        b"3#abc",
        b'9#{"id": []}',
        b"-1#{}",
        b"99999999999#",
        b"\xff",
        f"{MAX_SKIPPED_BYTES + 1}#".encode(),
        b"100000#" + b"[" * 100_000,
    ],
    ids=lambda garbage: repr(garbage[:12]),
)
async def test_garbage_is_no_answer_and_the_next_question_takes_a_new_connection(
    garbage: bytes, server: FakeNest, api: NestApi
) -> None:
    server.answer = lambda packet: garbage
    with pytest.raises(NoAnswer, match="cannot be read"):
        await ask(api)
    server.answer = answer_of_members("bob")
    assert await ask(api) is True
    assert len(server.writers) == 2


@pytest.mark.parametrize(
    "reply",
    [
        {"err": "There is no matching message handler defined in the remote service."},
        {"err": {"status": "error", "message": "Internal server error"}},
        {"response": None},
        {"response": True},
        {"response": {"success": True}},
        {},
    ],
)
async def test_an_error_or_another_answer_is_none_and_the_connection_is_kept(
    reply: Packet, server: FakeNest, api: NestApi
) -> None:
    server.answer = lambda packet: frame({**reply, "isDisposed": True, "id": packet["id"]})
    with pytest.raises(NoAnswer):
        await ask(api)
    server.answer = answer_of_members("bob")
    assert await ask(api) is True
    assert len(server.writers) == 1


async def test_questions_whose_connection_breaks_are_asked_once_more(
    server: FakeNest, api: NestApi
) -> None:
    server.answer = lambda packet: None
    asking = [asyncio.create_task(ask(api, str(n))) for n in range(2)]
    await eventually(lambda: len(server.asked) == 2, PATIENCE_SECONDS, "both are asked")
    server.answer = answer_of_members("bob")
    server.writers[0].close()
    assert await asyncio.gather(*asking) == [True, True]
    assert len(server.writers) == 2


async def test_an_api_that_hangs_up_on_everybody_leaves_nobody_waiting(
    server: FakeNest, api: NestApi
) -> None:
    def hang_up(_: Packet) -> None:
        server.writers[-1].close()

    server.answer = hang_up
    with pytest.raises(NoAnswer, match="closed the connection"):
        await ask(api)
    assert len(server.asked) == 2
    server.answer = answer_of_members("bob")
    assert await ask(api) is True


async def test_an_api_that_is_down_is_no_answer() -> None:
    with pytest.raises(NoAnswer, match="no connection can be made"):
        await ask(NestApi(HOST, unused_port(), "getChatDetails", PATIENCE_SECONDS))


async def test_a_connection_that_was_silent_for_a_whole_timeout_is_not_used_again(
    server: FakeNest,
) -> None:
    """Whoever was there may have gone without a word, which TCP notices after a long time only."""
    api = NestApi(HOST, server.port, "getChatDetails", 0.1)
    assert await ask(api) is True
    server.answer = lambda packet: None
    with pytest.raises(TimeoutError):
        await ask(api)
    server.answer = answer_of_members("bob")
    assert await ask(api) is True
    assert len(server.writers) == 2
    await api.aclose()


async def test_questions_on_a_silent_connection_are_asked_again_on_another(
    server: FakeNest,
) -> None:
    """They have not had their time: only one has been there for the whole timeout."""
    api = NestApi(HOST, server.port, "getChatDetails", 0.5)
    yes = answer_of_members("bob")
    server.answer = lambda packet: None if len(server.writers) == 1 else yes(packet)
    first = asyncio.create_task(ask(api, "first"))
    await eventually(lambda: server.asked, PATIENCE_SECONDS, "it is asked")
    second = asyncio.create_task(ask(api, "second"))
    assert await second is True
    with pytest.raises(TimeoutError):
        await first
    assert len(server.writers) == 2
    await api.aclose()


async def test_whoever_stops_waiting_does_not_cost_the_others_their_connection(
    server: FakeNest, api: NestApi
) -> None:
    """Its question was not on the line for the whole timeout: it proves nothing."""
    yes = answer_of_members("bob")
    server.answer = lambda packet: None
    leaves, stays = (asyncio.create_task(ask(api, name)) for name in ("leaves", "stays"))
    await eventually(lambda: len(server.asked) == 2, PATIENCE_SECONDS, "both are asked")
    leaves.cancel()
    await asyncio.wait({leaves})
    server.writers[0].write(b"".join(map(yes, server.asked)))
    assert await stays is True
    assert len(server.writers) == 1


async def test_one_slow_answer_among_others_costs_the_connection_nothing(
    server: FakeNest,
) -> None:
    api = NestApi(HOST, server.port, "getChatDetails", 0.5)
    yes = answer_of_members("bob")
    server.answer = lambda packet: None if packet["data"]["chatId"] == "slow" else yes(packet)
    slow = asyncio.create_task(ask(api, "slow"))
    await eventually(lambda: server.asked, PATIENCE_SECONDS, "it is asked")
    assert await ask(api) is True
    with pytest.raises(TimeoutError):
        await slow
    server.writers[0].write(yes(server.asked[0]))  # late, and nobody minds
    assert await ask(api) is True
    assert len(server.writers) == 1
    await api.aclose()


async def test_answers_that_came_while_this_process_stood_still_are_not_late(
    server: FakeNest,
) -> None:
    api = NestApi(HOST, server.port, "getChatDetails", 0.1)
    yes = answer_of_members("bob")
    assert await ask(api) is True

    def answer_and_pause(packet: Packet) -> None:
        server.writers[0].write(yes(packet))
        time.sleep(0.2)  # what a stopped process is: nothing runs, and bytes arrive

    server.answer = answer_and_pause
    assert await ask(api) is True
    assert len(server.writers) == 1
    await api.aclose()


@pytest.fixture
def unanswering_port() -> Iterator[int]:
    with full_port() as port:
        yield port


async def test_a_connection_that_cannot_be_made_fails_at_once_for_all_who_need_it(
    unanswering_port: int,
) -> None:
    """One after the other they would wait for a timeout each, 40 s: longer than `ask` does."""
    api = NestApi(HOST, unanswering_port, "getChatDetails", 0.2)
    found = await asyncio.gather(*(ask(api) for _ in range(200)), return_exceptions=True)
    assert {repr(one) for one in found} == {
        "TimeoutError('the API cannot be asked: connecting timed out')"
    }


async def test_whoever_leaves_while_connecting_does_not_end_that_for_the_others(
    server: FakeNest, api: NestApi
) -> None:
    connects, waits = (asyncio.create_task(ask(api)) for _ in range(2))
    await asyncio.sleep(0)  # both have begun, and one of them connects
    connects.cancel()
    assert await waits is True


async def test_at_the_end_nobody_waits(server: FakeNest, api: NestApi) -> None:
    server.answer = lambda packet: None
    asking = asyncio.create_task(ask(api))
    await eventually(lambda: server.asked, PATIENCE_SECONDS, "it is asked")
    await api.aclose()
    with pytest.raises(NoAnswer, match="stopping"):
        await asking
