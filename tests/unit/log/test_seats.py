"""Who gets a seat, who loses it, and which dead listener has left something open."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from constellation_ws.log import seats
from constellation_ws.log.seats import SEAT_SECONDS, Claim, Seat, SeatReply, Stand
from constellation_ws.log.state import ONLY_ASKING, Candidacy, LeaseReply
from constellation_ws.redis_io.names import DEFAULT
from tests.unit.log.log_pods import Pod, founded
from tests.waiting import PATIENCE_SECONDS, eventually

HOUR = 3600.0


class Asking:
    """Pods that ask one Redis."""

    def __init__(self, redis: Redis, most: int) -> None:
        self._state = Pod(redis).log.state
        self._redis = redis
        self._most = most

    async def claim(
        self,
        instance: str,
        stand: Stand = Stand.LISTENS,
        listening: float | None = None,
        *,
        resolved: int = 0,
        may_stop: bool = False,
        alive: float = HOUR,
    ) -> SeatReply:
        claim = Claim(instance, stand, self._most, listening, resolved, may_stop, alive)
        return (await self._state.request_lease(ONLY_ASKING, 0, claim)).seats

    async def record(self, instance: str, *, is_late: bool = False) -> LeaseReply:
        """Ask for the lease as a listener."""
        patience = 0.001 if is_late else 0
        asked = Candidacy(f"{instance}.1", instance, patience, 10, is_late)
        claim = Claim(instance, Stand.LISTENS, self._most, 10, 0, False, HOUR)
        return await self._state.request_lease(asked, 60, claim)

    async def record_late(self, instance: str) -> LeaseReply:
        """Ask for the lease as a late listener, until it is granted."""
        replies: list[LeaseReply] = []

        async def is_granted() -> bool:
            replies.append(await self.record(instance, is_late=True))
            return replies[-1].is_granted

        await eventually(is_granted, PATIENCE_SECONDS, "the lease is granted")
        return replies[-1]

    async def listed(self) -> dict[str, list[str]]:
        """Give the list of seats, by pod."""
        text: Any = await self._redis.hget(DEFAULT.state, "listeners")
        words = (text or b"").decode().split()
        return {words[at]: words[at + 1 : at + 6] for at in range(0, len(words), 6)}

    async def kill(self, *instances: str) -> None:
        """Let the seats of pods have expired, a second ago."""
        seconds, _ = await self._redis.time()
        listed = await self.listed()
        for instance in instances:
            listed[instance][0] = str((seconds - 1) * 1000)
        text = " ".join(" ".join([pod, *words]) for pod, words in listed.items())
        await self._redis.hset(DEFAULT.state, "listeners", text)

    async def begin_epoch(self) -> None:
        """Let an epoch begin that reports a loss."""
        reply = await self._state.request_lease(ONLY_ASKING, 0)
        await self._state.replace(reply.epoch, "listener_died", known=None)


@pytest.fixture
async def asking(redis: Redis) -> Asking:
    await founded(Pod(redis))
    return Asking(redis, 2)


async def test_a_pod_gets_a_seat_while_too_few_listen(asking: Asking) -> None:
    assert (await asking.claim("a", Stand.LOOKS)).seat is Seat.LACKING
    assert (await asking.claim("a", Stand.WANTS)).seat is Seat.HELD
    assert (await asking.claim("b", Stand.WANTS)).seat is Seat.HELD
    assert (await asking.claim("c", Stand.LOOKS)).seat is Seat.REFUSED
    assert (await asking.claim("c", Stand.WANTS)).seat is Seat.REFUSED
    assert list(await asking.listed()) == ["a", "b"]


async def test_who_only_looks_writes_nothing(asking: Asking) -> None:
    await asking.claim("a", Stand.LOOKS)
    assert await asking.listed() == {}


async def test_a_listener_stops_only_where_enough_have_listened_for_longer(asking: Asking) -> None:
    await asking.claim("a", listening=30)
    await asking.claim("b", listening=20)
    await asking.claim("c", listening=None)
    assert (await asking.claim("b", listening=20, may_stop=True)).seat is Seat.HELD
    assert (await asking.claim("c", listening=10, may_stop=False)).seat is Seat.HELD
    assert (await asking.claim("c", listening=10, may_stop=True)).seat is Seat.REFUSED
    assert list(await asking.listed()) == ["a", "b"]


async def test_two_that_could_stop_do_not_both(asking: Asking) -> None:
    for instance in ("a", "b", "c", "d"):
        await asking.claim(instance, listening=10)
    asked = [(await asking.claim(one, listening=10, may_stop=True)).seat for one in "dcba"]
    assert asked.count(Seat.REFUSED) == 2
    assert len(await asking.listed()) == 2


async def test_the_recorder_listens_however_short_a_time_it_has(asking: Asking) -> None:
    assert (await asking.record("c")).is_granted
    await asking.claim("a", listening=30)
    await asking.claim("b", listening=20)
    assert (await asking.claim("c", listening=1, may_stop=True)).seat is Seat.HELD
    assert (await asking.claim("b", listening=20, may_stop=True)).seat is Seat.REFUSED


async def test_a_pod_that_leaves_does_not_count(asking: Asking) -> None:
    await asking.claim("a", listening=30)
    await asking.claim("b", listening=30)
    reply = await asking.claim("b", Stand.LEAVES, listening=30)
    assert (reply.seat, reply.others, reply.coming) == (Seat.HELD, 1, 0)
    assert (await asking.claim("c", Stand.WANTS)).seat is Seat.HELD
    reply = await asking.claim("a", Stand.LEAVES, listening=30)
    assert (reply.others, reply.coming) == (0, 1)
    await asking.claim("c", listening=0.1)
    assert (await asking.claim("a", Stand.LEAVES, listening=30)).others == 1
    await asking.claim("a", Stand.GONE)
    assert list(await asking.listed()) == ["b", "c"]


async def test_a_listener_that_receives_nothing_any_more_is_replaced(
    asking: Asking, redis: Redis
) -> None:
    await asking.claim("a", listening=30)
    await asking.claim("b", listening=30)
    await asking.claim("b", listening=None)
    listed = await asking.listed()
    assert (await asking.claim("c", Stand.LOOKS)).seat is Seat.REFUSED, "it has just claimed"
    listed["b"][2] = "1"
    text = " ".join(" ".join([pod, *words]) for pod, words in listed.items())
    await redis.hset(DEFAULT.state, "listeners", text)
    assert (await asking.claim("c", Stand.LOOKS)).seat is Seat.LACKING


async def test_a_seat_expires(asking: Asking) -> None:
    await asking.claim("a", listening=30)
    await asking.claim("b", listening=30)
    await asking.kill("a")
    assert (await asking.claim("c", Stand.LOOKS)).seat is Seat.LACKING


async def test_a_seat_from_before_the_clock_was_set_back_lasts_as_long_as_a_new_one(
    asking: Asking, redis: Redis
) -> None:
    await asking.claim("a", listening=30)
    await asking.claim("b", listening=30)
    listed = await asking.listed()
    listed["a"][0] = str(int(listed["a"][0]) + 60_000)
    text = " ".join(" ".join([pod, *words]) for pod, words in listed.items())
    await asking._redis.hset(DEFAULT.state, "listeners", text)
    await asking.claim("c", Stand.LOOKS)
    seconds, _ = cast("tuple[int, int]", await cast("Any", redis.time()))
    left_ms = int((await asking.listed())["a"][0]) - seconds * 1000
    assert 0 < left_ms <= SEAT_SECONDS * 1000 + 1000


async def test_where_redis_has_no_log_yet_pods_listen(redis: Redis) -> None:
    asking = Asking(redis, 1)
    assert (await asking.claim("a", listening=1, may_stop=True)).seat is Seat.HELD
    assert (await asking.claim("b", Stand.LOOKS)).seat is Seat.LACKING
    assert (await asking.claim("b", Stand.WANTS)).seat is Seat.HELD
    assert not await redis.exists(DEFAULT.state)


async def test_where_redis_refuses_to_write_who_listens_stays_and_who_is_needed_begins(
    asking: Asking, redis: Redis
) -> None:
    for instance in ("a", "b", "c"):
        await asking.claim(instance, listening=10)
    await redis.config_set("maxmemory", 1)
    try:
        assert (await asking.claim("c", listening=1, may_stop=True)).seat is Seat.HELD
        assert (await asking.claim("d", Stand.WANTS)).seat is Seat.REFUSED
        await asyncio.sleep(seats.SEAT_SECONDS)
        assert (await asking.claim("d", Stand.LOOKS)).seat is Seat.LACKING
        assert (await asking.claim("d", Stand.WANTS)).seat is Seat.HELD
    finally:
        await redis.config_set("maxmemory", 0)
    assert "d" not in await asking.listed()


async def test_a_listener_that_died_has_left_nothing_open_if_another_has_all(
    asking: Asking,
) -> None:
    await asking.claim("a", listening=30)
    await asking.claim("b", listening=30)
    await asking.kill("a")
    assert (await asking.record("b")).seats.vanished == 0
    assert list(await asking.listed()) == ["b"], "the recorder forgets it"


async def test_a_listener_that_died_may_have_what_a_late_recorder_lacks(
    asking: Asking,
) -> None:
    await asking.claim("a", listening=30)
    await asking.kill("a")
    began = time.monotonic()
    reply = await asking.record_late("b")
    assert time.monotonic() - began >= seats.RETURN_SECONDS, "it could have returned"
    assert (reply.late_recorders, reply.seats.vanished) == (1, 1)
    assert (await asking.claim("c", Stand.LOOKS)).vanished == 1
    assert (await asking.claim("c", Stand.LOOKS, alive=0.5)).vanished == 0, "it began later"
    assert list(await asking.listed()) == ["a", "b"]


async def test_what_is_reported_is_not_owed_any_more(asking: Asking) -> None:
    await asking.claim("a", listening=30)
    await asking.kill("a")
    assert (await asking.record_late("b")).seats.vanished == 1
    await asking.begin_epoch()
    assert list(await asking.listed()) == ["b"]
    assert (await asking.claim("c", Stand.LOOKS)).vanished == 0


async def test_a_listener_that_died_is_owed_though_the_clock_says_that_the_epoch_is_later(
    asking: Asking, redis: Redis
) -> None:
    await asking.claim("a", listening=30)
    await asking.kill("a")
    seconds, _ = await redis.time()
    await redis.hset(DEFAULT.state, "begun", str(seconds * 1000))  # the clock was set back since
    assert (await asking.record_late("b")).seats.vanished == 1


async def test_who_has_seen_all_recorded_after_a_late_recorder_owes_nothing(
    asking: Asking,
) -> None:
    await asking.claim("a", listening=30)
    assert (await asking.record_late("b")).late_recorders == 1
    await asking.claim("a", listening=1, resolved=0)
    await asking.kill("a")
    assert (await asking.claim("c", Stand.LOOKS)).vanished == 1
    await asking.claim("a", listening=1, resolved=1)
    await asking.kill("a")
    assert (await asking.claim("c", Stand.LOOKS)).vanished == 0


async def test_a_recorder_of_a_release_without_seats_counts_as_a_listener_that_died(
    asking: Asking, redis: Redis
) -> None:
    seconds, _ = await redis.time()
    lease: Any = {"holder": "former.7", "until": str((seconds - 1) * 1000), "begun": "0"}
    await redis.hset(DEFAULT.state, mapping=lease)
    assert (await asking.record_late("b")).seats.vanished == 1


async def test_those_that_have_a_seat_are_named(asking: Asking, redis: Redis) -> None:
    await asking.claim("a", listening=30)
    await asking.claim("b", listening=30)
    await asking.kill("a")
    text: Any = await redis.hget(DEFAULT.state, "listeners")
    seconds, _ = await redis.time()
    assert seats.listeners(text.decode(), seconds * 1000) == ["b"]
    assert seats.listeners("", 0) == []
