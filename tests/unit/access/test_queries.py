"""Asking the API for many at once: what is shared, who waits for what, and when time runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from structlog.testing import capture_logs

from constellation_ws.access import queries as access_queries
from constellation_ws.access import queue as access_queue
from constellation_ws.access.answers import ApiAnswer, NoAnswer
from constellation_ws.access.known import YES_SECONDS, Known
from constellation_ws.access.limit import FIRST_CALLS, LEAST_CALLS, CallLimit
from constellation_ws.access.queries import Queries
from constellation_ws.access.queue import MAX_WAIT_SECONDS, Kind
from constellation_ws.messages.events import ChatId, UserId
from constellation_ws.observability.metrics import Metrics
from tests.waiting import PATIENCE_SECONDS, cancelled

TIMEOUT_SECONDS = 2.0
"""What the API that is asked here gives itself."""


class Api:
    """An API whose answers a test gives one by one, and whose answers may name others."""

    def __init__(self) -> None:
        self.members: dict[str, set[str]] = {}
        """Users by chat."""
        self.names_users = self.names_chats = False
        self.open: list[tuple[str, str, asyncio.Future[Exception | None]]] = []
        """The calls on which nothing has been answered, in their order."""
        self.asked = self.most_open = 0
        self.is_held = True

    def subject(self, user: UserId, chat: ChatId) -> object:
        return chat if self.names_users else user if self.names_chats else (user, chat)

    async def ask(self, user: UserId, chat: ChatId) -> ApiAnswer:
        self.asked += 1
        if self.is_held:
            call = (user, chat, asyncio.get_running_loop().create_future())
            self.open.append(call)
            self.most_open = max(self.most_open, len(self.open))
            if fault := await call[2]:
                raise fault
        users, chats = frozenset(self.members.get(chat, ())), None
        if self.names_chats:
            chats = frozenset(one for one, found in self.members.items() if user in found)
        return ApiAnswer(user in users, users if self.names_users else None, chats)

    async def aclose(self) -> None:
        pass


class World:
    """Queries with an API and a clock that a test sets."""

    def __init__(self) -> None:
        self.api = Api()
        self.known = Known()
        self.limit = CallLimit(TIMEOUT_SECONDS)
        self.metrics = Metrics()
        self.now = 0.0
        self.tasks: list[asyncio.Task[None]] = []
        self.queries = Queries(
            self.api,
            self.known,
            self.limit,
            self.metrics,
            spawn=lambda work: self.tasks.append(asyncio.create_task(work)),
            timeout_seconds=TIMEOUT_SECONDS,
            clock=lambda: self.now,
        )

    def run(self, user: str, *chats: str, kind: Kind = Kind.JOIN) -> asyncio.Task[dict[str, bool]]:
        """Begin to check; the answer is empty where there is none."""

        async def check() -> dict[str, bool]:
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = await self.queries.run(UserId(user), map(ChatId, chats), kind)
            return {chat: verdict.allowed for chat, verdict in (found or {}).items()}

        task = asyncio.create_task(check())
        self.tasks.append(task)  # type: ignore[arg-type]  # only to be cancelled
        return task

    def resume(self, user: str, chats: Iterable[str]) -> asyncio.Task[dict[str, bool]]:
        return self.run(user, *chats, kind=Kind.RESUME)

    async def settle(self) -> None:
        """Let everything happen that can."""
        for _ in range(8):
            await asyncio.sleep(0)

    async def answer(self, calls: int | None = None, fault: Exception | None = None) -> None:
        """Answer the oldest calls, all that are open where no number is given."""
        for _, _, call in self.api.open[:calls]:
            call.set_result(fault)
        del self.api.open[:calls]
        await self.settle()

    async def serve(self, seconds: float) -> int:
        """Answer call by call, each so long after it was begun, until there is none; count them."""
        served = 0
        while self.api.open:
            self.now += seconds
            served += len(self.api.open)
            await self.answer()
        return served

    def outcomes(self, outcome: str) -> float:
        value = self.metrics.registry.get_sample_value(
            "constellation_chat_access_duration_seconds_count", {"outcome": outcome}
        )
        return value or 0.0


@pytest.fixture
async def world() -> AsyncIterator[World]:
    one = World()
    yield one
    await cancelled(one.tasks)


# What is asked


async def test_no_more_calls_run_at_a_time_than_the_limit_says(world: World) -> None:
    checks = [world.run("bob", f"c{n}") for n in range(3 * FIRST_CALLS)]
    await world.settle()
    assert len(world.api.open) == FIRST_CALLS
    assert world.queries.waiting == 2 * FIRST_CALLS
    await world.serve(0.01)
    assert world.queries.waiting == 0
    assert world.api.most_open == FIRST_CALLS
    assert [len(check.result()) for check in checks] == [1] * len(checks)


async def test_all_users_of_a_chat_share_an_answer_that_names_them(world: World) -> None:
    world.api.names_users = True
    world.api.members = {f"c{n}": {f"u{n}" for n in range(500)} for n in range(10)}
    chats = list(world.api.members)
    checks = [world.resume(f"u{n}", chats) for n in range(400)]
    await world.settle()
    await world.serve(0.3)
    checks += [world.resume(f"u{n}", chats) for n in range(400, 500)]
    await world.settle()
    assert [check.result() for check in checks] == [dict.fromkeys(chats, True)] * 500
    assert world.api.asked == 10


async def test_a_user_is_asked_about_once_where_the_answer_names_the_chats(world: World) -> None:
    world.api.names_chats = True
    world.api.members = {f"c{n}": {"bob", "eve"} for n in range(100)}
    checks = [world.resume(user, world.api.members) for user in ("bob", "eve")]
    await world.settle()
    await world.serve(0.3)
    assert [len(check.result()) for check in checks] == [100, 100]
    assert world.api.asked == 2


async def test_a_chat_that_the_answer_does_not_name_is_asked_about_by_itself(world: World) -> None:
    world.api.names_chats = True
    world.api.members = {"c": {"bob"}, "d": {"bob"}}
    check = world.resume("bob", ["c", "d", "lost", "lost too"])
    await world.settle()
    await world.serve(0.3)
    assert check.result() == {"c": True, "d": True, "lost": False, "lost too": False}
    assert world.api.asked == 3


async def test_a_no_that_is_older_than_whoever_asks_is_not_taken_for_one(world: World) -> None:
    """The membership may have begun after the API looked: that happens when a chat is made."""
    world.api.names_users = True
    world.api.members = {"c": {"eve"}}
    world.run("eve", "c")
    await world.settle()
    joins = world.run("bob", "c")
    await world.settle()
    await world.answer()  # as it was before
    world.api.members["c"].add("bob")
    assert not joins.done()
    await world.answer()
    assert joins.result() == {"c": True}
    assert world.api.asked == 2


async def test_a_failure_of_a_call_from_before_is_another_s(world: World) -> None:
    """Its time had begun to run before the check came."""
    world.api.members = {"c": {"bob"}}
    first = world.run("bob", "c")
    await world.settle()
    second = world.run("bob", "c")
    await world.settle()
    assert world.api.asked == 1
    with capture_logs():
        await world.answer(fault=TimeoutError("late"))
    assert first.result() == {}
    await world.answer()
    assert second.result() == {"c": True}


async def test_a_session_of_which_one_chat_cannot_be_told_costs_no_further_calls(
    world: World,
) -> None:
    check = world.resume("bob", [f"c{n}" for n in range(1_000)])
    await world.settle()
    with capture_logs():
        await world.answer(calls=1, fault=NoAnswer("no database"))
    assert check.result() == {}
    await world.serve(0.01)
    assert world.api.asked == FIRST_CALLS


async def test_what_ends_meanwhile_is_asked_about_again_by_whoever_comes_then(world: World) -> None:
    world.api.members = {"c": {"bob"}}
    before = world.run("bob", "c")
    await world.settle()
    world.known.end(ChatId("c"), UserId("bob"), world.now)
    after = world.run("bob", "c")
    await world.settle()
    assert world.api.asked == 2
    world.api.members.clear()
    await world.answer()
    assert after.result() == {"c": False}
    assert before.done()


# Who waits, and for how long


async def test_a_slow_api_costs_no_session_however_many_questions_wait(world: World) -> None:
    """2,000 sessions of 10 chats, 300 ms for an answer: the time of each runs from its call."""
    world.api.members = {f"c{n}": {f"u{n // 10}"} for n in range(20_000)}
    checks = [
        world.resume(f"u{n}", [f"c{10 * n + chat}" for chat in range(10)]) for n in range(2_000)
    ]
    await world.settle()
    assert await world.serve(0.3) == 20_000
    assert world.now < MAX_WAIT_SECONDS
    assert all(len(check.result()) == 10 for check in checks)
    assert world.outcomes("yes") == 20_000
    assert world.outcomes("timeout") == world.outcomes("busy") == 0


@pytest.mark.parametrize("seconds", [0.005, 0.05, 0.3])
async def test_1500_joins_at_once_are_all_answered(seconds: float, world: World) -> None:
    world.api.members = {f"c{n}": {f"u{n}"} for n in range(1_500)}
    joins = [world.run(f"u{n}", f"c{n}") for n in range(1_500)]
    await world.settle()
    await world.serve(seconds)
    assert [join.result() for join in joins] == [{f"c{n}": True} for n in range(1_500)]


async def test_joins_do_not_wait_for_a_storm_of_resumes_nor_resumes_for_joins(
    world: World,
) -> None:
    world.resume("bob", [f"c{n}" for n in range(1_000)])
    await world.settle()
    join = world.run("eve", "d")
    await world.settle()
    assert not join.done()
    await world.answer(calls=2)
    await world.answer()
    assert join.done()
    await world.serve(0.01)

    for n in range(1_000):
        world.run(f"u{n}", "e")
    resume = world.resume("mallory", ["f"])
    await world.settle()
    await world.answer(calls=2)
    await world.answer()
    assert resume.done()


async def test_who_cannot_be_asked_about_in_time_is_told_so(world: World) -> None:
    checks = [world.run("bob", f"c{n}") for n in range(FIRST_CALLS + 1)]
    await world.settle()
    world.now = MAX_WAIT_SECONDS
    await world.answer()
    assert [check.result() for check in checks[-2:]] == [{f"c{FIRST_CALLS - 1}": False}, {}]
    assert world.outcomes("busy") == 1


async def test_more_than_may_wait_are_refused_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_queue, "MAX_WAITING", 10)
    checks = [world.run("bob", f"c{n}") for n in range(FIRST_CALLS + 11)]
    await world.settle()
    assert checks[-1].result() == {}
    assert world.outcomes("busy") == 1
    await world.serve(0.01)
    assert sum(len(check.result()) for check in checks) == FIRST_CALLS + 10


async def timeouts(world: World, times: int) -> None:
    """Let all calls run out of time, so often."""
    with capture_logs():
        for _ in range(times):
            world.now += TIMEOUT_SECONDS
            await world.answer(fault=TimeoutError("late"))


async def test_while_an_api_is_away_those_who_wait_are_not_kept_waiting(world: World) -> None:
    checks = [world.run("bob", f"c{n}") for n in range(1_000)]
    await world.settle()
    await timeouts(world, 2)
    assert not checks[-1].done()
    await timeouts(world, 1)
    late = world.run("eve", "c")
    await world.settle()
    assert checks[-1].done()
    assert not late.done(), "whoever comes is asked about: the API may be back"
    world.api.members = {"c": {"eve"}}
    await world.answer()
    assert late.result() == {"c": True}


async def test_a_short_silence_costs_only_those_whose_calls_it_meets(world: World) -> None:
    checks = [world.resume("bob", [f"c{n}"]) for n in range(1_000)]
    await world.settle()
    await timeouts(world, 2)
    await world.serve(0.01)
    assert sum(not check.result() for check in checks) < 2 * FIRST_CALLS


async def test_as_long_as_the_api_answers_somebody_the_others_are_not_given_up(
    world: World,
) -> None:
    for n in range(1_000):
        world.run("bob", f"c{n}")
    waits = world.run("eve", "c")
    await world.settle()
    for _ in range(10):
        await world.answer(calls=1)
        await timeouts(world, 1)
    assert not waits.done()


async def test_calls_that_are_too_slow_leave_the_api_fewer_to_work_on(world: World) -> None:
    with capture_logs():
        for n in range(40):
            for chat in range(FIRST_CALLS):
                world.run("bob", f"c{n}-{chat}")
            await world.settle()
            world.now += TIMEOUT_SECONDS
            await world.answer(fault=TimeoutError("late"))
    assert world.limit.calls == LEAST_CALLS


async def test_whoever_leaves_takes_nobody_s_answer_along_and_costs_no_call(world: World) -> None:
    world.api.members = {"c": {"bob"}}
    leaves = world.resume("bob", ["c", *[f"d{n}" for n in range(FIRST_CALLS)]])
    stays = world.run("bob", "c")
    await world.settle()
    leaves.cancel()
    await world.settle()
    await world.answer()
    assert stays.result() == {"c": True}
    assert world.api.asked == FIRST_CALLS


async def test_many_who_are_answered_from_memory_do_not_hold_up_the_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They waited for a call, and by then their chat is known."""
    monkeypatch.setattr(access_queries, "_STEPS", 10)
    world.api.members = {"c": {f"u{n}" for n in range(100)}}
    for n in range(FIRST_CALLS):
        world.run("bob", f"d{n}")
    await world.settle()
    checks = [world.run(f"u{n}", "c") for n in range(100)]
    await world.settle()
    yes = ApiAnswer(True, users=frozenset(world.api.members["c"]))
    world.known.learn(UserId("u0"), ChatId("c"), yes, world.known.number(), world.now)
    await world.answer(calls=1)
    await asyncio.gather(*checks)
    assert world.api.asked == FIRST_CALLS


async def test_answers_are_remembered(world: World) -> None:
    world.api.is_held = False
    world.api.members = {"c": {"bob"}}
    for _ in range(3):
        assert await world.run("bob", "c") == {"c": True}
    assert world.api.asked == 1
    world.now += YES_SECONDS
    assert await world.run("bob", "c") == {"c": True}
    assert world.api.asked == 2


async def test_nothing_to_ask_is_answered_at_once(world: World) -> None:
    assert await world.queries.run(UserId("bob"), [], Kind.RESUME) == {}
    assert world.api.asked == 0
