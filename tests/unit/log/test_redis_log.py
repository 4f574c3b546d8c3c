"""The log on a real Valkey: following, gaps that are told, reading back, one recorder at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.log.appender import LogDamaged
from constellation_ws.log.ids import LogId, parse_id
from constellation_ws.log.packing import pack
from constellation_ws.log.pubsub_positions import Received
from constellation_ws.log.state import ONLY_ASKING
from constellation_ws.redis_io.link import make_client
from constellation_ws.redis_io.names import DEFAULT
from tests.pod_parts import produce, trim
from tests.unit.log.log_pods import (
    Pod,
    append,
    appending,
    candidacy,
    ended,
    following,
    founded,
)
from tests.valkeys import LastingValkey, lasting_valkey
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

_FAR_MS = 4_000_000_000_000
"""Later than any ID that Redis gives here."""


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[LastingValkey]:
    """A Valkey of the test's own whose data stay."""
    with lasting_valkey(tmp_path, appendfsync="always") as valkey:
        yield valkey


async def test_every_follower_hears_all_in_one_order(redis: Redis) -> None:
    a, b = Pod(redis), Pod(redis)
    async with following(a, b):
        await asyncio.gather(*(produce(redis, "c", b"%d" % n) for n in range(50)))
        await eventually(
            lambda: len(a.heard) == len(b.heard) == 50, PATIENCE_SECONDS, "both have heard all"
        )
    assert a.heard == b.heard
    assert sorted(map(int, a.heard)) == list(range(50))


async def test_what_was_logged_before_is_not_delivered_anew(redis: Redis) -> None:
    first = Pod(redis)
    await produce(redis, "c", b"old")
    async with following(first):
        await produce(redis, "c", b"new")
        await eventually(lambda: first.heard, PATIENCE_SECONDS, "the new one")
    assert first.heard == [b"new"]
    assert len(first.follower.starts) == 1


async def test_the_lag_is_the_age_of_the_newest_entry_read_until_none_waits(redis: Redis) -> None:
    one = Pod(redis)
    lags: list[float] = []

    def is_late() -> bool:
        lags.append(one.log.lag_seconds)
        return lags[-1] > 0

    async with following(one):
        assert one.log.lag_seconds == 0
        seconds, _ = await redis.time()
        await redis.xadd(DEFAULT.log, {"channel": "c", "data": "d"}, id=f"{(seconds - 60)}000-0")
        await eventually(is_late, PATIENCE_SECONDS, "an entry of a minute ago has been read")
        assert lags[-1] >= 59
        await eventually(lambda: not is_late(), PATIENCE_SECONDS, "nothing more waits")


async def test_a_connection_that_is_lost_is_made_anew_and_nothing_is_missed(redis: Redis) -> None:
    one = Pod(redis)
    async with following(one):
        for n in range(5):
            await produce(redis, "c", b"%d" % n)
            await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await eventually(lambda: len(one.heard) == 5, PATIENCE_SECONDS, "all five")
    assert one.heard == [b"0", b"1", b"2", b"3", b"4"]
    assert one.gaps == []


def restart(valkey: LastingValkey) -> None:
    valkey.stop()
    valkey.start()


async def test_a_restart_that_some_pod_has_watched_is_none_for_those_that_begin_later(
    mortal: LastingValkey,
) -> None:
    async with make_client(mortal.url, retries=5) as redis:
        one, later = Pod(redis), Pod(redis)
        async with following(one):
            epoch = one.log.epoch
            restart(mortal)
            await eventually(lambda: not one.is_current(), PATIENCE_SECONDS, "it notices")
            async with following(one_more := Pod(redis)):
                assert one_more.log.epoch == epoch
        async with following(later):
            assert later.log.epoch == epoch
    assert one.gaps == []


async def test_a_restart_that_no_pod_has_watched_ends_the_epoch(
    mortal: LastingValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries that no pod has seen may be gone with it: no pod could tell."""
    async with make_client(mortal.url, retries=5) as redis:
        paused, later = Pod(redis), Pod(redis)
        async with following(paused):
            epoch = paused.log.epoch
        restart(mortal)
        async with following(later):
            assert later.log.epoch != epoch
        restart(mortal)
        monkeypatch.setattr("constellation_ws.log.tail._WATCHED_SECONDS", 0.0)
        async with following(paused):
            await eventually(lambda: paused.gaps, PATIENCE_SECONDS, "the gap")
            await eventually(paused.is_current, PATIENCE_SECONDS, "it is current")
            assert paused.log.epoch not in (epoch, later.log.epoch)
    assert len(paused.gaps) == 1


async def test_a_restart_with_its_data_loses_nothing_and_is_no_gap(mortal: LastingValkey) -> None:
    async with make_client(mortal.url, retries=5) as redis:
        one = Pod(redis)
        async with following(one):
            await produce(redis, "c", b"before")
            await eventually(lambda: one.heard, PATIENCE_SECONDS, "the first")
            mortal.stop()
            mortal.start()
            await produce(redis, "c", b"after")
            await eventually(lambda: len(one.heard) == 2, PATIENCE_SECONDS, "the second")
    assert one.heard == [b"before", b"after"]
    assert one.gaps == []


async def test_a_redis_that_came_back_empty_is_another_history(redis: Redis) -> None:
    one = Pod(redis)
    async with following(one):
        epoch = one.log.epoch
        await produce(redis, "c", b"before")
        await eventually(lambda: one.heard, PATIENCE_SECONDS, "the first")
        await redis.flushall()
        await _is_later_than(redis, one.log.delivered)
        await produce(redis, "c", b"after")
        await _break_connections(redis)
        await eventually(lambda: one.gaps, PATIENCE_SECONDS, "the gap")
        await eventually(lambda: one.heard[-1:] == [b"after"], PATIENCE_SECONDS, "the second")
        await eventually(one.is_current, PATIENCE_SECONDS, "it is current")
        assert one.log.epoch != epoch
    assert one.gaps == ["replaced"]


async def test_an_epoch_begins_with_an_empty_stream_that_exists(redis: Redis) -> None:
    """Of a slot that a Cluster moves, a script whose keys are not all there is told TRYAGAIN."""
    await founded(Pod(redis))
    info = await redis.xinfo_stream(DEFAULT.log)
    assert info["length"] == 0


async def test_an_emptied_redis_is_noticed_without_a_lost_connection(redis: Redis) -> None:
    """Every pod asks for the lease twice a second, and is told the epoch each time."""
    pods = [Pod(redis), Pod(redis)]
    async with following(*pods):
        epoch = pods[0].log.epoch
        await redis.flushall()
        for one in pods:
            one.log.note(await one.log.state.request_lease(candidacy("a.1"), 5))
        await eventually(lambda: all(one.gaps for one in pods), PATIENCE_SECONDS, "the gap")
        for one in pods:
            await eventually(one.is_current, PATIENCE_SECONDS, "it is current")
        assert pods[0].log.epoch == pods[1].log.epoch != epoch
        await produce(redis, "c", b"new")
        await eventually(lambda: all(one.heard for one in pods), PATIENCE_SECONDS, "events flow")
    assert [one.heard for one in pods] == [[b"new"], [b"new"]]
    assert [len(one.gaps) for one in pods] == [1, 1]


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_log_that_came_back_shorter_is_another_history(redis: Redis, goes_on: bool) -> None:
    """A crash loses what was not on the disk yet; newer entries must not hide it."""
    one = Pod(redis)
    async with following(one):
        epoch = one.log.epoch
        for data in (b"1", b"2"):
            await produce(redis, "c", data)
        await eventually(lambda: len(one.heard) == 2, PATIENCE_SECONDS, "both")
    state: Any = await redis.hgetall(DEFAULT.state)
    entries: Any = await redis.xrange(DEFAULT.log)
    kept = entries[0]
    await redis.flushall()
    await redis.hset(DEFAULT.state, mapping=state)
    await redis.xadd(DEFAULT.log, kept[1], id=kept[0])
    if goes_on:
        await redis.xadd(DEFAULT.log, {"channel": "c", "data": "3"})
    async with following(one):
        await eventually(lambda: one.gaps, PATIENCE_SECONDS, "the gap")
        assert one.log.epoch not in (None, epoch)
    assert one.gaps == ["rolled_back"]
    assert one.heard == [b"1", b"2", *([b"3"] if goes_on else [])]


async def test_an_epoch_that_was_ended_and_came_back_is_another_history(redis: Redis) -> None:
    """Sessions of it would be recovered without what was recorded before Redis went back."""
    one = Pod(redis)
    async with following(one):
        state: Any = await redis.hgetall(DEFAULT.state)
        ended_epoch = one.log.epoch
        one.log.lose("passed_over", 1)
        await eventually(lambda: one.gaps, PATIENCE_SECONDS, "the gap")
        await eventually(one.is_current, PATIENCE_SECONDS, "it is current")
        epoch = one.log.epoch
    await redis.hset(DEFAULT.state, mapping=state)
    async with following(one):
        await eventually(lambda: len(one.gaps) > 1, PATIENCE_SECONDS, "another gap")
        await eventually(one.is_current, PATIENCE_SECONDS, "it is current")
        assert one.log.epoch not in (epoch, ended_epoch)
    assert one.gaps == ["passed_over", "rolled_back"]


DAMAGES = {
    "deleted": lambda redis: redis.delete(DEFAULT.log),
    "trimmed by somebody else": lambda redis: redis.xtrim(DEFAULT.log, maxlen=1, approximate=False),
    "trimmed empty": lambda redis: redis.xtrim(DEFAULT.log, maxlen=0, approximate=False),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("goes_on", [False, True])
async def test_entries_that_nobody_was_allowed_to_remove_are_missed_by_the_recorder(
    redis: Redis, damage: str, goes_on: bool
) -> None:
    one = Pod(redis)
    async with following(one):
        for data in (b"1", b"2", b"3"):
            await produce(redis, "c", data)
        await eventually(lambda: len(one.heard) == 3, PATIENCE_SECONDS, "all three")
        async with appending(one) as appender:
            appender.trim(3_600, 1_000)
            await appender.renewed(5, b"")
            await DAMAGES[damage](redis)
            if goes_on:
                await produce(redis, "c", b"4")
            appender.trim(3_600, 1_000)
            with pytest.raises(LogDamaged):
                await ended(appender)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_entries_that_are_missing_are_found_by_a_pod_that_begins_later(
    redis: Redis, damage: str
) -> None:
    first, later = Pod(redis), Pod(redis)
    async with following(first):
        epoch = first.log.epoch
        for data in (b"1", b"2", b"3"):
            await produce(redis, "c", data)
        await trim(first.log, 3_600, 1_000)
    await DAMAGES[damage](redis)
    async with following(later):
        assert later.log.epoch not in (None, epoch)
    assert later.gaps == [], "it has no session yet"


async def test_a_loss_ends_the_epoch_for_every_pod_and_once(redis: Redis) -> None:
    pods = [Pod(redis), Pod(redis)]
    async with following(*pods):
        epoch = pods[0].log.epoch
        for one in pods:
            one.log.lose("passed_over", 1)
        await eventually(lambda: all(one.gaps for one in pods), PATIENCE_SECONDS, "the gap")
        for one in pods:
            await eventually(one.is_current, PATIENCE_SECONDS, "it is current")
        assert pods[0].log.epoch == pods[1].log.epoch != epoch
    assert [one.gaps for one in pods] == [["passed_over"]] * 2


async def test_an_epoch_that_cannot_be_written_yet_is_ended_later_and_unknown_meanwhile(
    redis: Redis,
) -> None:
    one = Pod(redis)
    async with following(one):
        epoch = one.log.epoch
        await redis.config_set("maxmemory", "1")
        try:
            one.log.lose("passed_over", 1)
            await eventually(lambda: one.log.epochs.fault, PATIENCE_SECONDS, "Redis refuses")
            assert "maxmemory" in one.log.epochs.fault
            await eventually(one.is_following, PATIENCE_SECONDS, "it is followed all the same")
            assert one.log.epoch is None
        finally:
            await redis.config_set("maxmemory", "0")

        async def noted() -> bool:
            """As a recorder does again and again: one of its claims may come during a look."""
            one.log.note(await one.log.state.request_lease(ONLY_ASKING, 5))
            return one.is_current()

        await eventually(noted, PATIENCE_SECONDS, "it is current")
        assert one.log.epoch != epoch
    assert one.gaps == ["passed_over"]


async def test_a_pod_that_starts_with_a_full_and_empty_redis_learns_what_another_one_founds(
    redis: Redis,
) -> None:
    """It remained not ready for ever, since it seemed to be about to look."""
    one, other = Pod(redis), Pod(redis)
    await redis.config_set("maxmemory", "1")
    tasks = [asyncio.create_task(one.log.run(one.follower))]
    try:
        await eventually(one.is_following, PATIENCE_SECONDS, "it is followed")
        assert (one.log.epoch, "maxmemory" in one.log.epochs.fault) == (None, True)
        await redis.config_set("maxmemory", "0")
        await founded(other)

        async def noted() -> bool:
            one.log.note(await one.log.state.request_lease(ONLY_ASKING, 5))
            return one.is_current()

        await eventually(noted, PATIENCE_SECONDS, "it is current")
        assert one.log.epoch == other.log.epoch
        assert one.log.epochs.fault == ""
        assert one.gaps == ["founded"], "sessions that were opened meanwhile have no epoch"
    finally:
        await redis.config_set("maxmemory", "0")
        await cancelled(tasks)


async def test_a_full_redis_can_be_followed_by_a_pod_that_lost_its_connection(
    redis: Redis,
) -> None:
    one = Pod(redis)
    async with following(one):
        await redis.config_set("maxmemory", "1")
        try:
            await _break_connections(redis)
            await eventually(lambda: not one.is_following(), PATIENCE_SECONDS, "it is lost")
            await eventually(one.is_current, PATIENCE_SECONDS, "it is followed again")
        finally:
            await redis.config_set("maxmemory", "0")
    assert one.gaps == []


async def test_a_pod_that_fell_behind_by_more_than_the_window_is_told_and_no_other(
    redis: Redis,
) -> None:
    slow, other = Pod(redis), Pod(redis)
    async with following(slow):
        epoch = slow.log.epoch
    async with following(other):
        for n in range(3):
            await produce(redis, "c", b"%d" % n)
        await eventually(lambda: len(other.heard) == 3, PATIENCE_SECONDS, "all")
        await trim(other.log, 0, 1_000)
        async with following(slow):
            await eventually(lambda: slow.gaps, PATIENCE_SECONDS, "the gap")
            assert slow.log.epoch == epoch
    assert (slow.gaps, other.gaps) == (["trimmed"], [])


async def test_what_the_recorder_passes_over_is_a_loss_for_everybody(redis: Redis) -> None:
    """A pod received what the recorder had missed, and the order cannot be kept any more."""
    recorder, other = Pod(redis), Pod(redis, received=5)
    async with following(recorder, other):
        async with appending(recorder) as appender:
            await append(appender, 0, 1)
            await append(appender, 4)
        await eventually(lambda: other.gaps, PATIENCE_SECONDS, "the gap")
        lost = other.metrics.lost_events.labels("passed_over")._value.get()
    assert (other.gaps, lost) == (["passed_over"], 2)


async def test_a_new_pod_knows_what_was_recorded_before_it_followed(redis: Redis) -> None:
    recorder, new = Pod(redis), Pod(redis, received=3)
    async with following(recorder):
        async with appending(recorder) as appender:
            await append(appender, 0, 1)
        await produce(redis, "c", b"of a producer")
        async with following(new):
            assert [one.payload for one in new.unrecorded.since(0, 9)] == [b"2"]


async def test_waiting_for_what_another_pod_has_delivered_already(redis: Redis) -> None:
    one = Pod(redis)
    async with following(one):
        log_id = parse_id(await redis.xadd(DEFAULT.log, {"channel": "c", "data": "d"}))
        assert log_id is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            await one.log.reached(log_id)
        assert one.heard == [b"d"]


@pytest.mark.parametrize("is_packed", [False, True])
async def test_entries_up_to_where_comparing_begins_are_delivered_and_not_compared(
    redis: Redis, is_packed: bool
) -> None:
    """Else they would make up for one that is missing behind them."""
    one, messages = Pod(redis), [Received(b"later", n, b"c", b"%d" % n) for n in range(4)]
    async with following(one):
        one.log.comparison.begin_after((_FAR_MS, 1), messages[1].position)
        if is_packed:
            fields: Any = {"packed": pack(messages[:2]), "at": messages[1].position}
            await redis.xadd(DEFAULT.log, fields, id=f"{_FAR_MS}-1")
        for message in (*([] if is_packed else messages[:2]), messages[3]):
            fields = {"channel": message.channel, "data": message.payload, "at": message.position}
            await redis.xadd(DEFAULT.log, fields, id=f"{_FAR_MS}-{message.index}")
        await eventually(lambda: len(one.heard) == 3, PATIENCE_SECONDS, "it has heard all")
    assert one.heard == [b"0", b"1", b"3"]
    assert one.unrecorded.tick(b"later") == 1, "the third is missing"


async def _is_later_than(redis: Redis, log_id: LogId) -> None:
    """Let the millisecond of an ID pass: an emptied stream may give the same ID again."""

    async def has_passed() -> bool:
        seconds, microseconds = await redis.time()
        return bool(seconds * 1000 + microseconds // 1000 > log_id[0])

    await eventually(has_passed, PATIENCE_SECONDS, "the millisecond is over")


async def _break_connections(redis: Redis) -> None:
    await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
