"""A fence is sent behind the resume that asks for it."""

from __future__ import annotations

from typing import Any, cast

from constellation_ws.messages.commands import Fence
from constellation_ws.observability.metrics import Metrics
from constellation_ws.wiring.background_jobs import BackgroundJobs
from constellation_ws.wiring.fencing import Fencing


class Bus:
    def __init__(self) -> None:
        self.sent: list[object] = []

    async def tell(self, command: object) -> None:
        self.sent.append(command)


async def test_one_fence_waits_however_often_it_is_asked_for() -> None:
    bus, jobs = Bus(), BackgroundJobs(Metrics())
    fencing = Fencing(cast("Any", bus), jobs)
    fencing.begin("sid", "pod.1")
    fencing.begin("sid", "pod.1")
    fencing.begin("sid", "pod.2")
    assert (bus.sent, len(jobs)) == ([], 2)
    _, job = jobs._waiting.popitem(last=False)
    await job.work()
    assert bus.sent == [Fence("sid", "pod.1")]
