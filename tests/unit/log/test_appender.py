"""Appends under the lease, on a real Valkey."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.log import tail
from constellation_ws.log.appender import LogDamaged, LostLease
from constellation_ws.log.ids import LogId
from constellation_ws.log.state import Look
from constellation_ws.redis_io.names import DEFAULT
from tests.unit.log.log_pods import (
    Pod,
    append,
    appending,
    candidacy,
    ended,
    following,
    may_pack,
    received,
)
from tests.waiting import PATIENCE_SECONDS, eventually


async def test_appends_are_answered_also_while_the_log_is_looked_at_again(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its recorder appends meanwhile; that must end neither."""
    one = Pod(redis, received=3)
    looked, may_look = asyncio.Event(), asyncio.Event()
    look = one.log.state.look

    async def slow_look(delivered: LogId) -> Look:
        looked.set()
        await may_look.wait()
        return await look(delivered)

    async with following(one), appending(one) as appender:
        monkeypatch.setattr(one.log.state, "look", slow_look)
        one.log.damaged("removed")
        await looked.wait()
        with monkeypatch.context() as patch:
            patch.setattr(tail, "_SILENCE_SECONDS", 0.0)  # each answer moves the deadline
            await append(appender, 0, 1)
        may_look.set()
        await eventually(one.is_current, PATIENCE_SECONDS, "it follows again")
    assert one.heard == [b"0", b"1"]


async def test_only_the_holder_of_the_lease_appends(redis: Redis) -> None:
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        assert not (await pod.log.state.request_lease(candidacy("b.1"), 5)).is_granted
        async with pod.log.open_appender("b.1") as other:
            await append(appender, 0, 1)
            other.append([received(2)], lambda _: None)
            with pytest.raises(LostLease):
                await ended(other)
        entries: Any = await redis.xrange(DEFAULT.log)
    assert [fields[b"at"] for _, fields in entries] == [b"tick:0", b"tick:1"]


@pytest.mark.parametrize("others", [[], [b"other", b"another"]], ids=["alone", "behind-others"])
async def test_an_append_answers_with_all_that_is_new_in_the_log(
    redis: Redis, others: list[bytes]
) -> None:
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        for data in others:
            await redis.xadd(DEFAULT.log, {"channel": "chat:new", "data": data})
        await append(appender, 0, 1)
        await append(appender, 2)
    entries: Any = await redis.xrange(DEFAULT.log)
    logged = [entry for batch in pod.follower.batches for entry in batch]
    assert pod.heard == [*others, b"0", b"1", b"2"]
    assert logged == [(log_id, f[b"channel"], f[b"data"]) for log_id, f in entries]


@pytest.mark.parametrize("others", [[], [b"other", b"another"]], ids=["alone", "behind-others"])
async def test_what_is_appended_together_is_one_entry_if_that_is_permitted(
    redis: Redis, others: list[bytes]
) -> None:
    pod, reader = Pod(redis), Pod(redis, received=4)
    async with following(pod, reader), appending(pod) as appender:
        await may_pack(redis, appender)
        for data in others:
            await redis.xadd(DEFAULT.log, {"channel": "chat:new", "data": data})
        await append(appender, 0, 1, 2)
        await append(appender, 3)
        await eventually(lambda: b"3" in reader.heard, PATIENCE_SECONDS, "all")
        entries: Any = await redis.xrange(DEFAULT.log)
    assert len(entries) == len(others) + 2
    assert pod.heard == reader.heard == [*others, b"0", b"1", b"2", b"3"]
    logged = [[one for batch in each.follower.batches for one in batch] for each in (pod, reader)]
    assert logged[0] == logged[1]
    assert [one[0] for one in logged[0][-2:]] == [log_id for log_id, _ in entries[-2:]]
    assert [fields[b"at"] for _, fields in entries[len(others) :]] == [b"tick:2", b"tick:3"]
    assert len(reader.unrecorded.since(0, 9)) == 0


async def test_a_pod_that_lacks_a_message_between_packed_ones_finds_it_missing(
    redis: Redis,
) -> None:
    pod, reader = Pod(redis), Pod(redis, received=6)
    async with following(pod, reader), appending(pod) as appender:
        await may_pack(redis, appender)
        await append(appender, 0, 1)
        await append(appender, 2, 4)
        await eventually(lambda: reader.gaps, PATIENCE_SECONDS, "the gap")
    assert reader.metrics.lost_events.labels("passed_over")._value.get() == 1


async def test_a_packed_append_comes_to_nothing_without_the_lease_or_on_a_damaged_log(
    redis: Redis,
) -> None:
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        await may_pack(redis, appender)
        await append(appender, 0, 1)
        async with pod.log.open_appender("b.1") as other:
            other.permit_packing(True)
            other.append([received(2), received(3)], lambda _: None)
            with pytest.raises(LostLease):
                await ended(other)
        await redis.delete(DEFAULT.log)
        appender.append([received(2), received(3)], lambda _: None)
        with pytest.raises(LogDamaged):
            await ended(appender)
    assert await redis.xlen(DEFAULT.log) == 0


async def test_nothing_is_appended_to_a_log_that_lacks_what_was_delivered(redis: Redis) -> None:
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        await append(appender, 0)
        await redis.delete(DEFAULT.log)
        appender.append([received(1)], lambda _: None)
        with pytest.raises(LogDamaged):
            await ended(appender)
    assert await redis.xlen(DEFAULT.log) == 0


async def test_what_an_earlier_recording_still_sends_comes_to_nothing(redis: Redis) -> None:
    """The same pod's too: it has looked at the log since."""
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        await pod.log.state.release("a.1")
        assert (await pod.log.state.request_lease(candidacy("a.2"), 5)).is_granted
        appender.append([received(0)], lambda _: None)
        with pytest.raises(LostLease):
            await ended(appender)
    assert await redis.xlen(DEFAULT.log) == 0


async def test_what_an_earlier_recorder_appended_is_not_appended_again(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod that follows late reads it in the replies to its own first renewals."""
    monkeypatch.setattr(tail.Tail, "ask_next", lambda _: None)
    one = Pod(redis, received=3)
    async with following(one):
        for index in range(2):
            fields = {"channel": "chat:new", "data": index, "at": f"tick:{index}"}
            await redis.xadd(DEFAULT.log, fields)  # type: ignore[arg-type]
        async with appending(one) as appender:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not await appender.renewed(5, b""):
                    pass
    assert one.heard == [b"0", b"1"]
    assert [message.payload for message in one.unrecorded.since(0, 9)] == [b"2"]
