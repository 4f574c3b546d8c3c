"""Recording as a pure matter: however pods come, miss and take over, the log is the stream."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.recording import Heard, Memory, unrecorded

FOREVER = 1e9


def memory(max_age_seconds: float = FOREVER, max_bytes: int = 1 << 30) -> Memory:
    return Memory(max_age_seconds, max_bytes)


def positions(heard: list[Heard]) -> list[bytes]:
    return [one.position for one in heard]


def test_positions_count_from_the_last_tick() -> None:
    pod = memory()
    pod.tick(b"a")
    pod.hear(b"c", b"1", 0)
    pod.hear(b"c", b"1", 0)
    pod.tick(b"b")
    pod.hear(b"c", b"1", 0)
    assert positions(pod.since(0)) == [b"a:0", b"a:1", b"b:0"]


def test_what_comes_before_the_first_tick_was_published_before_this_pod_listened() -> None:
    pod = memory()
    pod.hear(b"c", b"1", 0)
    assert not pod.is_positioned
    assert pod.since(0) == []


def test_after_an_interruption_nothing_counts_until_the_next_tick() -> None:
    pod = memory()
    pod.tick(b"a")
    pod.hear(b"c", b"1", 0)
    pod.interrupt()
    pod.hear(b"c", b"2", 0)
    pod.tick(b"b")
    pod.hear(b"c", b"3", 0)
    assert [one.payload for one in pod.since(0)] == [b"1", b"3"]


def test_memory_forgets_by_age_and_by_size_and_never_reuses_a_number() -> None:
    pod = memory(max_age_seconds=10, max_bytes=3)
    pod.tick(b"a")
    for second in range(5):
        pod.hear(b"c", b"x", second)
    pod.forget(5)
    assert (pod.begin, pod.end) == (2, 5)
    pod.forget(13.5)
    assert (pod.begin, pod.end) == (4, 5)
    assert positions(pod.since(0)) == [b"a:4"]


@given(st.integers(0, 30), st.integers(0, 10), st.integers(0, 40))
def test_since_gives_exactly_what_is_left_from_a_number_on(
    count: int, forgotten: int, asked: int
) -> None:
    pod = memory(max_age_seconds=0)
    pod.tick(b"t")
    for n in range(count):
        pod.hear(b"c", b"%d" % n, n)
    pod.forget(min(forgotten, count))
    expected = [n for n in range(count) if n >= min(forgotten, count) and n >= asked]
    assert [int(one.payload) for one in pod.since(asked)] == expected


def test_equal_messages_in_a_row_are_told_apart_by_their_place() -> None:
    pod = memory()
    pod.tick(b"a")
    for _ in range(3):
        pod.hear(b"c", b"same", 0)
    assert len(unrecorded(pod.since(0), {b"a:0"})) == 2


@dataclass
class Pod:
    """A subscriber: hears the stream as far as it has been delivered to it."""

    memory: Memory = field(default_factory=memory)
    next: int = 0
    """The place in the stream that it hears next."""
    is_listening: bool = True
    lags: bool = False
    is_alive: bool = True


@dataclass(frozen=True)
class Published:
    payload: bytes
    tick: bytes | None = None


class Recording(RuleBasedStateMachine):
    """Pods that come late, lag, miss stretches and die; one of them records at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.stream: list[Published] = []
        self.pods = [Pod(), Pod()]
        self.log: list[tuple[bytes, int]] = []
        """Positions with the place in the stream of what was appended there."""
        self.recorder: Pod | None = None
        self.appended = 0
        self.recorded: set[bytes] = set()
        self.ticks = 0
        self.heard_by_somebody: set[int] = set()
        self.place: dict[bytes, int] = {}
        self.tick()

    def alive(self) -> list[Pod]:
        return [pod for pod in self.pods if pod.is_alive]

    @rule(payload=st.sampled_from([b"a", b"a", b"b"]), count=st.integers(1, 4))
    def publish(self, payload: bytes, count: int) -> None:
        self.stream += [Published(payload)] * count
        self.deliver()

    @rule()
    def tick(self) -> None:
        self.ticks += 1
        self.stream.append(Published(b"", b"t%d" % self.ticks))
        self.deliver()

    @rule(which=st.integers(0, 9))
    def lag_or_catch_up(self, which: int) -> None:
        pod = self.pods[which % len(self.pods)]
        pod.lags = not pod.lags
        self.deliver()

    @rule(which=st.integers(0, 9))
    def interrupt_or_resubscribe(self, which: int) -> None:
        pod = self.pods[which % len(self.pods)]
        if not pod.is_alive:
            return
        if pod.is_listening:
            pod.is_listening = False
            pod.memory.interrupt()
            if pod is self.recorder:
                self.recorder = None
        else:
            pod.is_listening, pod.next = True, len(self.stream)

    @rule(is_replaced=st.booleans(), which=st.integers(0, 9))
    def die(self, is_replaced: bool, which: int) -> None:
        pod = self.pods[which % len(self.pods)]
        pod.is_alive = pod.is_listening = False
        if pod is self.recorder:
            self.recorder = None
        if is_replaced or not self.alive():
            self.pods.append(Pod(next=len(self.stream)))

    @rule(which=st.integers(0, 9))
    def take_over(self, which: int) -> None:
        able = [one for one in self.alive() if one.is_listening and one.memory.is_positioned]
        if not able:
            return
        pod = able[which % len(able)]
        self.recorder, self.recorded = pod, {position for position, _ in self.log}
        self.appended = pod.memory.begin
        self.append()

    @rule()
    def append(self) -> None:
        if self.recorder is None:
            return
        fresh = self.recorder.memory.since(self.appended)
        self.appended = self.recorder.memory.end
        for one in unrecorded(fresh, self.recorded):
            self.log.append((one.position, self.place[one.position]))

    def deliver(self) -> None:
        for pod in self.pods:
            while pod.is_listening and not pod.lags and pod.next < len(self.stream):
                self.hear(pod, pod.next)
                pod.next += 1

    def hear(self, pod: Pod, place: int) -> None:
        published = self.stream[place]
        if published.tick is not None:
            pod.memory.tick(published.tick)
            return
        end = pod.memory.end
        pod.memory.hear(b"c", published.payload, 0)
        for one in pod.memory.since(end):
            assert self.place.setdefault(one.position, place) == place, "one name, two messages"
            assert one.payload == published.payload

    @invariant()
    def nothing_is_in_the_log_twice(self) -> None:
        places = [place for _, place in self.log]
        assert len(places) == len(set(places))

    @invariant()
    def a_recorder_that_has_appended_leaves_nothing_out_that_it_heard(self) -> None:
        if self.recorder is None or self.appended != self.recorder.memory.end:
            return
        logged = {place for _, place in self.log}
        assert {self.place[one.position] for one in self.recorder.memory.since(0)} <= logged

    def teardown(self) -> None:
        """Once each survivor has recorded, the log holds all that any of them heard."""
        for pod in self.alive():
            if not pod.is_listening:
                pod.is_listening, pod.next = True, len(self.stream)
            pod.lags = False
        self.deliver()
        self.tick()
        for pod in self.alive():
            self.recorder, self.recorded = pod, {position for position, _ in self.log}
            self.appended = pod.memory.begin
            self.append()
        heard = {self.place[one.position] for pod in self.alive() for one in pod.memory.since(0)}
        self.nothing_is_in_the_log_twice()
        assert heard <= {place for _, place in self.log}


TestRecording = Recording.TestCase
TestRecording.settings = settings(max_examples=60, stateful_step_count=40)


@given(
    payloads=st.lists(st.sampled_from([b"a", b"b"]), max_size=30),
    ticks=st.sets(st.integers(0, 30)),
    dies_at=st.integers(0, 30),
    behind=st.integers(0, 5),
)
def test_a_take_over_at_any_point_makes_the_log_the_stream(
    payloads: list[bytes], ticks: set[int], dies_at: int, behind: int
) -> None:
    """Two pods that miss nothing; the first one records and dies, some of its work undone."""
    pods = [memory(), memory()]
    for pod in pods:
        pod.tick(b"start")
    for place, payload in enumerate(payloads):
        for pod in pods:
            if place in ticks:
                pod.tick(b"t%d" % place)
            pod.hear(b"c", payload, 0)
    log = pods[0].since(0)[: max(0, dies_at - behind)]

    log += unrecorded(pods[1].since(0), {one.position for one in log})

    assert [one.payload for one in log] == payloads
    assert len({one.position for one in log}) == len(log)


@pytest.mark.parametrize("name", [b"pod.1", b"with:colon"])
def test_a_position_names_its_tick_and_its_place(name: bytes) -> None:
    assert Heard(name, 7, b"c", b"p", 0).position == name + b":7"
