"""The judge of the chaos runs sees each broken promise that is planted, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.ledger import Event, Ledger, Outcome, Way
from tests.chaos.losses import Counts, unreported
from tests.chaos.story import Story, read
from tests.chaos.timeline import LAG_MS, REPORT_MS, Strike, Timeline
from tests.chaos.verdict import Fault, Verdict, judge

ME, ROOM = "me", "room"
LATE = 100_000
"""After everything that stories tell, and after every deadline."""


def event(number: int, **fields: object) -> Event:
    """An acknowledged event for me, sent at `number` seconds and acknowledged 10 ms later."""
    sent_ms = number * 1_000
    standard = Event(
        number, Way.XADD, frozenset([ME]), frozenset(), "lane", number, sent_ms, sent_ms + 10,
        Outcome.ACCEPTED,
    )  # fmt: skip
    return replace(standard, **fields)  # type: ignore[arg-type]  # checked by dataclasses


def in_room(number: int, **fields: object) -> Event:
    return event(number, users=frozenset(), rooms=frozenset([ROOM]), **fields)


def story(*entries: list[object], **fields: object) -> Story:
    return Story("client", "kind", ME, entries, **fields)  # type: ignore[arg-type]


def connect(second: float, pid: str = "p", *, recovered: bool = False) -> list[object]:
    return ["connect", second * 1_000, f"sid of {pid}", pid, recovered]


def lost(second: float) -> list[object]:
    return ["lost", second * 1_000, "transport close"]


def got(*numbers: int, at: float = 50) -> list[list[object]]:
    return [["event", at * 1_000, number] for number in numbers]


def judged(
    events: list[Event], *entries: list[object], strikes: tuple[Strike, ...] = ()
) -> Verdict:
    return judge(Ledger(events), story(*entries), Timeline(strikes))


def faults(verdict: Verdict) -> list[tuple[Fault, int | None]]:
    return [(one.fault, one.number) for one in verdict.findings]


ONE_TO_FOUR = [event(n) for n in range(1, 5)]
RESTART = Strike("restart", 2_500, 4_000, is_lossy=True)


def test_everything_once_and_in_order_is_right() -> None:
    verdict = judged(ONE_TO_FOUR, connect(0), *got(1, 2, 3, 4))
    assert verdict.findings == []
    assert verdict.lost == []
    assert verdict.is_connected
    assert verdict.has(4)
    assert not verdict.has(5)


@pytest.mark.parametrize(
    ("received", "fault"),
    [
        ((1, 2, 3), (Fault.MISSING, 4)),
        ((1, 3, 4), (Fault.MISSING, 2)),
        ((2, 3, 4), (Fault.MISSING, 1)),
        ((1, 2, 2, 3, 4), (Fault.DOUBLED, 2)),
        ((1, 2, 3, 4, 1), (Fault.DOUBLED, 1)),
        ((2, 1, 3, 4), (Fault.DISORDERED, 1)),
        ((1, 2, 4, 3), (Fault.DISORDERED, 3)),
        ((1, 2, 3, 4, 9), (Fault.STRAY, 9)),
    ],
)
def test_each_planted_fault_is_found_and_is_the_only_one(
    received: tuple[int, ...], fault: tuple[Fault, int]
) -> None:
    assert faults(judged(ONE_TO_FOUR, connect(0), *got(*received))) == [fault]


def test_what_is_for_others_or_was_refused_must_not_arrive() -> None:
    others = event(1, users=frozenset(["you"]))
    refused = event(2, outcome=Outcome.REFUSED)
    assert faults(judged([others, refused], connect(0), *got(1, 2))) == [
        (Fault.STRAY, 1),
        (Fault.STRAY, 2),
    ]
    assert judged([others, refused], connect(0)).findings == []


def test_what_a_client_should_never_see_is_a_fault() -> None:
    wrong: list[object] = ["wrong", 10, "an argument too many"]
    assert faults(judged([], connect(0), wrong)) == [(Fault.STRAY, None)]


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.UNDER_WAY])
def test_an_unknown_outcome_may_arrive_or_not_but_only_once(outcome: Outcome) -> None:
    unknown = [event(1), event(2, outcome=outcome), event(3)]
    assert judged(unknown, connect(0), *got(1, 3)).findings == []
    assert faults(judged(unknown, connect(0), *got(2, 1, 3))) == [(Fault.DISORDERED, 1)]
    assert judged(unknown, connect(0), *got(1, 3, 2)).findings == []
    assert faults(judged(unknown, connect(0), *got(1, 2, 3, 2))) == [(Fault.DOUBLED, 2)]


class TestOrder:
    def test_publish_and_the_log_are_two_sequences(self) -> None:
        mixed = [event(1, way=Way.PUBLISH, lane="bus"), event(2), event(3, way=Way.TCP, lane="tcp")]
        assert judged(mixed, connect(0), *got(2, 1, 3)).findings == []
        assert faults(judged(mixed, connect(0), *got(1, 3, 2))) == [(Fault.DISORDERED, 2)]

    def test_what_overlaps_has_an_order_only_on_one_connection(self) -> None:
        overlapping = [event(1, settled_ms=9_000), event(2, settled_ms=9_000)]
        assert faults(judged(overlapping, connect(0), *got(2, 1))) == [(Fault.DISORDERED, 1)]
        apart = [overlapping[0], replace(overlapping[1], lane="another")]
        assert judged(apart, connect(0), *got(2, 1)).findings == []

    def test_an_event_that_was_sent_again_counts_from_its_last_attempt(self) -> None:
        again = [event(1, place=3, sent_ms=3_000, settled_ms=3_010), event(2)]
        assert judged(again, connect(0), *got(2, 1)).findings == []
        assert faults(judged(again, connect(0), *got(1, 2))) == [(Fault.DISORDERED, 2)]

    def test_where_the_log_has_partitions_only_events_of_one_room_have_an_order(self) -> None:
        parts = [event(1, sequence="chat:a"), event(2, sequence="chat:b")]
        parts.append(event(3, sequence="chat:a"))
        assert judged(parts, connect(0), *got(2, 1, 3)).findings == []
        assert judged(parts, connect(0), *got(1, 3, 2)).findings == []
        assert faults(judged(parts, connect(0), *got(3, 2, 1))) == [(Fault.DISORDERED, 1)]

    def test_producers_need_not_choose_the_partition_that_pods_do(self) -> None:
        ways = [event(1, sequence="chat:a"), event(2, way=Way.TCP, lane="tcp", sequence="chat:a")]
        assert judged(ways, connect(0), *got(2, 1)).findings == []
        again = replace(ways[1], number=3, sent_ms=3_000, settled_ms=3_010, lane="another")
        assert faults(judged([*ways, again], connect(0), *got(3, 1, 2))) == [(Fault.DISORDERED, 2)]


class TestRecovered:
    def test_what_is_replayed_before_the_connect_belongs_to_the_session(self) -> None:
        entries = (connect(0), *got(1), lost(1.5), *got(2, 3), connect(3.5, recovered=True))
        verdict = judged(ONE_TO_FOUR, *entries, *got(4))
        assert verdict.findings == []
        assert (verdict.recovered_ms, verdict.new_sessions_ms) == ([3_500], [])

    def test_missing_after_recovered_is_a_fault_even_with_a_disaster(self) -> None:
        entries = (connect(0), *got(1), lost(1.5), connect(3.5, recovered=True), *got(3, 4))
        assert faults(judged(ONE_TO_FOUR, *entries, strikes=(RESTART,))) == [(Fault.MISSING, 2)]

    def test_a_later_new_session_does_not_excuse_a_false_recovered(self) -> None:
        entries = (connect(0), *got(1), lost(1.5), connect(3.5, recovered=True), lost(5))
        verdict = judged([event(1), event(2)], *entries, connect(6, "q"), strikes=(RESTART,))
        assert faults(verdict) == [(Fault.MISSING, 2)]

    def test_doubled_by_a_replay(self) -> None:
        entries = (connect(0), *got(1), lost(1.5), *got(1, 2), connect(3.5, recovered=True))
        assert faults(judged(ONE_TO_FOUR[:2], *entries)) == [(Fault.DOUBLED, 1)]

    def test_recovered_with_another_session_is_a_fault(self) -> None:
        entries = (connect(0), lost(1), connect(2, "q", recovered=True))
        assert faults(judged([], *entries)) == [(Fault.STRAY, None)]


class TestNewSession:
    def test_excuses_what_was_lost_a_moment_before(self) -> None:
        strikes = (Strike("flushall", 1_900, 1_900, is_lossy=True),)
        entries = (connect(0), *got(1, 3), lost(4), connect(4.5, "q"))
        assert judged(ONE_TO_FOUR[:3], *entries, strikes=strikes).findings == []

    def test_excuses_what_was_sent_while_nobody_was_connected(self) -> None:
        entries = (connect(0), *got(1), lost(1.5), connect(3.5, "q"), *got(4))
        assert judged(ONE_TO_FOUR, *entries, strikes=(RESTART,)).findings == []

    def test_does_not_excuse_what_was_lost_long_before(self) -> None:
        gone = 2 + REPORT_MS / 1_000 + 1
        strikes = (Strike("flushall", int(gone * 1_000), int(gone * 1_000), is_lossy=True),)
        entries = (connect(0), *got(1, 3), lost(gone), connect(gone + 1, "q"))
        assert faults(judged(ONE_TO_FOUR[:3], *entries, strikes=strikes)) == [(Fault.MISSING, 2)]

    def test_time_during_a_disaster_does_not_count_against_the_report(self) -> None:
        gone = 4 + REPORT_MS / 1_000 - 1
        entries = (connect(0), *got(1, 3), lost(gone), connect(gone + 1, "q"))
        assert judged(ONE_TO_FOUR[:3], *entries, strikes=(RESTART,)).findings == []

    def test_without_a_reason_is_a_fault_for_who_has_offsets(self) -> None:
        entries = (connect(0), lost(1), connect(3, "q"))
        assert faults(judged([], *entries)) == [(Fault.NEEDLESS, None)]
        assert judged([], *entries, strikes=(RESTART,)).findings == []
        roll = Strike("roll", 500, 1_500)
        assert faults(judged([], *entries, strikes=(roll,))) == [(Fault.NEEDLESS, None)]
        for excused in ({"has_offsets": False}, {"can_resume": False}):
            verdict = judge(Ledger(), story(*entries, **excused), Timeline())
            assert verdict.findings == []

    def test_must_not_bring_again_what_was_delivered_long_before(self) -> None:
        strikes = (Strike("flushall", 3_000, 3_000, is_lossy=True),)
        later = 3 + LAG_MS / 1_000
        entries = (connect(0), *got(1, 2), lost(later), connect(later + 0.5, "q"), *got(1))
        assert faults(judged(ONE_TO_FOUR[:2], *entries, strikes=strikes)) == [(Fault.DOUBLED, 1)]

    def test_may_bring_what_its_pod_had_not_read_yet(self) -> None:
        strikes = (Strike("hang", 2_500, 8_000, is_lossy=True),)
        entries = (connect(0), *got(1, 2), lost(3), connect(8.5, "q"), *got(2))
        assert judged(ONE_TO_FOUR[:2], *entries, strikes=strikes).findings == []


class TestRooms:
    ASK, JOINED = ["ask", 500, "join", ROOM], ["joined", 1_500, ROOM]

    def test_an_acknowledged_join_holds(self) -> None:
        entries = (connect(0), self.ASK, self.JOINED)
        assert faults(judged([in_room(2)], *entries)) == [(Fault.MISSING, 2)]
        assert judged([in_room(2)], *entries, *got(2)).findings == []

    def test_it_holds_over_a_recovered_reconnect_and_ends_with_the_session(self) -> None:
        away = (connect(0), self.ASK, self.JOINED, lost(2.5))
        recovered = judged([in_room(4)], *away, connect(3, recovered=True))
        assert faults(recovered) == [(Fault.MISSING, 4)]
        assert judged([in_room(4)], *away, connect(3, "q"), strikes=(RESTART,)).findings == []

    def test_between_request_and_answer_either_is_right(self) -> None:
        assert judged([in_room(1)], connect(0), self.ASK, self.JOINED).findings == []
        assert judged([in_room(1)], connect(0), self.ASK, *got(1), self.JOINED).findings == []
        refused: list[object] = ["refused", 1_500, ROOM, "unavailable"]
        assert judged([in_room(2)], connect(0), self.ASK, refused).findings == []

    def test_never_asked_for_must_not_arrive(self) -> None:
        assert faults(judged([in_room(2)], connect(0), *got(2))) == [(Fault.STRAY, 2)]

    def test_an_acknowledged_leave_holds(self) -> None:
        leave = (["ask", 2_500, "leave", ROOM], ["left", 3_500, ROOM])
        entries = (connect(0), self.ASK, self.JOINED, *leave)
        events = [in_room(2), in_room(3), in_room(4)]
        assert judged(events, *entries, *got(2)).findings == []
        assert judged(events, *entries, *got(3)).findings == []
        assert faults(judged(events, *entries, *got(4))) == [(Fault.STRAY, 4)]

    def test_what_was_delivered_before_it_was_asked_for_must_not_arrive(self) -> None:
        late = (["ask", 5_000, "join", ROOM], ["joined", 5_100, ROOM])
        early, events = 5 - LAG_MS / 1_000, [in_room(3), in_room(4)]
        assert event(3).settled_ms / 1_000 < early < event(4).settled_ms / 1_000
        assert faults(judged(events, connect(0), *late, *got(3))) == [(Fault.STRAY, 3)]
        assert judged(events, connect(0), *late, *got(4)).findings == []
        unknown = in_room(3, outcome=Outcome.UNKNOWN)  # it may have been recorded at any time
        assert judged([unknown], connect(0), *late, *got(3)).findings == []

    def test_who_is_removed_by_a_backend_gets_nothing_until_it_joins_again(self) -> None:
        removed = (["removing", 2_500, ROOM], ["removed", 3_500, ROOM])
        entries = (connect(0), self.ASK, self.JOINED, *removed)
        events = [in_room(3), in_room(4)]
        assert judged(events, *entries, *got(3)).findings == []
        assert faults(judged(events, *entries, *got(4))) == [(Fault.STRAY, 4)]
        again = (["ask", 8_000, "join", ROOM], ["joined", 8_100, ROOM])
        assert faults(judged(events, *entries, *again, *got(4))) == [(Fault.STRAY, 4)]
        assert judged([in_room(9)], *entries, *again, *got(9)).findings == []

    def test_what_was_sent_just_before_a_leave_may_be_recorded_after_it(self) -> None:
        stays = 2 + REPORT_MS / 1_000 + 1
        for second, found in ((3, []), (stays, [(Fault.MISSING, 2)])):
            leave: list[object] = ["ask", second * 1_000, "leave", ROOM]
            assert faults(judged([in_room(2)], connect(0), self.ASK, self.JOINED, leave)) == found

    def test_a_room_that_is_joined_again_is_due_again(self) -> None:
        leave = (["ask", 2_500, "leave", ROOM], ["left", 2_600, ROOM])
        again = (["ask", 2_700, "join", ROOM], ["joined", 2_800, ROOM])
        entries = (connect(0), self.ASK, self.JOINED, *leave, *again)
        assert faults(judged([in_room(3)], *entries)) == [(Fault.MISSING, 3)]

    def test_an_event_for_user_and_room_is_due_once(self) -> None:
        both = event(2, rooms=frozenset([ROOM]))
        entries = (connect(0), self.ASK, self.JOINED)
        assert faults(judged([both], *entries)) == [(Fault.MISSING, 2)]
        assert faults(judged([both], *entries, *got(2, 2))) == [(Fault.DOUBLED, 2)]


def test_slack_leaves_open_what_is_sent_right_after_the_connect() -> None:
    assert judge(Ledger([event(1)]), story(connect(0)), Timeline(), slack_ms=1_500).findings == []
    assert judge(Ledger([event(2)]), story(connect(0)), Timeline(), slack_ms=1_500).findings != []


def test_a_client_that_never_came_back_is_not_connected() -> None:
    verdict = judged(ONE_TO_FOUR, connect(0), *got(1), lost(1.5))
    assert not verdict.is_connected
    assert not judged(ONE_TO_FOUR).is_connected


def test_what_is_no_entry_of_a_story_stops_the_judge() -> None:
    with pytest.raises(ValueError, match="no entry"):
        read(story(["connected", 0]))


class TestLosses:
    def test_what_a_steady_connection_lacks_is_lost_though_a_new_session_excuses_it(self) -> None:
        strikes = (Strike("flushall", 1_900, 1_900, is_lossy=True),)
        entries = (connect(0), *got(1), lost(11.5), connect(11.7, "q"))
        verdict = judged(ONE_TO_FOUR[:2], *entries, strikes=strikes)
        assert verdict.findings == []
        assert [one.number for one in verdict.lost] == [2]

    def test_what_a_link_that_was_cut_lacks_says_nothing(self) -> None:
        entries = (connect(0), *got(1), lost(2.5), connect(4, "q"))
        assert judged(ONE_TO_FOUR[:2], *entries, strikes=(RESTART,)).lost == []
        away = story(connect(0), *got(1), group="stalling")
        assert judge(Ledger(ONE_TO_FOUR[:2]), away, Timeline()).lost == []

    def test_a_loss_must_be_counted_by_some_pod_in_time(self) -> None:
        counts = Counts()
        lost_events = [event(2), event(2)]
        assert [one.number for one in unreported(lost_events, counts, Timeline())] == [2]
        counts.sample("pod-1", 1_000, 3)
        counts.sample("pod-2", 1_000, 0)
        counts.sample("pod-1", 4_000, 3)
        assert unreported(lost_events, counts, Timeline()) != []
        counts.sample("pod-2", 4_000, 1)
        assert unreported(lost_events, counts, Timeline()) == []
        assert unreported([event(60)], counts, Timeline()) != []


def test_what_was_published_while_its_links_were_cut_may_arrive_or_not() -> None:
    events = [event(n, way=Way.PUBLISH) for n in (1, 2, 3)] + [event(4)]
    ledger = Ledger(events)
    ledger.doubt([(1_900, 2_005), (4_000, 4_020)])
    assert [one.outcome for one in events] == [
        Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.ACCEPTED, Outcome.ACCEPTED,
    ]  # fmt: skip
