"""The queue of work that waits for a turn: one slice a turn, in order, and nothing is left over."""

from __future__ import annotations

import asyncio
import functools

from constellation_ws.runtime.share import SLICE_SECONDS
from constellation_ws.runtime.turn_queue import TurnQueue


class Clock:
    """Time that passes when work is done."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Jobs:
    """Work of some length; notes what was done."""

    def __init__(self, seconds: float) -> None:
        self.clock, self.seconds = Clock(), seconds
        self.turns = TurnQueue(clock=self.clock, cpu_clock=self.clock)
        self.done: list[int] = []

    def do(self, number: int) -> None:
        self.done.append(number)
        self.clock.now += self.seconds

    def put(self, number: int) -> None:
        def work() -> bool:
            self.do(number)
            return False

        self.turns.put(work)

    def flood(self, number: int) -> None:
        """Put work that goes on whenever it was served."""

        def work() -> bool:
            self.do(number)
            self.turns.put(work, is_rest=True)
            return False

        self.turns.put(work)


async def test_work_is_done_in_order_one_slice_in_each_turn() -> None:
    jobs = Jobs(SLICE_SECONDS / 4)
    for number in range(12):
        jobs.put(number)
    assert jobs.done == []
    for turns in range(1, 4):
        await asyncio.sleep(0)
        assert jobs.done == list(range(4 * turns))


async def test_where_turns_are_long_slices_are_longer() -> None:
    jobs = Jobs(SLICE_SECONDS)
    for number in range(20):
        jobs.put(number)
    await asyncio.sleep(0)
    assert jobs.done == [0]
    jobs.clock.now += 15.5 * SLICE_SECONDS  # what others have done in this turn
    await asyncio.sleep(0)
    assert jobs.done == [0, 1, 2, 3, 4]


async def test_what_waits_begins_at_once_while_little_is_done() -> None:
    jobs = Jobs(SLICE_SECONDS)
    await jobs.turns.wait()
    assert not jobs.turns.may_begin(jobs.clock.now)
    jobs.clock.now += 1.0
    assert jobs.turns.may_begin(jobs.clock.now)


async def test_of_many_tasks_each_turn_begins_one() -> None:
    jobs = Jobs(SLICE_SECONDS)

    async def work(number: int) -> None:
        await jobs.turns.wait()
        jobs.do(number)

    tasks = [asyncio.create_task(work(number)) for number in range(10)]
    most = 0
    while not all(task.done() for task in tasks):
        before = len(jobs.done)
        await asyncio.sleep(0)
        most = max(most, len(jobs.done) - before)
    assert jobs.done == list(range(10))
    assert most <= 2, "the first two need not wait"


async def test_tasks_and_other_work_take_turns() -> None:
    jobs = Jobs(SLICE_SECONDS)

    async def work() -> None:
        await jobs.turns.wait()
        jobs.do(2)

    jobs.put(0)
    jobs.put(1)
    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    jobs.put(3)
    for turns in range(5):
        assert len(jobs.done) <= turns + 1
        await asyncio.sleep(0)
    assert task.done()
    assert jobs.done == [0, 1, 2, 3]


async def test_a_task_that_was_cancelled_takes_no_turn() -> None:
    jobs = Jobs(SLICE_SECONDS)
    jobs.put(0)
    jobs.put(1)
    task = asyncio.create_task(jobs.turns.wait())
    await asyncio.sleep(0)
    jobs.put(2)
    task.cancel()
    for _ in range(4):
        await asyncio.sleep(0)
    assert task.cancelled()
    assert jobs.done == [0, 1, 2]


async def test_who_is_new_comes_before_hundreds_who_flood() -> None:
    jobs = Jobs(SLICE_SECONDS)
    for number in range(300):
        jobs.flood(number)
    for _ in range(1_000):
        await asyncio.sleep(0)
    jobs.put(-1)
    for _ in range(2):
        await asyncio.sleep(0)
    assert -1 in jobs.done


async def test_who_floods_does_not_wait_for_ever() -> None:
    jobs = Jobs(SLICE_SECONDS)
    jobs.flood(-1)
    for number in range(100):
        jobs.put(number)
        jobs.put(number)  # more of them come than are served
        await asyncio.sleep(0)
    assert jobs.done.count(-1) > 10


async def test_connections_end_five_at_once_and_their_cost_has_a_turn_of_its_own() -> None:
    jobs = Jobs(0.0)
    for number in range(12):
        jobs.turns.put_end(functools.partial(jobs.do, number))
    ended = []
    for _ in range(6):
        await asyncio.sleep(0)
        ended.append(len(jobs.done))
    assert ended == [5, 5, 10, 10, 12, 12]
    assert jobs.done == list(range(12))


async def test_who_is_new_comes_before_hundreds_that_end() -> None:
    jobs = Jobs(SLICE_SECONDS)
    for _ in range(300):
        jobs.turns.put_end(functools.partial(jobs.do, 0))
    await asyncio.sleep(0)
    jobs.put(-1)
    for _ in range(3):
        await asyncio.sleep(0)
    assert -1 in jobs.done
    assert len(jobs.done) < 20
