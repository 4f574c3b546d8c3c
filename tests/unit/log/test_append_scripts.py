"""When appends may be packed, and what trimming by number counts, on a real Valkey."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.log import scripts
from constellation_ws.log.ids import LogId, format_id
from constellation_ws.log.state import Packing
from constellation_ws.redis_io.names import DEFAULT
from tests.pod_parts import trim
from tests.unit.log.log_pods import (
    Pod,
    append,
    appending,
    following,
    founded,
    may_pack,
    produced,
    show_pod,
)


async def permit(pod: Pod, *, is_wanted: bool = True) -> Packing:
    return await pod.log.state.permit_packing("a.1", is_wanted=is_wanted)


async def marked(redis: Redis) -> bool:
    return await redis.hget(DEFAULT.state, "removed") == b"packed 1"


async def test_packing_is_permitted_once_the_log_was_marked_for_a_while(redis: Redis) -> None:
    pod = Pod(redis)
    await show_pod(redis, "a")
    async with following(pod), appending(pod):
        assert await permit(pod) is Packing.REFUSED
        assert await marked(redis)
        assert await permit(pod) is Packing.REFUSED, "it was marked only just now"
        await redis.hset(DEFAULT.state, "packing", "1")
        assert await permit(pod) is Packing.PERMITTED


async def test_what_the_recorder_was_answered_is_shown(redis: Redis) -> None:
    """For `status`: a word that each answer overwrites."""
    pod, shown = Pod(redis), list[Any]()
    await show_pod(redis, "a")
    async with following(pod), appending(pod):
        for is_wanted in (False, True, True, False):
            await permit(pod, is_wanted=is_wanted)
            shown.append(await redis.hget(DEFAULT.state, "packs"))
            await redis.hset(DEFAULT.state, "packing", "1")
        await permit(pod)
        await show_pod(redis, "old", reads=False)
        await permit(pod)
        shown.append(await redis.hget(DEFAULT.state, "packs"))
        await pod.log.state.replace(str(pod.log.epoch), "removed", known=None)
        shown.append(await redis.hget(DEFAULT.state, "packs"))
    assert shown == [b"off", b"waits", b"now", b"off", b"waits", None]


async def test_a_packed_entry_has_how_many_messages_there_were_before_it(redis: Redis) -> None:
    """Beyond one for each entry: what the log holds can be counted from its first packed entry."""
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        await may_pack(redis, appender)
        for begin, end in ((0, 5), (5, 6), (6, 8), (8, 11)):
            await append(appender, *range(begin, end))
        entries: Any = await redis.xrange(DEFAULT.log)
    assert [fields.get(b"extra") for _, fields in entries] == [b"0", None, b"4", b"5"]
    assert await redis.hget(DEFAULT.state, "extra") == b"7"


async def test_only_the_recorder_is_permitted(redis: Redis) -> None:
    pod = Pod(redis)
    await show_pod(redis, "a")
    async with following(pod), appending(pod):
        other = await pod.log.state.permit_packing("b.1", is_wanted=True)
        assert (other, await marked(redis)) == (Packing.REFUSED, False)


async def test_nothing_is_marked_while_a_pod_lives_that_does_not_say_that_it_reads(
    redis: Redis,
) -> None:
    pod = Pod(redis)
    await show_pod(redis, "a")
    await show_pod(redis, "old", reads=False)
    async with following(pod), appending(pod):
        assert await permit(pod) is Packing.REFUSED
        assert not await marked(redis)
        await redis.zadd(DEFAULT.pods, {"old": 1})  # it has expired
        await permit(pod)
        assert await marked(redis)


async def test_nothing_is_marked_while_the_pods_that_live_are_not_known(redis: Redis) -> None:
    """Redis is full, say: a pod that cannot read packed entries could not show itself either."""
    pod = Pod(redis)
    await show_pod(redis, "b")
    async with following(pod), appending(pod):
        assert await permit(pod) is Packing.REFUSED
        assert not await marked(redis)


async def test_packed_entries_that_a_living_pod_cannot_read_are_reported(redis: Redis) -> None:
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        await may_pack(redis, appender)
        await append(appender, 0, 1)
        await show_pod(redis, "old", reads=False)
        assert await permit(pod) is Packing.UNREADABLE
        assert await marked(redis)


async def test_the_mark_goes_when_the_last_packed_entry_is_trimmed(redis: Redis) -> None:
    """Then an earlier release may run again, and nobody notices."""
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        await may_pack(redis, appender)
        await append(appender, 0, 1)
        assert await permit(pod, is_wanted=False) is Packing.REFUSED
        assert await marked(redis)
        while await redis.xlen(DEFAULT.log):  # what is of this millisecond stays
            appender.trim(0, 1_000)
            await appender.renewed(5, b"")
        await permit(pod, is_wanted=False)
        assert not await marked(redis)
    assert (await pod.log.state.look((0, 0))).damage == ""


async def test_a_new_epoch_ends_packing_until_the_log_is_marked_again(redis: Redis) -> None:
    """An earlier release that finds the log damaged begins one: it does the same."""
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        await may_pack(redis, appender)
        await append(appender, 0, 1)
        await pod.log.state.replace(str(pod.log.epoch), "removed", known=None)
        await append(appender, 2, 3)
        entries: Any = await redis.xrange(DEFAULT.log)
    assert [sorted(fields) for _, fields in entries] == [
        [b"at", b"extra", b"packed"],
        [b"at", b"channel", b"data"],
        [b"at", b"channel", b"data"],
    ]
    assert pod.heard == [b"0", b"1", b"2", b"3"]


FORMER_DAMAGE = """
local kept = redis.call('HMGET', KEYS[2], 'removed', 'last', 'trimmed')
if not kept[1] then return '' end
if removed(inspect(KEYS[1])) ~= kept[1] then return 'removed' end
return ''
"""
"""How releases before packed entries find that a log is damaged."""


@pytest.mark.parametrize("is_packed", [False, True])
async def test_a_release_that_cannot_read_packed_entries_finds_the_log_damaged(
    redis: Redis, is_packed: bool
) -> None:
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        if is_packed:
            await may_pack(redis, appender)
        await append(appender, 0, 1)
        appender.trim(100, 1_000)
        await appender.renewed(5, b"")
        script = scripts.LIBRARY + FORMER_DAMAGE
        found: Any = await redis.eval(script, 2, DEFAULT.log, DEFAULT.state)
        assert found == (b"removed" if is_packed else b"")
        assert (await pod.log.state.look((0, 0))).damage == ""


async def test_an_entry_leaves_room_behind_what_came_before(redis: Redis) -> None:
    """Also where the clock of Redis has not moved on, or was set back."""
    pod = Pod(redis)
    last: LogId = (9_000_000_000_000, 7)
    async with following(pod), appending(pod) as appender:
        await redis.xadd(DEFAULT.log, {"channel": "c", "data": "d"}, id=format_id(last).decode())
        await may_pack(redis, appender)
        await append(appender, 0, 1, 2)
        await append(appender, 3, 4)
        ids = [one[0] for batch in pod.follower.batches for one in batch]
    assert ids == [b"9000000000000-%d" % n for n in range(7, 13)]


@pytest.mark.parametrize(
    ("sizes", "left"),
    [
        ((2, 2, 2, 2, 2), (2, 2, 2)),
        ((1, 1, 1, 5, 1), (5, 1)),
        ((9, 3, 3), (3, 3)),
        ((2, 4), (2, 4)),
        ((9,), (9,)),
    ],
)
async def test_the_log_is_trimmed_by_messages_not_by_entries(
    redis: Redis, sizes: Sequence[int], left: Sequence[int]
) -> None:
    """Up to an entry that holds the oldest of the most messages that are retained."""
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        await may_pack(redis, appender)
        for end, size in zip(accumulate(sizes), sizes, strict=True):
            await append(appender, *range(end - size, end))
            appender.trim(100, 6)
            await appender.renewed(5, b"")
        entries: Any = await redis.xrange(DEFAULT.log)
        reader, kept = pod.log.reader, await pod.log.reader.trimmed(pod.log.delivered)
        ids = [parse(one) for batch in pod.follower.batches for one in batch]
        gone = len(ids) - sum(left)
        assert len(entries) == len(left)
        assert [await reader.holds(one) for one in ids] == [n >= gone for n in range(len(ids))]
        assert gone == 0 or kept == ids[gone - 1]


def parse(logged: tuple[bytes, bytes, bytes]) -> LogId:
    milliseconds, _, sequence = logged[0].partition(b"-")
    return int(milliseconds), int(sequence)


async def test_a_log_of_plain_entries_is_trimmed_exactly(redis: Redis) -> None:
    pod = Pod(redis)
    await founded(pod)
    for _ in range(3):
        await produced(redis, 5)
        await trim(pod.log, 100, 6)
    assert await redis.xlen(DEFAULT.log) == 6


async def test_counts_of_a_stream_that_was_replaced_are_discarded(redis: Redis) -> None:
    pod = Pod(redis)
    await founded(pod)
    await redis.hset(DEFAULT.state, "counts", "9-9 1000000 10-10 2000000")
    await produced(redis, 3)
    await trim(pod.log, 100, 2)
    counts: Any = await redis.hget(DEFAULT.state, "counts")
    assert counts.split()[1:] == [b"4"]  # the first entry makes the stream exist
