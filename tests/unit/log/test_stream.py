"""The log on a real Valkey: following, gaps that are told, reading back, one recorder at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.log import tail
from constellation_ws.log.appender import Appender, LogDamaged, LostLease
from constellation_ws.log.history import parse_id
from constellation_ws.log.positions import LogId
from constellation_ws.log.pubsub_positions import Received
from constellation_ws.log.state import ONLY_ASKING, Candidacy, Look
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.link import RedisUnavailable, make_client
from constellation_ws.redis_io.names import DEFAULT
from tests.pod_parts import PLENTY_OF_BYTES, Follower, make_log, produce, trim
from tests.valkeys import LastingValkey, lasting_valkey
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[LastingValkey]:
    """A Valkey of the test's own whose data stay."""
    with lasting_valkey(tmp_path, appendfsync="always") as valkey:
        yield valkey


class Pod:
    """A log with what it handed over."""

    def __init__(self, redis: Redis, received: int = 0) -> None:
        """So many messages have been received from Pub/Sub, behind the tick `tick`."""
        self.metrics = Metrics()
        self.unrecorded = Unrecorded(b"pod", PLENTY_OF_BYTES)
        self.unrecorded.tick(b"tick")
        for number in range(received):
            self.unrecorded.receive(b"chat:new", b"%d" % number)
        self.log = make_log(redis, self.metrics, self.unrecorded)
        self.follower = Follower()

    @property
    def heard(self) -> list[bytes]:
        return self.follower.payloads

    @property
    def gaps(self) -> list[str]:
        return self.follower.gaps

    def is_following(self) -> bool:
        return self.log.lost_at is None

    def is_current(self) -> bool:
        return self.log.epoch is not None


@asynccontextmanager
async def following(*pods: Pod) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.log.run(one.follower)) for one in pods]
    try:
        for one in pods:
            await eventually(one.is_current, PATIENCE_SECONDS, "it follows")
        yield
    finally:
        await cancelled(tasks)


def candidacy(token: str, *, patience: float = 0, waiting: float = 10) -> Candidacy:
    return Candidacy(token, token.partition(".")[0], patience, waiting)


@asynccontextmanager
async def appending(pod: Pod) -> AsyncIterator[Appender]:
    """Hold the lease for a pod that follows."""
    assert (await pod.log.state.claim(candidacy("a.1"), 5)).is_granted
    async with pod.log.open_appender("a.1") as appender:
        yield appender


async def append(appender: Appender, *indexes: int) -> None:
    """Append messages of these places behind the tick, and wait for the answer."""
    done = asyncio.Event()
    appender.append([received(index) for index in indexes], done.set)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await done.wait()


def received(index: int) -> Received:
    return Received(b"tick", index, b"chat:new", b"%d" % index)


async def ended(appender: Appender) -> None:
    """Wait until appending is over, and raise why; soon, since an append was answered."""
    async with asyncio.timeout(PATIENCE_SECONDS / 5):
        await appender.lost()


async def founded(pod: Pod) -> None:
    """Let a log that is there have its state."""
    async with following(pod):
        pass


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


async def test_a_pod_that_was_away_is_patient_from_its_own_return_on(redis: Redis) -> None:
    """However long ago the lease has ended: the others come back at their own times."""
    one = Pod(redis)
    await founded(one)
    await redis.hset(DEFAULT.state, "until", 0)
    claim = one.log.state.claim
    assert not (await claim(candidacy("b.1", patience=0.2, waiting=0), 5)).is_granted
    assert (await claim(candidacy("b.2", patience=0.2, waiting=0.3), 5)).is_granted


async def test_fields_in_any_order_and_more_of_them_are_read(redis: Redis) -> None:
    one = Pod(redis)
    async with following(one):
        await redis.xadd(DEFAULT.log, {"trace": "x", "data": "d", "channel": "c"})
        await redis.xadd(DEFAULT.log, {"nothing": "known"})
        await eventually(lambda: len(one.heard) == 2, PATIENCE_SECONDS, "both")
    assert one.heard == [b"d", b""]


async def test_trace_context_in_fields_is_put_into_the_message(redis: Redis) -> None:
    context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    one = Pod(redis)
    async with following(one):
        variants: list[dict[Any, Any]] = [
            {"traceparent": context, "tracestate": "a=b"},
            {"traceparent": context, "at": "tick:1"},
            {"traceparent": "wrong"},
            {"at": "tick:1"},
        ]
        for fields in variants:
            await redis.xadd(DEFAULT.log, {"channel": "c", "data": '{"n":1}', **fields})
        await redis.xadd(DEFAULT.log, {"channel": "c", "data": "no object", "traceparent": context})
        await eventually(lambda: len(one.heard) == 5, PATIENCE_SECONDS, "all")
    assert one.heard == [
        b'{"n":1,"traceparent":"%b","tracestate":"a=b"}' % context.encode(),
        b'{"n":1,"traceparent":"%b"}' % context.encode(),
        b'{"n":1}',
        b'{"n":1}',
        b"no object",
    ]


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
        monkeypatch.setattr("constellation_ws.log.stream._WATCHED_SECONDS", 0.0)
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
            one.log.note(await one.log.state.claim(candidacy("a.1"), 5))
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
            await eventually(lambda: one.log.trouble, PATIENCE_SECONDS, "Redis refuses")
            assert "maxmemory" in one.log.trouble
            await eventually(one.is_following, PATIENCE_SECONDS, "it is followed all the same")
            assert one.log.epoch is None
        finally:
            await redis.config_set("maxmemory", "0")

        async def noted() -> bool:
            """As a recorder does again and again: one of its claims may come during a look."""
            one.log.note(await one.log.state.claim(ONLY_ASKING, 5))
            return one.is_current()

        await eventually(noted, PATIENCE_SECONDS, "it is current")
        assert one.log.epoch != epoch
    assert one.gaps == ["passed_over"]


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
    assert pages[0] == [(b"%d-0" % n, b"c", b"%d" % n) for n in (2, 3, 4)]
    assert [[one[2] for one in page] for page in pages[1:]] == [[b"5", b"6"], []]


async def test_only_the_holder_of_the_lease_appends(redis: Redis) -> None:
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        assert not (await pod.log.state.claim(candidacy("b.1"), 5)).is_granted
        async with pod.log.open_appender("b.1") as other:
            await append(appender, 0, 1)
            other.append([received(2)], lambda: None)
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


async def test_nothing_is_appended_to_a_log_that_lacks_what_was_delivered(redis: Redis) -> None:
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        await append(appender, 0)
        await redis.delete(DEFAULT.log)
        appender.append([received(1)], lambda: None)
        with pytest.raises(LogDamaged):
            await ended(appender)
    assert await redis.xlen(DEFAULT.log) == 0


async def test_what_an_earlier_recording_still_sends_comes_to_nothing(redis: Redis) -> None:
    """The same pod's too: it has looked at the log since."""
    pod = Pod(redis)
    async with following(pod), appending(pod) as appender:
        await pod.log.state.release("a.1")
        assert (await pod.log.state.claim(candidacy("a.2"), 5)).is_granted
        appender.append([received(0)], lambda: None)
        with pytest.raises(LostLease):
            await ended(appender)
    assert await redis.xlen(DEFAULT.log) == 0


async def test_a_lease_is_renewed_by_appending_and_released_by_nobody_else(redis: Redis) -> None:
    pod = Pod(redis)

    async def is_granted(token: str) -> bool:
        return (await pod.log.state.claim(candidacy(token), 0.5)).is_granted

    async with following(pod):
        assert await is_granted("a.1")
        async with pod.log.open_appender("a.1") as appender:
            assert await appender.renewed(60, b"tick:7")
        await asyncio.sleep(0.6)  # the first lease would be over
        await pod.log.state.release("b.1")
        claim = await pod.log.state.claim(candidacy("b.1"), 60)
        assert (claim.is_granted, claim.place, claim.epoch) == (False, b"tick:7", pod.log.epoch)
        await pod.log.state.release("a.1")
        assert await is_granted("b.1")
        await eventually(lambda: is_granted("c.1"), PATIENCE_SECONDS, "a dead one's lease ends")


async def test_who_has_missed_something_lets_the_others_go_first(redis: Redis) -> None:
    pod = Pod(redis)

    async def is_granted(token: str, waiting: float, patience: float = 0.2) -> bool:
        asked = candidacy(token, patience=patience, waiting=waiting)
        return (await pod.log.state.claim(asked, 60)).is_granted

    async with following(pod):
        assert await is_granted("dead.1", 1, patience=0)
        await pod.log.state.release("dead.1")
        assert not await is_granted("young.1", 1)
        assert not await is_granted("old.1", 100)
        await asyncio.sleep(0.3)
        assert not await is_granted("young.1", 1), "the one that waits longest comes first"
        assert await is_granted("old.1", 100)
        await pod.log.state.release("old.1")
        assert await is_granted("whole.1", 1, patience=0), "and nobody waits who missed nothing"


async def test_a_senior_that_has_gone_is_not_waited_for_long(redis: Redis) -> None:
    pod = Pod(redis)
    async with following(pod):
        assert not (
            await pod.log.state.claim(candidacy("old.1", patience=60, waiting=100), 5)
        ).is_granted

        async def young_takes_it() -> bool:
            asked = candidacy("young.1", patience=0.1, waiting=1)
            return (await pod.log.state.claim(asked, 5)).is_granted

        await eventually(young_takes_it, PATIENCE_SECONDS, "the young one takes over")


async def test_a_clock_that_was_set_back_does_not_prolong_a_dead_lease(redis: Redis) -> None:
    pod = Pod(redis)
    async with following(pod):
        assert (await pod.log.state.claim(candidacy("a.1"), 5)).is_granted
        in_a_day = (await redis.time())[0] * 1000 + 86_400_000
        await redis.hset(DEFAULT.state, "until", str(in_a_day))
        assert (await pod.log.state.claim(candidacy("b.1"), 5)).is_granted


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


async def test_waiting_for_what_another_pod_has_delivered_already(redis: Redis) -> None:
    one = Pod(redis)
    async with following(one):
        log_id = parse_id(await redis.xadd(DEFAULT.log, {"channel": "c", "data": "d"}))
        assert log_id is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            await one.log.reached(log_id)
        assert one.heard == [b"d"]


async def _is_later_than(redis: Redis, log_id: LogId) -> None:
    """Let the millisecond of an ID pass: an emptied stream may give the same ID again."""

    async def has_passed() -> bool:
        seconds, microseconds = await redis.time()
        return bool(seconds * 1000 + microseconds // 1000 > log_id[0])

    await eventually(has_passed, PATIENCE_SECONDS, "the millisecond is over")


async def _break_connections(redis: Redis) -> None:
    await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
