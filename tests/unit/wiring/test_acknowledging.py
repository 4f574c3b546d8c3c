"""What a pod reports of events with acks, and what it counts."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, cast

import pytest
from msgspec import Raw

from constellation_ws.delivery import open_acks
from constellation_ws.delivery.effects import Asked
from constellation_ws.delivery.rooms import Member
from constellation_ws.messages.commands import AckRequest
from constellation_ws.messages.events import Sid
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.all_pods import AllPods
from constellation_ws.redis_io.asking import AckAnswer, Acked, Reached
from constellation_ws.wiring.acknowledging import Acknowledging
from constellation_ws.wiring.background_jobs import BackgroundJobs, Work

REQUEST = AckRequest(7, "reply", 2_000)
ASKED = Asked(REQUEST, frozenset({"user:bob"}), (Sid("s1"), Sid("s2")))


class World:
    """The other pods, and the queue to them."""

    instance = "pod-a"

    def __init__(self) -> None:
        self.reported: list[AckAnswer] = []
        self.waiting: dict[Hashable, Work] = {}
        self.metrics = Metrics()
        self.acknowledging = Acknowledging(
            cast("AllPods", self), cast("BackgroundJobs", self), self.metrics
        )

    def put(self, key: Hashable, work: Work, seconds: float | None) -> None:
        assert seconds == 2.0
        assert key not in self.waiting
        self.waiting[key] = work

    async def answer_ack(self, request: AckRequest, answer: AckAnswer) -> None:
        assert request == REQUEST
        self.reported.append(answer)

    async def work(self) -> None:
        for work in self.waiting.values():
            await work()

    def count(self, outcome: str) -> float:
        return self.metrics.acks.labels(outcome)._value.get()


def member(sid: str) -> Member:
    one = Member(Sid(sid), f"eio-{sid}", cast("Any", None))
    one.rooms.add("user:bob")
    return one


async def test_who_got_it_and_who_acknowledged_it_is_reported() -> None:
    world = World()
    world.acknowledging.begin(ASKED)
    for sid in ("s1", "s1", "s2"):
        world.acknowledging.take(member(sid), 7, lambda: Raw(b"1"))
    world.acknowledging.take(member("s1"), 8, lambda: Raw(b"1"))

    await world.work()

    assert world.reported == [
        Reached([Sid("s1"), Sid("s2")], "pod-a"),
        Acked(Sid("s1"), Raw(b"1")),
        Acked(Sid("s2"), Raw(b"1")),
    ]
    assert [world.count(one) for one in ("ok", "duplicate", "unknown")] == [2, 1, 1]


async def test_a_pod_that_accepts_no_more_acks_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_acks, "MAX_OPEN", 0)
    world = World()
    world.acknowledging.begin(ASKED)
    assert (world.waiting, world.count("too_many")) == ({}, 1)
