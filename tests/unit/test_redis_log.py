"""The log on a real Valkey: following, gaps that are told, reading back, one recorder at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.history import BEGINNING, Logged, LogId, parse_id
from service.metrics import Metrics
from service.recording import Heard
from service.redis_link import RedisUnavailable, make_client, open_link
from service.redis_log import IDENTITY_KEY, KEY, LEASE_KEY, Appender, LostLease, RedisLog
from service.redis_log.appender import APPEND
from tests.valkeys import LastingValkey, lasting_valkey
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[LastingValkey]:
    """A Valkey of the test's own whose data stay."""
    with lasting_valkey(tmp_path, appendfsync="always") as valkey:
        yield valkey


class Follower:
    """A log with what it handed over."""

    def __init__(self, redis: Redis) -> None:
        self.metrics = Metrics()
        self.log = RedisLog(redis, redis, self.metrics)
        self.heard: list[bytes] = []
        self.starts: list[LogId] = []
        self.gaps: list[str] = []
        self.log.on_start = self.starts.append
        self.log.on_gap = self.gaps.append

    def is_following(self) -> bool:
        return self.log.lost_at is None


@asynccontextmanager
async def following(*followers: Follower) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(
            one.log.run(lambda batch, one=one: one.heard.extend(data for _, _, data in batch))
        )
        for one in followers
    ]
    try:
        for one in followers:
            await eventually(one.is_following, PATIENCE_SECONDS, "it follows")
        yield
    finally:
        await cancelled(tasks)


@asynccontextmanager
async def appending(
    redis: Redis, delivered: Callable[[], LogId], logged: list[Logged]
) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """Hold the lease; what is given appends events of these positions and waits for the answer."""
    assert await RedisLog(redis, redis, Metrics()).keeper.take_lease("a.1", 5_000, "a", 10)
    appender = Appender(await redis.script_load(APPEND), "a.1", delivered, logged.extend)

    async def append(*positions: int) -> None:
        appender.append([heard(position) for position in positions])
        await eventually(lambda: not appender.unanswered, PATIENCE_SECONDS, "an answer")

    async with open_link(redis, appender.hear) as link:
        appender.attach(link)
        yield append


def heard(position: int) -> Heard:
    return Heard(b"tick", position, b"chat:new", b"%d" % position, 0)


async def test_every_follower_hears_all_in_one_order(redis: Redis) -> None:
    a, b = Follower(redis), Follower(redis)
    async with following(a, b):
        await asyncio.gather(*(a.log.append("c", b"%d" % n) for n in range(50)))
        await eventually(
            lambda: len(a.heard) == len(b.heard) == 50, PATIENCE_SECONDS, "both have heard all"
        )
    assert a.heard == b.heard
    assert sorted(map(int, a.heard)) == list(range(50))


async def test_what_was_logged_before_is_not_delivered_anew(redis: Redis) -> None:
    first = Follower(redis)
    await first.log.append("c", b"old")
    async with following(first):
        await first.log.append("c", b"new")
        await eventually(lambda: first.heard, PATIENCE_SECONDS, "the new one")
    assert first.heard == [b"new"]
    assert len(first.starts) == 1


async def test_fields_in_any_order_and_more_of_them_are_read(redis: Redis) -> None:
    one = Follower(redis)
    async with following(one):
        await redis.xadd(KEY, {"trace": "x", "data": "d", "channel": "c"})
        await redis.xadd(KEY, {"nothing": "known"})
        await eventually(lambda: len(one.heard) == 2, PATIENCE_SECONDS, "both")
    assert one.heard == [b"d", b""]


async def test_trace_context_in_fields_is_put_into_the_message(redis: Redis) -> None:
    context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    one = Follower(redis)
    async with following(one):
        for fields in (
            {"traceparent": context, "tracestate": "a=b"},
            {"traceparent": context, "at": "tick:1"},
            {"traceparent": "wrong"},
            {"at": "tick:1"},
        ):
            await redis.xadd(KEY, {"channel": "c", "data": '{"n":1}', **fields})
        await redis.xadd(KEY, {"channel": "c", "data": "no object", "traceparent": context})
        await eventually(lambda: len(one.heard) == 5, PATIENCE_SECONDS, "all")
    assert one.heard == [
        b'{"n":1,"traceparent":"%b","tracestate":"a=b"}' % context.encode(),
        b'{"n":1,"traceparent":"%b"}' % context.encode(),
        b'{"n":1}',
        b'{"n":1}',
        b"no object",
    ]


async def test_the_lag_is_the_age_of_the_newest_entry_read_until_none_waits(redis: Redis) -> None:
    one = Follower(redis)
    lags: list[float] = []

    def is_late() -> bool:
        lags.append(one.log.lag_seconds)
        return lags[-1] > 0

    async with following(one):
        assert one.log.lag_seconds == 0
        seconds, _ = await redis.time()
        await redis.xadd(KEY, {"channel": "c", "data": "d"}, id=f"{(seconds - 60) * 1000}-0")
        await eventually(is_late, PATIENCE_SECONDS, "an entry of a minute ago has been read")
        assert lags[-1] >= 59
        await eventually(lambda: not is_late(), PATIENCE_SECONDS, "nothing more waits")


async def test_a_connection_that_is_lost_is_made_anew_and_nothing_is_missed(redis: Redis) -> None:
    one = Follower(redis)
    async with following(one):
        for n in range(5):
            await one.log.append("c", b"%d" % n)
            await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await eventually(lambda: len(one.heard) == 5, PATIENCE_SECONDS, "all five")
    assert one.heard == [b"0", b"1", b"2", b"3", b"4"]
    assert one.gaps == []


async def test_a_restart_with_its_data_loses_nothing_and_is_no_gap(mortal: LastingValkey) -> None:
    async with make_client(mortal.url, retries=5) as redis:
        one = Follower(redis)
        async with following(one):
            await one.log.append("c", b"before")
            await eventually(lambda: one.heard, PATIENCE_SECONDS, "the first")
            mortal.stop()
            mortal.start()
            await one.log.append("c", b"after")
            await eventually(lambda: len(one.heard) == 2, PATIENCE_SECONDS, "the second")
    assert one.heard == [b"before", b"after"]
    assert one.gaps == []


async def test_an_empty_redis_in_its_place_is_told_and_followed(redis: Redis) -> None:
    one = Follower(redis)
    async with following(one):
        await one.log.append("c", b"before")
        await eventually(lambda: one.heard, PATIENCE_SECONDS, "the first")
        await redis.flushall()
        await one.log.append("c", b"after")
        await _break_connections(redis)
        await eventually(lambda: one.gaps, PATIENCE_SECONDS, "the gap")
        await eventually(lambda: one.heard[-1:] == [b"after"], PATIENCE_SECONDS, "the second")
    assert one.gaps == ["replaced"]


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_log_that_came_back_shorter_is_told(redis: Redis, goes_on: bool) -> None:
    """A crash loses what was not on the disk yet; newer entries must not hide it."""
    one = Follower(redis)
    async with following(one):
        for data in (b"1", b"2"):
            await one.log.append("c", data)
        await eventually(lambda: len(one.heard) == 2, PATIENCE_SECONDS, "both")
    identity = await redis.get(IDENTITY_KEY)
    kept = (await redis.xrange(KEY))[0]
    await redis.flushall()
    await redis.set(IDENTITY_KEY, identity)
    await redis.xadd(KEY, kept[1], id=kept[0])
    if goes_on:
        await redis.xadd(KEY, {"channel": "c", "data": "3"})
    async with following(one):
        await eventually(lambda: one.gaps, PATIENCE_SECONDS, "the gap")
    assert one.gaps == ["rolled_back"]


async def test_what_was_trimmed_past_a_follower_is_told(redis: Redis) -> None:
    one = Follower(redis)
    for n in range(3):
        await redis.xadd(KEY, {"channel": "c", "data": str(n)}, id=f"{n + 1}-0")
    async with following(one):
        assert one.log.delivered == (3, 0)
    for n in range(3, 6):
        await redis.xadd(KEY, {"channel": "c", "data": str(n)}, id=f"{n + 1}-0")
    await one.log.keeper.trim(0, 1_000)
    async with following(one):
        await eventually(lambda: one.gaps, PATIENCE_SECONDS, "the gap")
    assert one.gaps == ["trimmed"]


@pytest.mark.parametrize(
    ("start", "found"),
    [(0, None), (1, None), (2, None), (3, [4, 5]), (4, [5]), (5, [])],
)
@pytest.mark.parametrize("by_size", [False, True])
async def test_reading_back_gives_all_or_nothing(
    redis: Redis, start: int, found: list[int] | None, by_size: bool
) -> None:
    """The third entry is the last that was let go: who has seen it lacks nothing."""
    log = RedisLog(redis, redis, Metrics())
    now_ms = int((await redis.time())[0]) * 1000
    ids = [(now_ms - age, 0) for age in (60_003, 60_002, 60_001, 2_000, 1_000)]
    for log_id in ids:
        await redis.xadd(KEY, {"channel": "c", "data": "d"}, id=f"{log_id[0]}-{log_id[1]}")
    await (log.keeper.trim(3_600, 2) if by_size else log.keeper.trim(30, 1_000))

    begin = (0, 0) if start == 0 else ids[start - 1]
    entries = await log.read_between(begin, ids[-1])

    if by_size and start == 3:
        return  # by size, all up to the first that is left count as let go; asked about below
    expected = None if found is None else [ids[n - 1] for n in found]
    assert (None if entries is None else [parse_id(one[0]) for one in entries]) == expected


async def test_sequence_numbers_of_one_millisecond_are_trimmed_exactly(redis: Redis) -> None:
    log = RedisLog(redis, redis, Metrics())
    now_ms = int((await redis.time())[0]) * 1000
    for n in range(4):
        await redis.xadd(KEY, {"channel": "c", "data": "d"}, id=f"{now_ms}-{n}")
    await log.keeper.trim(3_600, 2)
    assert await log.read_between((now_ms, 0), (now_ms, 3)) is None
    kept = await log.read_between((now_ms, 1), (now_ms, 3))
    assert [one[0] for one in kept or []] == [b"%d-%d" % (now_ms, n) for n in (2, 3)]


async def test_a_quiet_log_that_was_trimmed_empty_still_serves_who_has_seen_its_end(
    redis: Redis,
) -> None:
    log = RedisLog(redis, redis, Metrics())
    await redis.xadd(KEY, {"channel": "c", "data": "d"}, id="5-0")
    await log.keeper.trim(30, 1_000)
    last: Any = await redis.xadd(KEY, {"channel": "c", "data": "new"})
    end = parse_id(last)
    assert end is not None
    assert await log.read_between((5, 0), end) == [(last, b"c", b"new")]
    assert await log.read_between((4, 0), end) is None


async def test_more_than_a_page_is_read_back(redis: Redis) -> None:
    log = RedisLog(redis, redis, Metrics())
    async with redis.pipeline(transaction=False) as pipe:
        for n in range(2_500):
            pipe.xadd(KEY, {"channel": "c", "data": n}, id=f"{n + 1}-0")
        await pipe.execute()
    entries = await log.read_between((10, 0), (2_400, 0))
    assert entries is not None
    assert [int(data) for _, _, data in entries] == list(range(10, 2_400))


async def test_only_the_holder_of_the_lease_appends(redis: Redis) -> None:
    log = RedisLog(redis, redis, Metrics())
    assert await log.keeper.take_lease("a.1", 5_000, "a", 10)
    assert not await log.keeper.take_lease("b.1", 5_000, "b", 99)
    async with log.open_appender("a.1") as appender, log.open_appender("b.1") as other:
        appender.append([heard(0), heard(1)])
        await eventually(lambda: appender.unanswered == 0, PATIENCE_SECONDS, "it is appended")
        other.append([heard(2)])
        with pytest.raises(LostLease):
            await other.lost()
    assert await log.keeper.recorded_positions(60) == {b"tick:0", b"tick:1"}


@pytest.mark.parametrize("others", [[], [b"other", b"another"]], ids=["alone", "behind-others"])
async def test_an_append_answers_with_all_that_is_new_in_the_log(
    redis: Redis, others: list[bytes]
) -> None:
    for data in others:
        await redis.xadd(KEY, {"channel": "chat:new", "data": data})
    logged: list[Logged] = []
    delivered = [BEGINNING]
    async with appending(redis, lambda: delivered[0], logged) as append:
        for positions in ([0, 1], [2]):
            await append(*positions)
            delivered[0] = parse_id(logged[-1][0]) or BEGINNING
    entries = await redis.xrange(KEY)
    assert [data for _, _, data in logged] == [*others, b"0", b"1", b"2"]
    assert logged == [(log_id, f[b"channel"], f[b"data"]) for log_id, f in entries]


async def test_an_append_to_a_log_that_came_back_shorter_answers_with_nothing(redis: Redis) -> None:
    """What was delivered last is then later than what is appended; following tells of the gap."""
    logged: list[Logged] = []
    async with appending(redis, lambda: (1 << 60, 0), logged) as append:
        await append(0)
        await append(1)
    assert logged == []
    assert await redis.xlen(KEY) == 2


async def test_what_an_earlier_recording_still_sends_comes_to_nothing(redis: Redis) -> None:
    """The same pod's too: it has looked at the log since."""
    log = RedisLog(redis, redis, Metrics())
    assert await log.keeper.take_lease("a.1", 5_000, "a", 10)
    async with log.open_appender("a.1") as appender:
        await log.keeper.release_lease("a.1")
        assert await log.keeper.take_lease("a.2", 5_000, "a", 10)
        appender.append([heard(0)])
        with pytest.raises(LostLease):
            await appender.lost()
    assert await redis.xlen(KEY) == 0


async def test_a_lease_is_prolonged_by_its_holder_and_released_by_nobody_else(
    redis: Redis,
) -> None:
    log = RedisLog(redis, redis, Metrics())
    assert await log.keeper.take_lease("a.1", 500, "a", 10)
    assert await log.keeper.take_lease("a.1", 60_000, "a", 10)
    assert await redis.pttl(LEASE_KEY) > 1_000
    await log.keeper.release_lease("b.1")
    assert not await log.keeper.take_lease("b.1", 500, "b", 10)
    await log.keeper.release_lease("a.1")
    assert await log.keeper.take_lease("b.1", 500, "b", 10)


async def test_who_has_listened_longest_takes_a_lease_that_becomes_free(redis: Redis) -> None:
    log = RedisLog(redis, redis, Metrics())
    assert await log.keeper.take_lease("dead", 60_000, "dead", 1)
    assert not await log.keeper.take_lease("young.1", 500, "young", 1)
    assert not await log.keeper.take_lease("old.1", 500, "old", 100)
    await log.keeper.release_lease("dead")
    assert not await log.keeper.take_lease("young.2", 500, "young", 1)
    assert await log.keeper.take_lease("old.2", 500, "old", 100)


async def test_a_senior_that_has_gone_is_not_waited_for_long(redis: Redis) -> None:
    log = RedisLog(redis, redis, Metrics())
    assert await log.keeper.take_lease("dead", 60_000, "dead", 1)
    assert not await log.keeper.take_lease("old.1", 500, "old", 100)
    await log.keeper.release_lease("dead")

    async def young_takes_it() -> bool:
        return await log.keeper.take_lease("young.1", 500, "young", 1)

    await eventually(young_takes_it, PATIENCE_SECONDS, "the young one takes over")


async def test_positions_are_found_as_far_back_as_asked_and_of_the_recorder_only(
    redis: Redis,
) -> None:
    log = RedisLog(redis, redis, Metrics())
    now_ms = int((await redis.time())[0]) * 1000
    for age_ms, fields in ((60_000, {"at": "old"}), (5_000, {"at": "new"}), (1_000, {})):
        entry = {"channel": "c", "data": "d", **fields}
        await redis.xadd(KEY, entry, id=f"{now_ms - age_ms}-0")  # type: ignore[arg-type]  # invariant
    assert await log.keeper.recorded_positions(10) == {b"new"}


async def test_a_redis_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    with lasting_valkey(tmp_path) as valkey:
        async with make_client(valkey.url, retries=0) as redis:
            log = RedisLog(redis, redis, Metrics())
            valkey.stop()
            with pytest.raises(RedisUnavailable):
                await log.append("c", b"d")
            with pytest.raises(RedisUnavailable):
                await log.read_between((1, 0), (2, 0))


async def test_waiting_for_what_another_pod_has_delivered_already(redis: Redis) -> None:
    one = Follower(redis)
    async with following(one):
        log_id = parse_id(await redis.xadd(KEY, {"channel": "c", "data": "d"}))
        assert log_id is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            await one.log.reached(log_id)
        assert one.heard == [b"d"]


async def _break_connections(redis: Redis) -> None:
    await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
