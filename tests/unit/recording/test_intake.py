"""What is received is divided in the same way by all pods, at the begin of a subscription too."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from constellation_ws.delivery.partitioning import Partitioning
from constellation_ws.interface.table import load
from constellation_ws.log.ids import BEGINNING
from constellation_ws.log.seats import RETURN_SECONDS, Seat, SeatReply
from constellation_ws.log.state import LeaseReply
from constellation_ws.messages.commands import Handover
from constellation_ws.recording import hold as holding
from constellation_ws.recording.hold import Hold
from constellation_ws.recording.intake import Intake
from constellation_ws.recording.width import Width
from constellation_ws.redis_io.bus import Published
from constellation_ws.redis_io.names import DEFAULT
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

TICKS = [DEFAULT.of_partition(number).ticks.encode() for number in range(3)]
COMMANDS = DEFAULT.commands.encode()


class Recorder:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.asked = self.heard = 0

    def retain(self, channel: bytes, payload: bytes) -> None:
        self.seen.append(payload)

    def receive_tick(self, name: bytes) -> None:
        self.seen.append(("tick", name))

    def end_read(self, *, has_events: bool) -> None:
        assert has_events
        self.seen.append("end")

    def hear(self) -> None:
        self.heard += 1

    def ask_now(self) -> None:
        self.asked += 1

    def begin_whole(self) -> None:
        self.seen.append("whole")

    def interrupted(self, *, is_lossy: bool) -> None:
        self.seen.append(("interrupted", is_lossy))

    def take_over(self, handover: Handover) -> None:
        self.seen.append(handover)


class Pod:
    """An intake of three partitions."""

    def __init__(self) -> None:
        self.recorders = [Recorder() for _ in range(3)]
        self.partitioning = Partitioning(load().routes)
        self.width = Width(self.partitioning, 3)
        self.hold = Hold(self.width)
        recorders = cast("Any", self.recorders)
        volatile = frozenset({b"volatile"})
        self.intake = Intake(DEFAULT, recorders, self.width, self.hold, volatile)

    @property
    def seen(self) -> list[list[Any]]:
        return [one.seen for one in self.recorders]

    def receive(self, *batch: Published) -> list[Published]:
        return self.intake.receive([*batch])

    def confirm(self, partitions: int, asked_at: float, *, is_free: bool = False) -> None:
        seats = SeatReply(Seat.HELD, 0, 0, 0, 0)
        reply = LeaseReply(False, "e", b"", BEGINNING, "", 0, seats, partitions, is_free)
        self.hold.confirm(reply, asked_at)


def event(chat: int) -> Published:
    return b"chat:new", b'{"chatId":%d}' % chat


def tick(name: bytes, partition: int = 0) -> Published:
    return TICKS[partition], name


CHAT = next(
    chat for chat in range(100) if (made := Partitioning(load().routes)).widen(3) is None
    and made.find(*event(chat)) == 2
)  # fmt: skip
EVENT = event(CHAT)[1]


@pytest.fixture
def pod() -> Pod:
    return Pod()


def test_at_the_begin_nothing_is_divided_before_a_recorder_says_how(pod: Pod) -> None:
    pod.receive(tick(b"begin"), event(CHAT))
    assert pod.seen == [[], [], []]
    assert pod.recorders[0].asked == 1
    pod.receive(event(CHAT), tick(b"pod.1/3"))
    assert pod.partitioning.width == 3
    assert pod.seen == [
        [("tick", b"begin"), ("tick", b"pod.1/3")],
        [("tick", b"begin"), ("tick", b"pod.1/3")],
        [("tick", b"begin"), EVENT, EVENT, ("tick", b"pod.1/3"), "end"],
    ]


def test_what_comes_before_the_change_is_divided_as_before(pod: Pod) -> None:
    pod.receive(tick(b"begin"), event(CHAT))
    pod.receive(tick(b"pod.1/1>3"), event(CHAT))
    ticks = [("tick", b"begin"), ("tick", b"pod.1/1>3")]
    assert pod.seen[0] == [ticks[0], EVENT, ticks[1], "end"]
    assert pod.seen[1] == [*ticks, "whole"]
    assert pod.seen[2] == [*ticks, "whole", EVENT, "end"]


def test_the_ticks_of_other_partitions_are_theirs(pod: Pod) -> None:
    pod.receive(tick(b"pod.1/3"), tick(b"x", 2))
    assert pod.seen == [[("tick", b"pod.1/3")]] * 2 + [[("tick", b"pod.1/3"), ("tick", b"x")]]


def test_commands_and_volatile_events_pass_on_once_whatever_is_held_back(pod: Pod) -> None:
    live = [(COMMANDS, b"1"), (b"volatile", b"2")]
    assert pod.receive(live[0], event(CHAT), live[1]) == live
    assert pod.receive(tick(b"pod.1/3")) == []
    assert pod.receive(*live, event(CHAT)) == live
    assert all(one not in seen for seen in pod.seen for one in (b"1", b"2"))


async def test_what_redis_says_counts_if_it_was_asked_after_the_begin(pod: Pod) -> None:
    task = asyncio.create_task(pod.intake.run())
    try:
        pod.confirm(1, 1e12)
        pod.receive(tick(b"begin"), event(CHAT))
        pod.confirm(1, -1e12)
        await asyncio.sleep(0.05)
        assert pod.seen[0] == []
        pod.width.note(3)
        pod.confirm(3, 1e12)
        await asyncio.sleep(0.05)
        assert pod.seen[0] == [], "the recorder says from where on"
        pod.confirm(3, 1e12, is_free=True)
        await eventually(lambda: pod.seen[0], PATIENCE_SECONDS, "it is divided")
        assert pod.seen[2] == [("tick", b"begin"), EVENT, "end"]
    finally:
        await cancelled([task])


async def test_a_pod_that_knows_no_number_waits_for_pods_that_may(pod: Pod) -> None:
    """Redis may have lost it."""
    task = asyncio.create_task(pod.intake.run())
    try:
        began = time.monotonic()
        pod.receive(tick(b"begin"), event(CHAT))
        pod.confirm(1, began + 0.9 * RETURN_SECONDS, is_free=True)
        await asyncio.sleep(0.05)
        assert pod.seen[0] == []
        pod.confirm(1, time.monotonic() + RETURN_SECONDS, is_free=True)
        await eventually(lambda: EVENT in pod.seen[0], PATIENCE_SECONDS, "it is divided")
    finally:
        await cancelled([task])


async def test_above_the_bound_it_is_divided_as_was_known(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "_MOST_BYTES", 10 * len(EVENT))
    task = asyncio.create_task(pod.intake.run())
    try:
        for _ in range(2):
            pod.receive(*[event(CHAT)] * 10)
            await asyncio.sleep(0.05)
            assert pod.seen[0] == []
            pod.receive(event(CHAT))
            await eventually(lambda: pod.seen[0], PATIENCE_SECONDS, "it is divided")
            assert pod.seen[0] == [*[EVENT] * 11, "end"]
            pod.intake.interrupted(is_lossy=False)
            pod.seen[0].clear()
    finally:
        await cancelled([task])


async def test_it_is_divided_as_was_known_if_nobody_says_more(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "_MOST_SECONDS", 0.1)
    task = asyncio.create_task(pod.intake.run())
    try:
        for _ in range(2):
            pod.receive(tick(b"begin"), event(CHAT))
            await asyncio.sleep(0.2)
            assert pod.seen[0] == [], "Redis has not answered"
            pod.confirm(3, 1e12)
            await eventually(lambda: EVENT in pod.seen[0], PATIENCE_SECONDS, "it is divided")
            pod.intake.interrupted(is_lossy=False)
            pod.seen[0].clear()
    finally:
        await cancelled([task])


def test_after_an_interruption_it_is_held_back_again(pod: Pod) -> None:
    pod.receive(tick(b"pod.1/1"), event(CHAT))
    pod.intake.interrupted(is_lossy=True)
    for seen in pod.seen:
        assert seen[-1] == ("interrupted", True)
        seen.clear()
    pod.receive(tick(b"begin"), event(CHAT))
    assert pod.seen == [[], [], []]
    pod.receive(tick(b"pod.9/3"))
    assert EVENT in pod.seen[2]


def test_a_change_that_this_pod_did_not_see_is_an_interruption(pod: Pod) -> None:
    pod.receive(tick(b"pod.1/1"), event(CHAT), tick(b"pod.2/3"), event(CHAT))
    for seen in pod.seen:
        assert ("interrupted", True) in seen
    assert pod.seen[2][-2:] == [EVENT, "end"]


def test_a_recorder_that_knows_of_fewer_changes_nothing(pod: Pod) -> None:
    pod.receive(tick(b"pod.1/3"), tick(b"old.1/1"), event(CHAT))
    assert pod.partitioning.width == 3
    assert EVENT in pod.seen[2]


def test_a_handover_goes_to_the_recorder_of_its_partition(pod: Pod) -> None:
    pod.intake.take_over(Handover("", 2))
    pod.intake.take_over(Handover("", 7))
    assert pod.seen == [[], [], [Handover("", 2)]]
