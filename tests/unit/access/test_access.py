"""Who may be in a chat: asked once, remembered for a while, overtaken by ends, else closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

import pytest
from structlog.testing import capture_logs

from constellation_ws.access.access import Asked, TokenChats
from constellation_ws.access.answers import ApiAnswer, NoAnswer
from constellation_ws.access.known import NO_SECONDS, YES_SECONDS
from constellation_ws.access.limit import FIRST_CALLS
from constellation_ws.auth.identity import Identity
from constellation_ws.messages.admission import ACCESS_UNAVAILABLE, FORBIDDEN, Refusal
from constellation_ws.messages.events import ChatId, UserId
from constellation_ws.observability.metrics import Metrics
from tests.waiting import PATIENCE_SECONDS, cancelled

BOB, EVE = Identity(UserId("bob")), Identity(UserId("eve"))
CHAT = ChatId("c")


class Members:
    """An API that knows who is in which chat, and answers when it may."""

    def __init__(self, *members: tuple[str, str]) -> None:
        self.members = set(members)
        self.asked: list[tuple[str, str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.fault: Exception | None = None
        self.is_closed = False
        self.open = 0
        self.on_answer: Callable[[], None] = lambda: None

    def subject(self, user: UserId, chat: ChatId) -> object:
        return user, chat

    async def ask(self, user: UserId, chat: ChatId) -> ApiAnswer:
        self.asked.append((user, chat))
        answer = (user, chat) in self.members  # as it is when it looks, before it answers
        self.open += 1
        try:
            await self.may_answer.wait()
        finally:
            self.open -= 1
        if self.fault is not None:
            raise self.fault
        self.on_answer()
        return ApiAnswer(answer)

    async def aclose(self) -> None:
        self.is_closed = True


class Asking:
    """The part under test with an API, a clock that is set by hand, and its tasks."""

    def __init__(self, *members: tuple[str, str]) -> None:
        self.api = Members(*members)
        self.metrics = Metrics()
        self.now = 0.0
        self.tasks: list[asyncio.Task[None]] = []
        self.access = Asked(
            self.api,
            self.metrics,
            spawn=lambda work: self.tasks.append(asyncio.create_task(work)),
            timeout_seconds=2,
            clock=lambda: self.now,
        )

    async def join(self, who: Identity = BOB, chat: str = CHAT) -> Refusal | None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.access.refusal(who, ChatId(chat))

    async def lost(self, *rooms: str) -> frozenset[str] | None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.access.find_revoked(BOB, rooms)

    async def begin(self, *joins: tuple[Identity, str]) -> list[asyncio.Task[Refusal | None]]:
        """Begin to join and wait until all that can be asked has been."""
        begun = [asyncio.create_task(self.join(who, chat)) for who, chat in joins]
        self.tasks += begun  # type: ignore[arg-type]  # only to be cancelled
        for _ in range(5):
            await asyncio.sleep(0)
        return begun

    def outcomes(self, outcome: str) -> float:
        value = self.metrics.registry.get_sample_value(
            "constellation_chat_access_duration_seconds_count", {"outcome": outcome}
        )
        return value or 0.0


@pytest.fixture
async def asking() -> AsyncIterator[Asking]:
    one = Asking(("bob", "c"))
    yield one
    await cancelled(one.tasks)


async def test_who_is_in_a_chat_may_join_it_and_nobody_else(asking: Asking) -> None:
    assert await asking.join(BOB) is None
    assert await asking.join(EVE) is FORBIDDEN
    assert await asking.join(BOB, "other") is FORBIDDEN
    assert (asking.outcomes("yes"), asking.outcomes("no")) == (1, 2)


@pytest.mark.parametrize("name", ["__proto__", "constructor", "toString", "c", "user:bob", ""])
async def test_names_that_mean_something_elsewhere_mean_nothing_here(
    name: str, asking: Asking
) -> None:
    assert await asking.join(Identity(UserId(name))) is FORBIDDEN
    if name != "c":
        assert await asking.join(BOB, name) is FORBIDDEN


async def test_a_yes_and_a_no_are_remembered_for_as_long_as_they_say(asking: Asking) -> None:
    for who, seconds in ((BOB, YES_SECONDS), (EVE, NO_SECONDS)):
        asking.api.asked.clear()
        first = await asking.join(who)
        asking.now += seconds - 0.01
        assert await asking.join(who) is first
        assert len(asking.api.asked) == 1
        asking.now += 0.02
        assert await asking.join(who) is first
        assert len(asking.api.asked) == 2


async def test_a_question_is_asked_once_however_many_wait_for_its_answer(asking: Asking) -> None:
    asking.api.may_answer.clear()
    begun = await asking.begin(*[(BOB, "c")] * 10, (EVE, "c"))
    assert sorted(asking.api.asked) == [("bob", "c"), ("eve", "c")]
    asking.api.may_answer.set()
    assert await asyncio.gather(*begun) == [*[None] * 10, FORBIDDEN]


async def test_who_leaves_while_a_question_is_open_takes_nobodys_answer_along(
    asking: Asking,
) -> None:
    asking.api.may_answer.clear()
    gone, stays = await asking.begin((BOB, "c"), (BOB, "c"))
    gone.cancel()
    await asyncio.wait({gone})
    asking.api.may_answer.set()
    assert await stays is None
    assert len(asking.api.asked) == 1


@pytest.mark.parametrize("who", [None, "user:bob", "some-sid"])
async def test_a_remembered_yes_does_not_readmit_whom_an_event_has_removed(
    who: str | None, asking: Asking
) -> None:
    assert await asking.join() is None
    asking.api.members.clear()
    asking.access.forget("chat:c", who)
    assert await asking.join() is FORBIDDEN


async def test_what_others_lose_costs_nobody_a_question(asking: Asking) -> None:
    await asking.join()
    for room, who in (("chat:c", "user:eve"), ("chat:d", None), ("chat:c", "user:"), ("", None)):
        asking.access.forget(room, who)
    await asking.join()
    assert len(asking.api.asked) == 1


@pytest.mark.parametrize("who", [None, "user:bob"])
async def test_an_answer_that_is_older_than_the_end_of_a_membership_does_not_count(
    who: str | None, asking: Asking
) -> None:
    asking.api.may_answer.clear()
    (joining,) = await asking.begin((BOB, "c"))
    asking.api.members.clear()
    asking.access.forget("chat:c", who)
    asking.api.may_answer.set()
    assert await joining is FORBIDDEN
    assert len(asking.api.asked) == 2


async def test_an_end_between_the_answer_and_who_waits_for_it_is_not_missed(
    asking: Asking,
) -> None:
    """The answer has come, but the loop has not turned to who asked yet."""

    def end_in_the_next_step() -> None:
        asking.api.members.clear()
        asking.api.on_answer = lambda: None
        asyncio.get_running_loop().call_soon(asking.access.forget, "chat:c", "user:bob")

    asking.api.on_answer = end_in_the_next_step
    assert await asking.join() is FORBIDDEN
    assert (asking.outcomes("yes"), asking.outcomes("no")) == (1, 1)


async def test_one_whose_answers_are_overtaken_again_and_again_is_not_let_in(
    asking: Asking,
) -> None:
    asking.api.may_answer.clear()
    (joining,) = await asking.begin((BOB, "c"))
    while not joining.done():
        asking.access.forget("chat:c", None)
        asking.api.may_answer.set()
        await asyncio.sleep(0)
        asking.api.may_answer.clear()
    assert await joining is ACCESS_UNAVAILABLE


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (NoAnswer("the API is away"), "failed"),
        (ValueError("never thought of"), "failed"),
        (TimeoutError("the API did not answer in time"), "timeout"),
    ],
)
async def test_an_api_that_fails_lets_nobody_in(
    fault: Exception, outcome: str, asking: Asking
) -> None:
    asking.api.fault = fault
    with capture_logs() as logs:
        assert await asking.join() is ACCESS_UNAVAILABLE
    assert logs[0]["log_level"] in ("warning", "error")
    assert asking.outcomes(outcome) == 1
    asking.api.fault = None
    assert await asking.join() is None, "a failure is not remembered"


async def test_of_a_sessions_rooms_those_are_lost_that_the_api_denies(asking: Asking) -> None:
    assert await asking.lost("user:bob", "chat:c", "chat:d", "team") == {"chat:d"}
    assert await asking.lost("user:bob", "team") == frozenset()
    assert await asking.lost() == frozenset()
    assert sorted(asking.api.asked) == [("bob", "c"), ("bob", "d")]


async def test_a_session_with_a_room_of_which_nothing_can_be_told_is_told_nothing_of(
    asking: Asking,
) -> None:
    await asking.join()
    asking.api.fault = NoAnswer("away")
    with capture_logs():
        assert await asking.lost("chat:c", "chat:d") is None
    assert await asking.lost("chat:c") == frozenset(), "the answer is still known"


async def test_at_the_end_nobody_waits_for_an_answer(asking: Asking) -> None:
    asking.api.may_answer.clear()
    begun = await asking.begin((BOB, "c"), *[(EVE, f"c{n}") for n in range(FIRST_CALLS + 1)])
    not_begun = asyncio.create_task(asking.join(BOB, "d"))
    await asyncio.sleep(0)  # its question has a task that has not begun
    await asking.access.aclose()
    assert set(await asyncio.gather(*begun, not_begun)) == {ACCESS_UNAVAILABLE}
    assert await asking.join(BOB, "e") is ACCESS_UNAVAILABLE
    assert asking.api.is_closed
    assert asking.api.open == 0


@pytest.mark.parametrize(
    ("chats", "joined"),
    [(None, ()), ((), ()), (("c", "7"), ("c", "7")), (("*",), ("*",))],
)
async def test_a_token_names_the_chats_that_its_bearer_may_join(
    chats: Iterable[str] | None, joined: tuple[str, ...]
) -> None:
    identity = Identity(UserId("bob"), None if chats is None else frozenset(chats))
    claims = TokenChats()
    for chat in ("c", "7", "*", "d", "__proto__", ""):
        may = await claims.refusal(identity, ChatId(chat)) is None
        assert may is (chat in joined)
    rooms = ["user:bob", "chat:c", "chat:d", "team"]
    lost = {room for room in ("chat:c", "chat:d") if room[5:] not in joined}
    assert await claims.find_revoked(identity, rooms) == lost
    assert claims.outdated(identity, rooms) == lost


async def test_what_the_api_says_no_token_takes_away(asking: Asking) -> None:
    assert asking.access.outdated(EVE, ["chat:c", "user:eve"]) == frozenset()
    assert asking.api.asked == []
