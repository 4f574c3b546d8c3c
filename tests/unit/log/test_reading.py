"""Reading the log back, on a real Valkey."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis

from constellation_ws.log.layout import Logged, id_of
from constellation_ws.log.packing import pack
from constellation_ws.log.pubsub_positions import Received
from constellation_ws.redis_io.link import RedisUnavailable, make_client
from constellation_ws.redis_io.names import DEFAULT
from tests.pod_parts import make_log, produce, trim
from tests.unit.log.log_pods import (
    Pod,
    following,
    founded,
)
from tests.valkeys import lasting_valkey
from tests.waiting import PATIENCE_SECONDS, eventually


async def test_reading_back_what_is_missing_ends_the_epoch(redis: Redis) -> None:
    one = Pod(redis)
    async with following(one):
        for data in (b"1", b"2", b"3"):
            await produce(redis, "c", data)
        await eventually(lambda: len(one.heard) == 3, PATIENCE_SECONDS, "all three")
        await trim(one.log, 3_600, 1_000)
        epoch = one.log.epoch
        await redis.delete(DEFAULT.log)
        assert await one.log.reader.trimmed(one.log.delivered) >= one.log.delivered
        await eventually(lambda: one.gaps, PATIENCE_SECONDS, "the gap")
        await eventually(one.is_current, PATIENCE_SECONDS, "it is current")
        assert one.log.epoch != epoch


@pytest.mark.parametrize("by_size", [False, True])
async def test_what_was_trimmed_is_known_exactly_enough(redis: Redis, by_size: bool) -> None:
    """Whoever has seen the last entry that was removed lacks nothing."""
    pod = Pod(redis)
    await founded(pod)
    now_ms = int((await redis.time())[0]) * 1000
    ids = [(now_ms - age, 0) for age in (60_003, 60_002, 60_001, 2_000, 1_000)]
    for log_id in ids:
        await redis.xadd(DEFAULT.log, {"channel": "c", "data": "d"}, id=f"{log_id[0]}-{log_id[1]}")
    reader = pod.log.reader
    assert await reader.trimmed(ids[-1]) < ids[0]
    await (trim(pod.log, 3_600, 2) if by_size else trim(pod.log, 30, 1_000))
    trimmed = await reader.trimmed(ids[-1])
    # By size, all up to the first that is left count as removed.
    assert ids[2] < trimmed < ids[3] if by_size else trimmed == ids[2]
    assert [await reader.holds(log_id) for log_id in ids] == [False, False, False, True, True]


async def test_sequence_numbers_of_one_millisecond_are_trimmed_exactly(redis: Redis) -> None:
    pod = Pod(redis)
    await founded(pod)
    now_ms = int((await redis.time())[0]) * 1000
    for n in range(4):
        await redis.xadd(DEFAULT.log, {"channel": "c", "data": "d"}, id=f"{now_ms}-{n}")
    await trim(pod.log, 3_600, 2)
    assert await pod.log.reader.trimmed((now_ms, 3)) == (now_ms, 1)


async def test_a_page_holds_what_comes_next_up_to_an_end(redis: Redis) -> None:
    reader = make_log(redis).reader
    for n in range(1, 8):
        await redis.xadd(DEFAULT.log, {"channel": "c", "data": n}, id=f"{n}-0")
    pages = [await reader.page((after, 0), (6, 0), 3) for after in (1, 4, 6)]
    assert pages[0].logged == [(b"%d-0" % n, b"c", b"%d" % n) for n in (2, 3, 4)]
    assert [[one[2] for one in page.logged] for page in pages[1:]] == [[b"5", b"6"], []]
    assert [page.is_last for page in pages] == [False, True, True]


async def test_a_packed_entry_is_read_from_any_of_its_messages_on(redis: Redis) -> None:
    reader = make_log(redis).reader
    await redis.xadd(DEFAULT.log, {"channel": "c", "data": "0"}, id="5-0")
    await redis.xadd(DEFAULT.log, {"packed": packed(1, 2, 3, 4, 5)}, id="6-4")
    await redis.xadd(DEFAULT.log, {"packed": packed(6, 7, 8)}, id="6-7")
    await redis.xadd(DEFAULT.log, {"channel": "c", "data": "9"}, id="7-0")
    ids = [(5, 0), *((6, n) for n in range(8)), (7, 0)]
    for first, after in enumerate(ids):
        for last, up_to in enumerate(ids[first:], first):
            page = await reader.page(after, up_to, 9)
            assert [int(one[2]) for one in page.logged] == [*range(first + 1, last + 1)]
            assert [id_of(one) for one in page.logged] == ids[first + 1 : last + 1]
            assert page.is_last
        found, cursor = list[Logged](), after
        while (page := await reader.page(cursor, ids[-1], 1)).logged:
            found += page.logged
            cursor = id_of(found[-1])
        assert [int(one[2]) for one in found] == [*range(first + 1, 10)]
    assert [await reader.holds(one) for one in (*ids, (6, 8))] == [True] * 10 + [False]


def packed(*numbers: int) -> bytes:
    return pack([Received(b"tick", number, b"c", b"%d" % number) for number in numbers])


async def test_a_packed_entry_that_cannot_be_read_is_not_passed_over(redis: Redis) -> None:
    pod = Pod(redis)
    await founded(pod)
    last = await redis.xadd(DEFAULT.log, {b"packed": b"\x02", b"at": b"tick:0"})
    with pytest.raises(RedisUnavailable, match="another release"):
        await pod.log.reader.page((0, 1), id_of((last,)), 9)


async def test_a_redis_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    with lasting_valkey(tmp_path) as valkey:
        async with make_client(valkey.url, retries=0) as redis:
            log = make_log(redis)
            valkey.stop()
            reader = log.reader
            for read in (
                reader.page((1, 0), (2, 0), 9),
                reader.trimmed((1, 0)),
                reader.holds((1, 0)),
            ):
                with pytest.raises(RedisUnavailable):
                    await read
