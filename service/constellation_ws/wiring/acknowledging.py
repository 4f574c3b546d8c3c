"""Reports to the asking pod which sockets of this one got an event, and which acknowledged it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from msgspec import Raw

from constellation_ws.delivery.effects import Asked
from constellation_ws.delivery.open_acks import AckOutcome, OpenAcks
from constellation_ws.delivery.rooms import Member
from constellation_ws.messages.commands import AckRequest
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.all_pods import AllPods
from constellation_ws.redis_io.asking import AckAnswer, Acked, Reached
from constellation_ws.wiring.background_jobs import BackgroundJobs


class Acknowledging:
    """Does it in the background; a report may be dropped, and its sockets are unanswered then."""

    def __init__(self, all_pods: AllPods, jobs: BackgroundJobs, metrics: Metrics) -> None:
        self._all_pods = all_pods
        self._jobs = jobs
        self._outcomes = metrics.acks
        self._open = OpenAcks()

    def begin(self, asked: Asked) -> None:
        """Accept acks of an event that was just written. Never waits."""
        if self._open.open(asked, time.monotonic()):
            answer = Reached(list(asked.sids), self._all_pods.instance)
            self._report(asked.request, "", answer)
        else:
            self._outcomes.labels("too_many").inc()

    def take(self, member: Member, ack_id: int, read: Callable[[], Raw]) -> None:
        """Receive an ack of a client; `read` gives what it holds. Never waits."""
        request = self._open.take(member, ack_id, time.monotonic())
        if isinstance(request, AckOutcome):
            self._outcomes.labels(request.value).inc()
            return
        self._outcomes.labels("ok").inc()
        self._report(request, member.own_room, Acked(member.sid, read()))

    def _report(self, request: AckRequest, key: str, answer: AckAnswer) -> None:
        work = functools.partial(self._all_pods.answer_ack, request, answer)
        self._jobs.put((request, key), work, request.timeout_ms / 1_000)
