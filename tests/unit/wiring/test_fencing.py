"""A fence is sent behind the resume that asks for it."""

from __future__ import annotations

from typing import Any, cast

from constellation_ws.messages.commands import Fence
from constellation_ws.observability.metrics import Metrics
from constellation_ws.wiring.background_jobs import BackgroundJobs
from constellation_ws.wiring.fencing import Fencing


class AllPods:
    def __init__(self) -> None:
        self.sent: list[object] = []

    async def send(self, command: object) -> None:
        self.sent.append(command)


async def test_one_fence_waits_however_often_it_is_asked_for() -> None:
    all_pods, jobs = AllPods(), BackgroundJobs(Metrics())
    fencing = Fencing(cast("Any", all_pods), jobs)
    fencing.begin("sid", "pod.1")
    fencing.begin("sid", "pod.1")
    fencing.begin("sid", "pod.2")
    assert (all_pods.sent, len(jobs)) == ([], 2)
    _, job = jobs._waiting.popitem(last=False)
    await job.work()
    assert all_pods.sent == [Fence("sid", "pod.1")]
