"""Who is online in the cluster, with two pods on one real Valkey.

The pods' clock is the test's, so that no grace is waited for. What ends in Redis itself, a key's
life, is made shorter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from constellation_ws.chats import presence
from constellation_ws.chats.life_signs import LIFETIME_SECONDS
from constellation_ws.chats.presence import (
    REFRESH_SECONDS,
    RELOAD_SECONDS,
    OnlinePage,
    Presence,
    PresenceUnavailable,
)
from constellation_ws.messages.events import UserId
from constellation_ws.runtime import turns
from tests.loop_turns import Others
from tests.processes import running_valkey
from tests.waiting import PATIENCE_SECONDS, eventually

PODS = "{constellation:events}:presence:pods"
READERS = "{constellation:events}:presence:readers"
FOLLOWERS = "{constellation:events}:presence:followers"
USERS_OF_A = "{constellation:events}:presence:users:pod-a"
VERSION_OF_A = "{constellation:events}:presence:version:pod-a"
ODD_IDS = ["-", "+", "(", "[", "(a", "a b", "1", "10", "2", "Б", "а", "я", "🙂", "\U0010ffff", "é"]

users = st.sets(st.sampled_from([*ODD_IDS, *"abcdefgh"]).map(UserId))


class Clock:
    """The monotonic clock of all pods, which stands still unless it is turned."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def time(self) -> float:
        raise AssertionError("pods are compared by Redis' clock, not by their own")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(presence, "time", clock)
    monkeypatch.setattr(presence, "_STEP_SECONDS", 0.01)
    return clock


class Stepping(Presence):
    """Notes each step of its task."""

    steps: list[float]

    async def _let_go(self, now: float) -> None:
        self.steps.append(now)
        await super()._let_go(now)


@pytest.fixture
def a(redis: Redis) -> Stepping:
    return Stepping(redis, "pod-a")


@pytest.fixture
def b(redis: Redis) -> Stepping:
    return Stepping(redis, "pod-b")


def user(number: object) -> UserId:
    return UserId(str(number))


@asynccontextmanager
async def running(*pods: Stepping) -> AsyncIterator[list[float]]:
    """Let pods write what they know; gives the times of all their steps."""
    steps: list[float] = []
    for pod in pods:
        pod.steps = steps
    tasks = [asyncio.create_task(pod.run()) for pod in pods]
    try:
        yield steps
    finally:
        # More than once: redis-py sends inside `wait_for`, which Python 3.11 lets swallow a
        # cancellation that comes as the sending ends.
        pending = set(tasks)
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=0.1)
        assert [task for task in tasks if not task.cancelled()] == []


async def becomes(pod: Presence, one: UserId, is_online: bool) -> None:
    async def has_become() -> bool:
        return await pod.is_online(one) is is_online

    await eventually(has_become, PATIENCE_SECONDS, f"{one} online: {is_online}")


async def some_steps(steps: list[float]) -> None:
    """Let every pod do all that is due."""
    enough = len(steps) + 10
    await eventually(lambda: len(steps) >= enough, PATIENCE_SECONDS, "the tasks go on")


async def everyone(pod: Presence, limit: int = 100) -> list[list[str]]:
    """All pages of who is online."""
    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await pod.online(cursor, limit)
        pages.append(list(page.users))
        cursor = page.cursor
    return pages


async def test_a_user_is_online_here_at_once_and_everywhere_soon(a: Stepping, b: Stepping) -> None:
    a.arrive(user(1))
    assert await a.is_online(user(1))
    assert (await a.online("", 10)) == OnlinePage([user(1)], None)
    assert not await b.is_online(user(1))
    async with running(a, b):
        await becomes(b, user(1), True)
        assert not await b.is_online(user(2))
        assert await everyone(b) == [["1"]]


async def test_who_leaves_is_online_for_a_grace_and_then_nowhere(
    a: Stepping, b: Stepping, clock: Clock
) -> None:
    async with running(a, b) as steps:
        a.arrive(user(1))
        await becomes(b, user(1), True)
        a.depart(user(1), "transport close")
        clock.seconds += RELOAD_SECONDS - 0.1
        await some_steps(steps)
        assert (await a.is_online(user(1)), await b.is_online(user(1))) == (True, True)
        assert a.user_count == 1
        clock.seconds += 0.1
        await becomes(b, user(1), False)
        assert not await a.is_online(user(1))
        assert a.user_count == 0
        assert await everyone(b) == [[]]


async def test_a_reload_is_no_flicker_on_the_same_pod_or_another(
    a: Stepping, b: Stepping, clock: Clock
) -> None:
    async with running(a, b) as steps:
        for one in (user("stays"), user("moves")):
            a.arrive(one)
            await becomes(b, one, True)
            a.depart(one, "transport close")
        clock.seconds += RELOAD_SECONDS - 0.1
        a.arrive(user("stays"))
        b.arrive(user("moves"))
        await some_steps(steps)
        assert await everyone(a) == await everyone(b) == [["moves", "stays"]]
        clock.seconds += 100
        await some_steps(steps)
        assert await everyone(a) == await everyone(b) == [["moves", "stays"]]
        assert (a.user_count, b.user_count) == (1, 1)


async def test_who_leaves_twice_has_a_grace_from_the_last_time(
    a: Stepping, b: Stepping, clock: Clock
) -> None:
    async with running(a, b) as steps:
        for one in ("first", "second", "first"):
            a.arrive(user(one))
            await becomes(b, user(one), True)
            a.depart(user(one), "transport close")
            clock.seconds += 0.9 * RELOAD_SECONDS
            await some_steps(steps)
        assert await everyone(b) == [["first"]]
        clock.seconds += 0.1 * RELOAD_SECONDS
        await becomes(b, user("first"), False)


async def test_who_comes_and_goes_quickly_ends_as_was_said_last(
    a: Stepping, b: Stepping, clock: Clock
) -> None:
    async with running(a, b) as steps:
        for _ in range(5):
            for one in ("ends here", "ends away"):
                a.arrive(user(one))
                a.depart(user(one), "transport close")
            clock.seconds += RELOAD_SECONDS
            await asyncio.sleep(0)
        a.arrive(user("ends here"))
        clock.seconds += RELOAD_SECONDS
        await some_steps(steps)
        assert await everyone(a) == await everyone(b) == [["ends here"]]


async def test_users_on_two_pods_are_listed_once(a: Stepping, b: Stepping) -> None:
    for pod in (a, b):
        pod.arrive(user("both"))
    a.arrive(user("a"))
    b.arrive(user("b"))
    async with running(a, b):
        await becomes(a, user("b"), True)
        await becomes(b, user("a"), True)
        for pod in (a, b):
            assert await everyone(pod) == [["a", "b", "both"]]
            assert await everyone(pod, limit=1) == [["a"], ["b"], ["both"]]
            assert await everyone(pod, limit=2) == [["a", "b"], ["both"]]


async def test_a_page_does_not_walk_over_all_users_of_the_pod(a: Stepping) -> None:
    class Counted(set[UserId]):
        """Users that nobody may walk over."""

        def __iter__(self) -> Iterator[UserId]:
            raise AssertionError("a page costs as much as the pod has users")

    async with running(a):
        for number in range(3):
            a.arrive(user(number))

        async def are_written() -> bool:
            return not a._unsaved

        await eventually(are_written, PATIENCE_SECONDS, "all are written")
        a._here = Counted(a._here)
        a.arrive(user("late"))
        assert (await a.online("", 10)).users == ["0", "1", "2", "late"]


async def test_pages_are_whole_and_in_the_order_of_redis_whatever_the_ids(
    a: Stepping, b: Stepping
) -> None:
    for place, one in enumerate(ODD_IDS):
        (a, b)[place % 2].arrive(user(one))
    ordered = sorted(ODD_IDS, key=str.encode)
    async with running(a, b):
        for pod, other_ids in ((a, ODD_IDS[1::2]), (b, ODD_IDS[0::2])):
            for one in other_ids:
                await becomes(pod, user(one), True)
            for limit in (1, 2, 3, 100):
                pages = await everyone(pod, limit)
                assert [one for page in pages for one in page] == ordered
                assert all(len(page) == limit for page in pages[:-1])


async def test_thousands_of_users_are_written(a: Stepping, b: Stepping) -> None:
    for number in range(2_345):
        a.arrive(user(number))
    async with running(a, b):
        await becomes(b, user(2_344), True)
        assert sorted((await b.online("", 10_000)).users) == sorted(map(user, range(2_345)))


async def test_a_killed_pods_users_fade_and_a_living_ones_stay(
    a: Stepping, b: Stepping, redis: Redis
) -> None:
    b.arrive(user("lives"))
    async with running(b):
        await becomes(a, user("lives"), True)
        async with running(a):
            a.arrive(user("dies"))
            await becomes(b, user("dies"), True)
        seconds, _ = await redis.time()
        await redis.zadd(PODS, {"pod-a": seconds + 1})  # as if most of its life had passed
        await becomes(b, user("dies"), False)
        assert await everyone(b) == [["lives"]]


async def test_a_living_pod_prolongs_its_life_in_time(
    a: Stepping, redis: Redis, clock: Clock
) -> None:
    ends_at = time.time() + 1
    async with running(a) as steps:
        a.arrive(user(1))
        await some_steps(steps)
        for _ in range(3):
            pod: Any
            (pod,) = await redis.zrange(PODS, 0, -1, withscores=True)
            assert pod[0] == b"pod-a"
            assert ends_at < pod[1] <= time.time() + LIFETIME_SECONDS
            assert 1 < await redis.ttl(USERS_OF_A) <= LIFETIME_SECONDS
            # As if most of its life had passed.
            ends_at = time.time() + 1
            await redis.zadd(PODS, {"pod-a": ends_at})
            await redis.expire(USERS_OF_A, 1)
            clock.seconds += REFRESH_SECONDS
            await some_steps(steps)


async def test_a_pod_that_has_long_been_gone_is_forgotten(
    a: Stepping, redis: Redis, clock: Clock
) -> None:
    long_ago, lately = time.time() - LIFETIME_SECONDS - 1, time.time() - 1
    await redis.zadd(PODS, {"long gone": long_ago, "lately": lately})
    async with running(a) as steps:
        await some_steps(steps)
    assert await redis.zrange(PODS, 0, -1) == [
        b"lately",
        b"pod-a",
    ]


async def test_pods_are_compared_by_the_clock_of_redis_alone(
    a: Stepping, b: Stepping, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the wall clocks of the pods say, and however far Redis' own is off."""
    async with running(a, b):
        a.arrive(user(1))
        await becomes(b, user(1), True)
        first: Any
        second: Any
        (first, second) = await redis.zrange(PODS, 0, -1, withscores=True)
        now, _ = await redis.time()
        for _, lives_until in (first, second):
            assert now < lives_until <= now + LIFETIME_SECONDS + 1
    ahead = (now + 3_600, 0)
    for pod in (a, b):
        monkeypatch.setattr(pod._redis, "time", lambda: _soon(ahead))
    await redis.delete(PODS)
    await a._refresh()
    assert await redis.zscore(PODS, "pod-a") == 3_600 + now + LIFETIME_SECONDS


async def _soon(value: tuple[int, int]) -> tuple[int, int]:
    return value


async def test_the_pods_that_live_are_named_until_they_withdraw_or_fall_silent(
    a: Stepping, b: Stepping, redis: Redis
) -> None:
    assert await a.pods() == frozenset()
    async with running(a, b):

        async def both_are_named() -> bool:
            return await a.pods() == {"pod-a", "pod-b"}

        await eventually(both_are_named, PATIENCE_SECONDS, "both are named, without any user")
    await a.withdraw()
    assert await b.pods() == {"pod-b"}
    # As if it had been killed two refreshes ago: its users have some time left.
    await redis.zincrby(PODS, -2 * REFRESH_SECONDS - 1, "pod-b")
    assert await b.pods() == frozenset()
    assert await b._alive(0) == ["pod-a", "pod-b"]


def test_a_killed_pods_users_fade_within_what_was_promised() -> None:
    # Half a minute at most, and never while the pod lives and Redis answers late.
    assert LIFETIME_SECONDS <= 30
    assert LIFETIME_SECONDS >= 3 * REFRESH_SECONDS


async def test_a_pod_that_says_goodbye_writes_nothing_more(
    a: Stepping, b: Stepping, redis: Redis, clock: Clock
) -> None:
    async with running(a, b) as steps:
        for one in ("gone", "back"):
            a.arrive(user(one))
            await becomes(b, user(one), True)
        await a.withdraw()
        # For the grace of a reload all are online: some are on their way to another pod.
        assert await b.is_online(user("gone"))
        assert 0 < await redis.ttl(USERS_OF_A) <= RELOAD_SECONDS
        # The task of a draining pod goes on for a while, and its last sockets come and go.
        a.depart(user("back"), "transport close")
        a.arrive(user("late"))
        b.arrive(user("back"))
        clock.seconds += REFRESH_SECONDS + RELOAD_SECONDS
        await some_steps(steps)
        assert 0 < await redis.ttl(USERS_OF_A) <= RELOAD_SECONDS
        assert await redis.zrange(USERS_OF_A, 0, -1) == [b"back", b"gone"]


async def test_where_the_clock_of_redis_goes_back_a_dead_pod_does_not_live_on(
    a: Stepping, redis: Redis, clock: Clock
) -> None:
    seconds, _ = await redis.time()
    await redis.zadd(PODS, {"pod-dead": seconds + 600})
    async with running(a):
        a.arrive(user(1))
        await becomes(a, user(1), True)

        async def is_bounded() -> bool:
            clock.seconds += REFRESH_SECONDS
            lives_until = await redis.zscore(PODS, "pod-dead")
            return lives_until is not None and lives_until < seconds + 60

        await eventually(is_bounded, PATIENCE_SECONDS, "it counts as alive no longer than others")


async def test_what_redis_has_lost_is_written_again(
    a: Stepping, b: Stepping, redis: Redis, clock: Clock
) -> None:
    async with running(a):
        a.arrive(user(1))
        await becomes(b, user(1), True)
        await redis.flushdb()
        assert not await b.is_online(user(1))
        clock.seconds += REFRESH_SECONDS
        await becomes(b, user(1), True)


@pytest.mark.parametrize("writes_first", [False, True])
async def test_what_redis_has_gone_back_from_is_written_again(
    a: Stepping,
    b: Stepping,
    redis: Redis,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    writes_first: bool,
) -> None:
    """As many users as there should be, and others: counting them shows nothing."""
    monkeypatch.setattr(presence, "_CHUNK", 2)
    former = [user(number) for number in range(5)]
    async with running(a):
        for one in former:
            a.arrive(one)
        for one in former:
            await becomes(b, one, True)
        users, version = await redis.dump(USERS_OF_A), await redis.get(VERSION_OF_A)
        assert users is not None
        assert version is not None
        for one in former:
            a.depart(one, "transport close")
            a.arrive(user(f"late {one}"))
        clock.seconds += RELOAD_SECONDS
        await becomes(b, former[-1], False)
        await redis.restore(USERS_OF_A, 0, users, replace=True)
        await redis.set(VERSION_OF_A, version)
        if writes_first:
            a.arrive(user("next"))
        else:
            clock.seconds += REFRESH_SECONDS
        for one in former:
            await becomes(b, one, False)
            await becomes(b, user(f"late {one}"), True)
        assert await redis.ttl(USERS_OF_A) > 0


async def test_without_redis_the_own_users_are_known_and_all_others_are_not() -> None:
    with running_valkey() as valkey:
        async with Redis.from_url(valkey.url, socket_connect_timeout=1) as redis:
            a, b = Stepping(redis, "pod-a"), Stepping(redis, "pod-b")
            async with running(a, b) as steps:
                valkey.stop()
                a.arrive(user(1))
                assert await a.is_online(user(1))
                questions = (a.is_online(user(2)), b.is_online(user(1)), a.online("", 10), a.pods())
                for question in questions:
                    with pytest.raises(PresenceUnavailable, match="Redis cannot be reached"):
                        await question
                before = len(steps)
                await eventually(
                    lambda: len(steps) > before + 1, PATIENCE_SECONDS, "the tasks live"
                )
                valkey.start()
                await becomes(b, user(1), True)


async def test_users_who_come_while_others_are_written_are_written_together(
    a: Stepping, redis: Redis
) -> None:
    await redis.config_resetstat()
    async with running(a) as steps:
        for number in range(1_000):
            a.arrive(user(number))
            await asyncio.sleep(0)

        async def all_are_written() -> bool:
            return await redis.zcard(USERS_OF_A) == 1_000

        await eventually(all_are_written, PATIENCE_SECONDS, "all are written")
        refreshed = 1
        writes = (await redis.info("commandstats"))["cmdstat_zadd"]["calls"] - refreshed
        assert writes <= len(steps) + 1, "one at each step"


async def test_a_goodbye_to_a_redis_that_is_gone_is_no_error() -> None:
    with running_valkey() as valkey:
        async with Redis.from_url(valkey.url, socket_connect_timeout=1) as redis:
            a = Presence(redis, "pod-a")
            valkey.stop()
            await a.withdraw()


@given(st.lists(users, max_size=3), users, st.integers(1, 6))
def test_pages_of_all_pods_merge_completely_and_without_doubles(
    pods: list[set[UserId]], unsaved: set[UserId], limit: int
) -> None:
    seen: list[UserId] = []
    cursor: str | None = ""
    while cursor is not None:
        after = cursor.encode()
        pages = [sorted(one.encode() for one in pod if one.encode() > after) for pod in pods]
        page = presence._merge([found[: limit + 1] for found in pages], unsaved, cursor, limit)
        assert len(page.users) == limit or page.cursor is None
        assert page.users or not seen, "a cursor always leads to somebody"
        seen += page.users
        cursor = page.cursor
    assert seen == sorted(unsaved.union(*pods), key=str.encode)


class Told:
    """An announcer that notes what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, ...]] = []

    def came(self, user: UserId) -> None:
        self.lines.append(("came", user))

    def went(self, user: UserId, reason: str) -> None:
        self.lines.append(("went", user, reason))


async def test_the_announcer_is_told_of_settled_states_with_the_last_reason(
    redis: Redis, clock: Clock
) -> None:
    told = Told()
    pod = Stepping(redis, "pod-a", announcer=told)
    async with running(pod) as steps:
        for reason in ("transport close", "ping timeout", "client disconnect"):
            pod.arrive(user(1))
            pod.depart(user(1), reason)
            clock.seconds += RELOAD_SECONDS - 0.1
            await some_steps(steps)
        assert told.lines == [("came", "1")]
        clock.seconds += 0.1
        await some_steps(steps)
        assert told.lines == [("came", "1"), ("went", "1", "client disconnect")]
        pod.arrive(user(1))
        assert told.lines[2:] == [("came", "1")]


async def test_thousands_who_leave_at_once_leave_turns_to_others(
    redis: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, others = Told(), Others()
    pod = Presence(redis, "pod-a", announcer=told)
    for number in range(1_000):
        pod.arrive(user(number))
        pod.depart(user(number), "drain")
    clock.seconds += RELOAD_SECONDS
    monkeypatch.setattr(turns, "TURN_SECONDS", 0)
    with others.having_turns():
        leaving = asyncio.create_task(pod._let_go(clock.seconds))
        await asyncio.sleep(0)
        pod.arrive(user(999))
        await leaving
    assert others.turns > 900
    assert pod.user_count == 1
    assert len(told.lines) == 1_000 + 999, "who came back meanwhile has not left"


async def test_a_pod_says_that_it_reads_packed_entries_before_it_says_that_it_lives(
    redis: Redis,
) -> None:
    """And for longer: else the recorder would take it for one of an earlier release."""
    with pytest.MonkeyPatch.context() as patch:
        commands: list[tuple[object, ...]] = []
        pipeline = type(redis.pipeline(transaction=False))
        zadd = pipeline.zadd

        def noted(self: Any, name: str, mapping: dict[str, float]) -> Any:
            commands.append((name, mapping))
            return zadd(self, name, mapping)

        patch.setattr(pipeline, "zadd", noted)
        pod = Presence(redis, "pod-a")
        await pod._refresh()
        await pod.withdraw()
    assert [name for name, _ in commands] == 2 * [READERS, PODS]
    reads_until, lives_until = [await redis.zscore(key, "pod-a") for key in (READERS, PODS)]
    assert reads_until is not None
    assert lives_until is not None
    assert float(reads_until) > float(lives_until) + LIFETIME_SECONDS


async def test_a_pod_shows_how_many_partitions_of_the_log_it_follows(redis: Redis) -> None:
    pods = [
        Stepping(redis, instance, partitions=partitions)
        for instance, partitions in (("one", 1), ("three", 3))
    ]
    async with running(*pods) as steps:
        await some_steps(steps)
    assert await redis.zrange(FOLLOWERS, 0, -1) == [b"3 three"]
