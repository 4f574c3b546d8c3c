"""What is appended next, and when no append may leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from constellation_ws.log import rate
from constellation_ws.log.appender import Appender, OnRecorded
from constellation_ws.log.pubsub_positions import Received
from constellation_ws.log.rate import AppendRate
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.observability.metrics import Metrics
from constellation_ws.recording.append_queue import AppendQueue
from tests.waiting import PATIENCE_SECONDS, eventually, throughout


class Connection:
    """Notes appends, and answers the oldest when told to."""

    def __init__(self) -> None:
        self.unanswered = 0
        self.may_pack = False
        self.appends: list[list[bytes]] = []
        self._confirm: list[OnRecorded] = []

    def append(self, received: Sequence[Received], on_recorded: OnRecorded) -> None:
        self.unanswered += 1
        self.appends.append([one.payload for one in received])
        self._confirm.append(on_recorded)

    def answer(self) -> None:
        self.unanswered -= 1
        self._confirm.pop(0)(1)


class World:
    """A queue with messages that were received."""

    def __init__(self, *payloads: bytes) -> None:
        self.unrecorded = Unrecorded(b"pod", 1 << 20)
        self.metrics, self.rate = Metrics(), AppendRate()
        self.queue = AppendQueue(self.unrecorded, self.metrics, self.rate)
        self.connection = Connection()
        self.receive(*payloads)

    def receive(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.unrecorded.receive(b"c", payload)

    def begin(self) -> None:
        self.queue.begin(cast("Appender", self.connection))


async def test_what_came_before_is_appended_at_once_and_the_rest_after_the_answer() -> None:
    world = World(b"1", b"2")
    world.begin()
    world.receive(b"3", b"4")
    world.queue.append_soon()
    assert world.connection.appends == [[b"1", b"2"]]
    world.connection.answer()

    assert world.connection.appends == [[b"1", b"2"], [b"3", b"4"]]
    world.connection.answer()
    assert world.unrecorded.begin == world.unrecorded.end


async def test_nothing_is_appended_while_this_pod_does_not_record() -> None:
    world = World(b"1")
    world.queue.append_soon()
    world.begin()
    world.queue.end()
    world.receive(b"2")
    world.queue.append_soon()
    world.connection.answer()
    assert world.connection.appends == [[b"1"]]
    assert world.unrecorded.begin < world.unrecorded.end


async def test_at_a_high_rate_what_an_append_left_follows_its_answer_and_the_next_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate, "GATHER_SECONDS", 10 * PATIENCE_SECONDS)
    monkeypatch.setattr(rate, "HIGH_PER_SECOND", 0)
    world = World(*[b"%d" % number for number in range(600)])
    world.begin()
    assert world.rate.is_high
    world.connection.answer()
    assert [len(one) for one in world.connection.appends] == [500, 100]
    world.receive(b"1")
    world.connection.answer()
    await throughout(lambda: len(world.connection.appends) == 2, 0.05, "it waits")


async def test_events_and_the_entries_that_they_became_are_counted() -> None:
    world = World(b"1", b"2", b"3")
    world.begin()
    assert not world.queue.is_packing
    world.connection.may_pack = True
    assert world.queue.is_packing
    world.connection.answer()
    counters = (world.metrics.recorded, world.metrics.recorded_entries)
    assert [one._value.get() for one in counters] == [3, 1]
    world.queue.end()
    assert not world.queue.is_packing


async def test_an_append_has_a_bound() -> None:
    world = World(*[b"%d" % number for number in range(1_500)])
    world.begin()
    assert [len(one) for one in world.connection.appends] == [500]
    world.connection.answer()
    await eventually(lambda: len(world.connection.appends) == 2, PATIENCE_SECONDS, "the rest")
    assert [len(one) for one in world.connection.appends] == [500, 500]


async def test_an_append_has_a_bound_in_bytes_but_for_one_large_message() -> None:
    world = World(b"x" * 200_000, b"y" * 50_000, b"z" * 400_000, b"1")
    world.begin()
    appends = world.connection.appends
    for count in (1, 2, 3):
        await eventually(lambda: len(appends) == count, PATIENCE_SECONDS, "the next")
        world.connection.answer()
    assert [[one[:1] for one in append] for append in appends] == [[b"x", b"y"], [b"z"], [b"1"]]
