"""Recording as a pure matter: however pods come, miss and take over, the log is the stream."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from constellation_ws.log.pubsub_positions import Received
from constellation_ws.log.unrecorded import Unrecorded
from tests.pod_parts import runs_at

PLENTY = 1 << 30


def pod(name: bytes = b"pod", max_bytes: int = PLENTY) -> Unrecorded:
    return Unrecorded(name, max_bytes)


def subscribed(*payloads: bytes, tick: bytes = b"t") -> Unrecorded:
    """A pod that has received these behind a tick."""
    one = pod()
    one.begin_after(None)
    one.tick(tick)
    for payload in payloads:
        one.receive(b"c", payload)
    return one


def payloads(one: Unrecorded) -> list[bytes]:
    return [received.payload for received in one.since(0, PLENTY)]


def test_positions_count_from_the_last_tick() -> None:
    one = subscribed(b"1", b"1", tick=b"a")
    one.tick(b"b")
    one.receive(b"c", b"1")
    assert [received.position for received in one.since(0, 9)] == [b"a:0", b"a:1", b"b:0"]


def test_what_comes_before_the_first_tick_is_retained_at_a_position_of_this_pod_alone() -> None:
    one, other = pod(b"one"), pod(b"other")
    for each in (one, other):
        each.receive(b"c", b"1")
    assert not one.is_positioned
    assert payloads(one) == [b"1"]
    assert one.since(0, 1)[0].position != other.since(0, 1)[0].position


def test_what_is_received_after_an_interruption_is_retained_like_all_else() -> None:
    one = subscribed(b"1", tick=b"a")
    one.interrupt(is_lossy=False, received_at=0, noted_at=0)
    one.receive(b"c", b"2")
    one.tick(b"b")
    one.receive(b"c", b"3")
    assert payloads(one) == [b"1", b"2", b"3"]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 40), st.integers(0, 9))
def test_since_gives_what_is_unrecorded_from_a_number_on(
    count: int, recorded: int, asked: int, most: int
) -> None:
    one = subscribed(*(b"%d" % n for n in range(count)))
    one.confirm(recorded)
    expected = [n for n in range(count) if n >= recorded and n >= asked][:most]
    assert [int(each.payload) for each in one.since(asked, most)] == expected


def test_it_forgets_what_is_in_the_log_and_only_that() -> None:
    one = subscribed(b"0", b"1", b"2", b"3")
    assert one.compare(runs_at([b"t:0", b"t:1"])) == 0
    assert payloads(one) == [b"2", b"3"]
    assert (one.begin, one.end, one.recorded_position) == (2, 4, b"t:2")
    one.confirm(4)
    assert payloads(one) == []
    assert one.recorded_position == b"t:4"


def test_equal_messages_in_a_row_are_told_apart_by_their_place() -> None:
    one = subscribed(b"same", b"same", b"same")
    one.compare(runs_at([b"t:1"]))
    assert len(one.since(0, 9)) == 1


def test_what_was_recorded_earlier_is_nothing_new() -> None:
    one = subscribed(b"0", b"1", b"2")
    one.confirm(2)
    one.confirm(1)
    assert one.compare(runs_at([b"t:0"])) == 0
    assert (one.begin, one.end, payloads(one)) == (2, 3, [b"2"])


def test_entries_of_a_time_before_the_subscription_say_nothing() -> None:
    one = subscribed(b"0")
    assert one.compare(runs_at([b"older:7", b"no position", b""])) == 0
    assert payloads(one) == [b"0"]


def test_messages_that_the_log_passes_over_are_counted_once() -> None:
    one = subscribed(*(b"%d" % n for n in range(9)))
    one.compare(runs_at([b"t:0"]))
    assert one.compare(runs_at([b"t:1", b"t:2"])) == 0
    assert one.compare(runs_at([b"t:5", b"t:7"])) == 3
    assert one.compare(runs_at([b"t:8"])) == 0
    assert payloads(one) == []


def test_an_unknown_entry_does_not_make_up_for_one_that_is_missing() -> None:
    """Each pod was subscribed while another was not."""
    one = subscribed(b"0", tick=b"a")
    one.begin_after(None)
    one.tick(b"here alone")
    one.receive(b"c", b"missed")
    one.interrupt(is_lossy=False, received_at=0, noted_at=0)
    one.tick(b"b")
    one.receive(b"c", b"1")
    assert one.compare(runs_at([b"a:0", b"elsewhere:0", b"b:0"])) == 1


def test_an_entry_that_was_not_received_does_not_make_up_for_one_that_is_missing() -> None:
    """Its tick comes later, or others received it after this subscription had ended."""
    one = subscribed(b"0", b"missed", b"2")
    assert one.compare(runs_at([b"t:0", b"t:2", b"later:0"])) == 1
    one = subscribed(b"0", b"missed", b"2")
    assert one.compare(runs_at([b"t:0", b"t:2", b"later:2"])) == 1
    one = subscribed(b"0", b"missed", b"2")
    one.interrupt(is_lossy=False, received_at=0, noted_at=0)
    one.tick(b"u")
    one.receive(b"c", b"missed, too")
    one.receive(b"c", b"4")
    assert one.compare(runs_at([b"t:0", b"t:2", b"t:3", b"u:1"])) == 2


def test_after_a_gap_of_the_log_nothing_counts_as_passed_over() -> None:
    one = subscribed(b"0", b"1", b"2", b"3")
    one.compare(runs_at([b"t:0"]))
    one.begin_after(b"t:1")
    assert one.compare(runs_at([b"t:2"])) == 0


def test_after_a_gap_of_the_log_what_follows_counts_as_before() -> None:
    one = subscribed(b"0", b"1", b"2", b"3")
    one.begin_after(b"t:0")
    assert one.compare(runs_at([b"t:2"])) == 1


@pytest.mark.parametrize(("received_at", "lost"), [(9, 0), (10, 0), (11, 1)])
@pytest.mark.parametrize("is_noticed_first", [False, True])
def test_what_was_received_where_others_had_left_is_lost_unless_it_is_recorded(
    received_at: float, lost: int, *, is_noticed_first: bool
) -> None:
    """Its sender was told of a receiver, and the sessions of the new epoch wait for it."""
    one = subscribed(b"0", tick=b"a")
    one.compare(runs_at([b"a:0"]))
    one.receive(b"c", b"left behind")
    if is_noticed_first:
        one.begin_epoch(10, 0, 0, 0)
    one.interrupt(is_lossy=False, received_at=received_at, noted_at=received_at)
    if not is_noticed_first:
        one.begin_epoch(10, 0, 0, 0)
    one.tick(b"b")
    one.receive(b"c", b"1")
    assert one.compare(runs_at([b"b:0"])) == lost
    one.receive(b"c", b"2")
    assert one.compare(runs_at([b"b:1"])) == 0


def test_a_new_pod_finds_what_the_recorder_missed_from_its_first_message_on() -> None:
    """The recorder was subscribed later; until then only this pod received anything."""
    one = subscribed(b"missed", tick=b"a")
    one.begin_after(b"before:7")
    one.tick(b"b")
    one.receive(b"c", b"1")
    assert one.compare(runs_at([b"b:0"])) == 1


@pytest.mark.parametrize("is_log_empty", [False, True])
def test_the_recorders_word_is_checked_from_the_first_message_on(*, is_log_empty: bool) -> None:
    one = subscribed(b"missed", tick=b"a")
    one.begin_after(None if is_log_empty else b"before:7")
    one.tick(b"b")
    assert one.confirm_position(b"b:0") == 1


def test_what_the_log_held_when_a_pod_began_is_not_missing_though_its_tick_comes_later() -> None:
    one = subscribed(b"recorded", tick=b"a")
    one.begin_after(b"b:1")
    assert one.tick(b"b") == 0
    for payload in (b"recorded", b"recorded", b"2", b"3"):
        one.receive(b"c", payload)
    assert payloads(one) == [b"2", b"3"]
    assert one.compare(runs_at([b"b:3"])) == 1


def test_what_is_missing_before_entries_that_were_read_early_is_found_with_their_tick() -> None:
    one = subscribed(tick=b"a")
    one.begin_after(None)
    assert one.compare(runs_at([b"b:0", b"b:2"])) == 0, "its tick is not received yet"
    one.receive(b"c", b"missed")
    assert one.tick(b"b") == 2, "one before the tick, one behind it"
    assert payloads(one) == []


def test_what_came_before_an_absence_is_not_recorded_behind_what_came_during_it() -> None:
    """The order of the stream would be broken; it is lost, and reported."""
    one = subscribed(b"before", tick=b"a")
    one.begin_after(None)
    one.interrupt(is_lossy=False, received_at=0, noted_at=0)
    one.compare(runs_at([b"meanwhile:0"]))
    one.tick(b"b")
    one.receive(b"c", b"after")
    assert one.give_up() == (1, False)
    assert payloads(one) == [b"after"]


def test_what_was_received_on_one_subscription_is_not_given_up() -> None:
    one = subscribed(b"0", b"1")
    assert one.give_up() == (0, True)
    assert payloads(one) == [b"0", b"1"]


def test_what_came_before_an_absence_stays_where_the_log_was_read_no_further() -> None:
    one = subscribed(b"0", b"1", tick=b"a")
    one.compare(runs_at([b"a:0"]))
    one.interrupt(is_lossy=False, received_at=0, noted_at=0)
    assert one.tick(b"b") == 0
    assert one.give_up() == (0, True)
    assert payloads(one) == [b"1"]


def test_a_pod_that_missed_something_has_a_hole_until_the_log_is_past_it() -> None:
    one = subscribed(b"0", tick=b"a")
    assert one.has_hole, "others may have what was published before it subscribed"
    one.compare(runs_at([b"a:0"]))
    assert not one.has_hole
    one.interrupt(is_lossy=True, received_at=0, noted_at=0)
    one.tick(b"b")
    one.receive(b"c", b"1")
    assert one.has_hole
    assert one.is_lossy
    one.compare(runs_at([b"a:5"]))  # of the hole: others received it, and one has recorded it
    assert one.has_hole
    assert payloads(one) == [b"1"], "which comes behind the hole"
    one.compare(runs_at([b"b:0"]))
    assert not one.has_hole
    assert not one.is_lossy


def test_what_was_sent_to_a_pod_and_missed_by_the_recorder_too_is_lost() -> None:
    """The hole begins at the last tick, however late it is noticed."""
    one = subscribed(b"0", tick=b"a")
    one.compare(runs_at([b"a:0"]))
    one.filled.answer(1)  # a new pod has become the recorder
    one.interrupt(is_lossy=True, received_at=0, noted_at=0)
    one.tick(b"b")
    one.compare(runs_at([b"b:0"]))
    one.filled.ask()
    assert one.filled.answer(1)


def test_what_a_recorder_missed_before_a_pod_did_is_not_lost() -> None:
    one = subscribed(b"0", tick=b"a")
    one.filled.answer(1)
    one.tick(b"b")
    one.compare(runs_at([b"b:0"]))
    one.interrupt(is_lossy=True, received_at=0, noted_at=0)
    one.tick(b"c")
    one.compare(runs_at([b"c:0"]))
    one.filled.ask()
    assert not one.filled.answer(1)


def test_who_does_not_know_what_a_pod_left_unrecorded_has_missed_it() -> None:
    """Others that know the position record first; if there is none, it is lost."""
    one = subscribed(b"0", tick=b"a")
    one.note_left(b"a:0")
    assert not one.is_lossy, "it has that itself"
    one.note_left(b"0:7")
    assert one.is_lossy
    one.compare(runs_at([b"a:0"]))
    assert not one.has_hole, "another pod had it and has recorded it"
    one.note_left(b"0:7")
    assert not one.has_hole, "it was recorded"


def begun() -> Unrecorded:
    """A pod that has begun an epoch before its first tick."""
    one = pod()
    one.begin_epoch(0, 0, 0, 0)
    return one


def doubting() -> Unrecorded:
    """A pod that has received what a log may have held and lost."""
    one = subscribed(b"0")
    one.begin_epoch(0, one.end, 0, one.end)
    return one


@pytest.mark.parametrize("make", [pod, begun, doubting])
@pytest.mark.parametrize(("late", "is_lost"), [(0, False), (1, True)])
def test_what_a_pod_left_unrecorded_is_lost_if_any_recorder_was_late(
    make: Callable[[], Unrecorded], late: int, *, is_lost: bool
) -> None:
    one = make()
    one.note_left(b"unknown:7")
    one.tick(b"a")
    one.receive(b"c", b"0")
    one.compare(runs_at([b"a:0"]))
    one.filled.ask()
    assert one.filled.answer(late) is is_lost


def test_who_missed_nothing_that_was_sent_to_it_loses_nothing() -> None:
    one = subscribed(b"0", tick=b"a")
    one.filled.answer(1)
    one.interrupt(is_lossy=False, received_at=0, noted_at=0)
    one.tick(b"b")
    one.compare(runs_at([b"a:0", b"b:0"]))
    one.filled.ask()
    assert not one.filled.answer(1)


@pytest.mark.parametrize(
    ("place", "missing", "left"), [(b"a:1", 1, [b"1", b"2"]), (b"b:0", 2, [b"2"])]
)
def test_the_recorders_word_covers_what_it_names(
    place: bytes, missing: int, left: list[bytes]
) -> None:
    one = subscribed(b"0", b"1", tick=b"a")
    one.tick(b"b")
    one.receive(b"c", b"2")
    assert one.confirm_position(place) == missing
    assert payloads(one) == left
    assert not one.has_hole
    assert one.confirm_position(b"unknown:3") == 0
    assert payloads(one) == left


def test_what_the_recorder_says_is_recorded_and_the_log_lacks_is_passed_over() -> None:
    one = subscribed(b"0", b"1", tick=b"a")
    one.compare(runs_at([b"a:0"]))
    one.tick(b"b")
    assert one.confirm_position(b"b:0") == 1
    assert payloads(one) == []


def test_a_log_that_is_ahead_of_the_subscription_is_not_recorded_twice() -> None:
    one = subscribed(b"0", tick=b"a")
    one.compare(runs_at([b"a:0", b"a:1", b"b:0"]))
    one.receive(b"c", b"1")
    assert one.recorded_position == b"a:2"
    one.tick(b"b")
    one.receive(b"c", b"2")
    one.receive(b"c", b"3")
    assert payloads(one) == [b"3"]
    one.compare(runs_at([b"b:3"]))
    for _ in range(3):
        one.receive(b"c", b"more")
    assert payloads(one) == [b"more"]


def test_a_hole_behind_a_stretch_that_was_quiet_is_not_taken_for_one_before_it() -> None:
    one = subscribed(tick=b"a")
    one.confirm_position(b"a:0")
    assert not one.has_hole
    one.interrupt(is_lossy=False, received_at=0, noted_at=0)
    one.tick(b"b")
    one.confirm_position(b"a:0")  # said before the interruption
    assert one.has_hole
    one.confirm_position(b"b:0")
    assert not one.has_hole


def test_a_log_that_goes_on_after_the_subscription_ended_passes_nothing_over() -> None:
    """A pod that is being replaced ended its epoch: nobody was recovered after a roll."""
    one = subscribed(b"0", tick=b"a")
    one.compare(runs_at([b"a:0"]))
    assert one.compare(runs_at([b"a:1"])) == 0
    assert one.compare(runs_at([b"a:2"])) == 0
    assert one.compare(runs_at([b"a:3", b"a:4"])) == 0


def test_a_reported_hole_is_a_hole_no_more() -> None:
    one = subscribed()
    one.interrupt(is_lossy=True, received_at=0, noted_at=0)
    one.forgive()
    assert not one.has_hole


def test_what_a_damaged_log_may_have_held_is_not_recorded_again() -> None:
    """Another pod may have recorded and delivered it; so that pod goes first."""
    one = subscribed(b"0", b"1", b"2")
    one.compare(runs_at([b"t:0"]))
    one.begin_epoch(0, one.end, 0, one.end)
    one.receive(b"c", b"3")
    assert one.has_hole
    assert not one.is_lossy
    assert one.give_up() == (2, False), "sessions of the new epoch may wait for it"
    assert payloads(one) == [b"3"]
    assert one.give_up() == (0, True)
    one.confirm(one.end)
    assert one.give_up() == (0, True)


@pytest.mark.parametrize(("received_at", "lost"), [(9, 0), (10, 0), (11, 3)])
def test_what_a_damaged_log_may_have_held_is_missing_only_for_sessions_of_the_new_epoch(
    received_at: float, lost: int
) -> None:
    one = subscribed(b"0", b"1", tick=b"a")
    one.interrupt(is_lossy=False, received_at=received_at, noted_at=received_at)
    one.tick(b"b")
    one.receive(b"c", b"2")
    one.begin_epoch(10, one.end, 0, one.end)
    one.receive(b"c", b"3")
    assert one.compare(runs_at([b"b:1"])) == lost


def test_what_was_received_after_the_epoch_began_is_missing_if_the_log_passes_it_over() -> None:
    """Its pod stood still meanwhile, and learns of the epoch when it has received all of it."""
    one = subscribed(b"0", b"1", b"2")
    one.begin_epoch(10, 3, 0, 2)
    assert one.tick(b"next") == 0, "it is not known yet what the log holds behind it"
    assert one.compare(runs_at([b"next:0"])) == 1


def test_what_a_damaged_log_may_have_held_is_not_missing_where_no_subscription_ended() -> None:
    one = subscribed(b"0", b"1")
    one.begin_epoch(10, 1, 0, 1)
    assert one.compare(runs_at([b"t:1"])) == 0


@pytest.mark.parametrize("doubted", [0, 1])
def test_a_log_that_is_known_to_be_as_long_leaves_no_hole(doubted: int) -> None:
    one = subscribed(b"0", b"1")
    one.compare(runs_at([b"t:0"]))
    one.begin_epoch(0, doubted, 0, doubted)
    assert not one.has_hole


def test_who_has_no_tick_yet_when_an_epoch_begins_has_a_hole_but_no_loss() -> None:
    one = pod()
    one.begin_epoch(0, 0, 0, 0)
    assert one.has_hole
    assert not one.is_lossy


@pytest.mark.parametrize(("noted_at", "is_lost"), [(9, False), (10, False), (11, True)])
@pytest.mark.parametrize("is_passed_first", [False, True])
def test_an_epoch_excuses_no_subscription_that_was_found_dead_after_it_began(
    noted_at: float, *, is_lost: bool, is_passed_first: bool
) -> None:
    """Redis counted a receiver, no other pod was subscribed, and the next recorder was new."""
    one = subscribed(b"0", tick=b"a")
    one.compare(runs_at([b"a:0"]))
    one.interrupt(is_lossy=True, received_at=0, noted_at=noted_at)
    one.tick(b"b")
    if is_passed_first:
        one.compare(runs_at([b"b:0"]))
    one.begin_epoch(10, 0, 0, 0)
    assert one.is_lossy is (is_lost and not is_passed_first)
    one.compare(runs_at([b"b:1"]))
    one.filled.ask()
    assert one.filled.answer(1) is is_lost


def test_what_came_before_the_epoch_is_reported_with_it() -> None:
    one = subscribed(b"0", b"1")
    one.compare(runs_at([b"t:0"]))
    one.interrupt(is_lossy=False, received_at=9, noted_at=9)
    one.begin_epoch(10, one.end, 0, one.end)
    assert one.give_up() == (1, True)


@pytest.mark.parametrize(("earlier", "lost"), [(0, 3), (2, 1), (3, 0), (4, 0)])
def test_what_came_before_the_epoch_is_not_reported_again_if_the_log_passes_it_over(
    earlier: int, lost: int
) -> None:
    """Two pods have begun to listen one after the other, and the second one records."""
    one = subscribed(b"0", b"1", b"2", tick=b"a")
    one.begin_epoch(10, 0, earlier, one.end)
    assert one.tick(b"b") == 0
    one.receive(b"c", b"3")
    assert one.compare(runs_at([b"b:0"])) == lost


def test_what_a_damaged_log_may_have_held_is_reported_with_the_epoch_that_came_after_it() -> None:
    one = subscribed(b"0", b"1")
    one.begin_epoch(10, one.end, one.end, one.end)
    assert one.give_up() == (2, True)


def test_above_the_bound_the_oldest_are_discarded_which_is_a_loss_unless_others_record_them() -> (
    None
):
    one = pod(max_bytes=5_000)
    one.tick(b"a")
    one.confirm_position(b"a:0")
    for n in range(100):
        one.receive(b"c", b"%d" % n)
    assert one.discarded == 100 - len(one.since(0, 100))
    assert 0 < one.discarded < 100
    assert one.is_lossy
    one.tick(b"b")
    one.receive(b"c", b"new")
    assert one.compare(runs_at([b"a:%d" % n for n in range(100)])) == 0
    one.compare(runs_at([b"b:0"]))
    assert not one.is_lossy


def test_what_is_recorded_takes_no_room() -> None:
    one = pod(max_bytes=5_000)
    one.tick(b"a")
    for n in range(1, 11):
        for _ in range(20):
            one.receive(b"c", b"0")
        one.confirm(20 * n)
    assert one.discarded == 0


def test_a_hole_behind_what_was_discarded_stays() -> None:
    one = pod(max_bytes=1_000)
    one.tick(b"a")
    one.confirm_position(b"a:0")
    for _ in range(3):
        one.receive(b"c", b"0")
    one.tick(b"b")
    one.receive(b"c", b"1")
    one.interrupt(is_lossy=False, received_at=0, noted_at=0)
    one.tick(b"c")
    one.receive(b"c", b"2")
    assert 0 < one.discarded < 3
    one.compare(runs_at([b"b:0"]))
    assert one.has_hole
    assert not one.is_lossy
    one.compare(runs_at([b"c:0"]))
    assert not one.has_hole


@pytest.mark.parametrize("name", [b"pod.1", b"with:colon"])
def test_a_position_names_its_tick_and_its_place(name: bytes) -> None:
    assert Received(name, 7, b"c", b"p").position == name + b":7"
    one = subscribed(b"0", b"1", tick=name)
    one.compare(runs_at([name + b":0"]))
    assert payloads(one) == [b"1"]


@dataclass
class Pod:
    """A subscriber: receives the stream as far as it has been delivered to it."""

    unrecorded: Unrecorded
    next: int = 0
    """The place in the stream that it receives next."""
    read: int = 0
    """How much of the log it has read."""
    began: int = 0
    """How long the log was when it began to read."""
    is_subscribed: bool = True
    lags: bool = False
    is_alive: bool = True
    received: set[int] = field(default_factory=set)
    missed: set[int] = field(default_factory=set)
    """What was sent to it, and was lost with its subscription."""


class Recording(RuleBasedStateMachine):
    """Pods that come late, lag, miss stretches and die; one of them records at a time.

    The stream holds ticks (their names) and messages (None). The log holds positions with the place
    in the stream of what was appended there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stream: list[bytes | None] = []
        self.log: list[tuple[bytes, int]] = []
        self.pods: list[Pod] = []
        self.recorder: Pod | None = None
        self.reported = 0
        """What came before this place of the stream is recorded, or reported as lost."""
        self.renewed = b"", 0
        """What the recorder said last, and how long the log was then."""
        self.late = 0
        """How many recorders were late."""
        self.tick()
        for _ in range(2):
            self.add_pod()

    def add_pod(self) -> None:
        name = b"pod%d" % len(self.pods)
        one = Pod(Unrecorded(name, PLENTY), len(self.stream), len(self.log), len(self.log))
        one.unrecorded.begin_after(self.log[-1][0] if self.log else None)
        self.pods.append(one)
        self.subscribe(one)

    def report(self, missing: int) -> None:
        """A loss ends the epoch: every session begins again, whatever it has missed."""
        if missing:
            self.reported = len(self.stream)

    def report_passed_over(self, one: Pod, missing: int) -> None:
        """Only what was received and is not in the log is passed over."""
        assert missing <= len(one.received - {place for _, place in self.log})
        self.report(missing)

    def subscribe(self, one: Pod) -> None:
        """The tick leaves in the same write: it is the first that the pod receives."""
        one.is_subscribed, one.next = True, len(self.stream)
        self.tick()

    def alive(self) -> list[Pod]:
        return [one for one in self.pods if one.is_alive]

    def pick(self, which: int) -> Pod:
        return self.pods[which % len(self.pods)]

    @rule(count=st.integers(1, 4))
    def publish(self, count: int) -> None:
        self.stream += [None] * count
        self.deliver()

    @rule()
    def tick(self) -> None:
        self.stream.append(b"t%d" % len(self.stream))
        self.deliver()

    @rule(which=st.integers(0, 9))
    def lag_or_catch_up(self, which: int) -> None:
        self.pick(which).lags = not self.pick(which).lags
        self.deliver()

    @rule(which=st.integers(0, 9), is_lossy=st.booleans())
    def interrupt_or_resubscribe(self, which: int, is_lossy: bool) -> None:
        one = self.pick(which)
        if not one.is_alive:
            return
        if one.is_subscribed:
            self.interrupt(one, is_lossy=is_lossy)
        else:
            self.subscribe(one)

    @rule(counts=st.lists(st.integers(0, 2), min_size=2, max_size=4), randomness=st.randoms())
    def kill_all_subscriptions(self, counts: list[int], randomness: random.Random) -> None:
        """So many messages are published after each pod that is subscribed again."""
        for one in self.alive():
            if one.is_subscribed:
                self.interrupt(one, is_lossy=False)
        for one, count in zip(
            randomness.sample(self.alive(), len(self.alive())), counts, strict=False
        ):
            self.subscribe(one)
            self.publish(count)

    def interrupt(self, one: Pod, *, is_lossy: bool) -> None:
        one.is_subscribed = False
        if is_lossy:
            unread = range(one.next, len(self.stream))
            one.missed.update(place for place in unread if self.stream[place] is None)
        one.unrecorded.interrupt(is_lossy=is_lossy, received_at=0, noted_at=0)
        if one is self.recorder:
            self.recorder = None

    @rule(is_replaced=st.booleans(), which=st.integers(0, 9))
    def die(self, is_replaced: bool, which: int) -> None:
        one = self.pick(which)
        one.is_alive = one.is_subscribed = False
        if one is self.recorder:
            self.recorder = None
        if is_replaced or not self.alive():
            self.add_pod()

    @rule(which=st.integers(0, 9))
    def read_the_log(self, which: int) -> None:
        one = self.pick(which)
        fresh = [position for position, _ in self.log[one.read :]]
        one.read = len(self.log)
        if fresh:
            self.report_passed_over(one, one.unrecorded.compare(runs_at(fresh)))

    @rule()
    def renew(self) -> None:
        if self.recorder is not None:
            self.renewed = self.recorder.unrecorded.recorded_position, len(self.log)

    @rule(which=st.integers(0, 9))
    def hear_of_the_renewal(self, which: int) -> None:
        one, (place, length) = self.pick(which), self.renewed
        if one is not self.recorder and one.read >= length >= one.began:
            self.report_passed_over(one, one.unrecorded.confirm_position(place))

    @rule(which=st.integers(0, 9))
    def ask(self, which: int) -> None:
        one = self.pick(which)
        if one.is_alive:
            one.unrecorded.filled.ask()
            self.report(one.unrecorded.filled.answer(self.late))

    @rule(which=st.integers(0, 9))
    def take_over(self, which: int) -> None:
        able = [one for one in self.alive() if one.is_subscribed and one.unrecorded.is_positioned]
        able = [one for one in able if not one.unrecorded.has_hole] or able
        if not able:
            return
        self.recorder = able[which % len(able)]
        self.late += self.recorder.unrecorded.has_hole and not self.recorder.unrecorded.is_lossy
        self.ask(self.pods.index(self.recorder))
        self.read_the_log(self.pods.index(self.recorder))
        self.recorder.lags = False
        self.deliver()
        self.report(self.recorder.unrecorded.give_up()[0])
        self.report(self.recorder.unrecorded.is_lossy)
        self.ask(self.pods.index(self.recorder))
        self.recorder.unrecorded.forgive()
        self.append()

    @rule()
    def append(self) -> None:
        if self.recorder is None:
            return
        unrecorded = self.recorder.unrecorded
        for one in unrecorded.since(unrecorded.begin, PLENTY):
            self.log.append((one.position, int(one.payload)))
        unrecorded.confirm(unrecorded.end)

    def deliver(self) -> None:
        for one in self.pods:
            while one.is_subscribed and not one.lags and one.next < len(self.stream):
                tick, place = self.stream[one.next], one.next
                one.next += 1
                if tick is not None:
                    self.report_passed_over(one, one.unrecorded.tick(tick))
                else:
                    one.unrecorded.receive(b"c", b"%d" % place)
                    one.received.add(place)

    @invariant()
    def nothing_is_in_the_log_twice_or_out_of_order(self) -> None:
        places = [place for _, place in self.log]
        assert places == sorted(set(places))

    def teardown(self) -> None:
        """Once every survivor has recorded, what any of them received is logged or reported."""
        for one in self.alive():
            one.lags = False
            if not one.is_subscribed:
                self.subscribe(one)
        self.deliver()
        self.tick()
        for which, _ in enumerate(self.pods):
            self.take_over(which)
        self.renew()
        for which, _ in enumerate(self.pods):
            self.read_the_log(which)
            self.hear_of_the_renewal(which)
            self.ask(which)
        self.nothing_is_in_the_log_twice_or_out_of_order()
        received = set().union(*(one.received | one.missed for one in self.alive()))
        due = {place for place in received if place >= self.reported}
        assert due <= {place for _, place in self.log}


TestRecording = Recording.TestCase
TestRecording.settings = settings(max_examples=100, stateful_step_count=40)
