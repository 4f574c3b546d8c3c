"""What a disaster excuses, and for how long."""

from __future__ import annotations

from tests.chaos.timeline import CALM, LAG_MS, REPORT_MS, STARVED, TAKE_OVER_MS, Strike, Timeline

HANG = Strike("hang", 2_000, 8_000, is_lossy=True)
ROLL = Strike("roll", 3_000, 20_000)
STALL = Strike("stall", 1_000, 5_000, group="stalling")


def test_a_loss_is_to_be_reported_within_a_bound_of_undisturbed_time() -> None:
    assert Timeline().deadline(500) == 500 + REPORT_MS
    assert Timeline([HANG]).deadline(500) == 500 + REPORT_MS + 6_000
    assert Timeline([HANG]).deadline(5_000) == 8_000 + REPORT_MS
    assert Timeline([HANG]).deadline(9_000) == 9_000 + REPORT_MS
    far = Strike("hang", 500 + REPORT_MS, 900_000, is_lossy=True)
    assert Timeline([far]).deadline(500) == 500 + REPORT_MS


def test_what_costs_no_events_extends_nothing() -> None:
    assert Timeline([ROLL]).deadline(4_000) == 4_000 + REPORT_MS


def test_a_stall_extends_it_for_those_who_are_stalled() -> None:
    assert Timeline([STALL]).deadline(2_000) == 2_000 + REPORT_MS
    assert Timeline([STALL]).deadline(2_000, "stalling") == 5_000 + REPORT_MS


def test_overlapping_disasters_count_once() -> None:
    short = Strike("full", 3_000, 4_000, is_lossy=True)
    assert Timeline([HANG, short]).deadline(5_000) == 8_000 + REPORT_MS
    assert Timeline([HANG, short]).deadline(1_000) == 8_000 + REPORT_MS - 1_000


def test_a_disaster_that_lasts_excuses_without_end() -> None:
    assert Timeline([Strike("hang", 0, is_lossy=True)]).deadline(1) == float("inf")


def test_pods_are_behind_for_as_long_as_a_disaster_holds_them() -> None:
    assert Timeline([HANG, ROLL]).caught_up(500) == 8_000 + TAKE_OVER_MS + LAG_MS
    assert Timeline([HANG, ROLL]).caught_up(14_000) == 14_000 + LAG_MS
    assert Timeline([ROLL]).caught_up(500) == 500 + LAG_MS
    pause = Strike("pause", 1_000, 8_000, delays=True)
    assert Timeline([pause]).caught_up(500) == 8_000 + TAKE_OVER_MS + LAG_MS
    assert not Timeline([pause]).may_lose(1_000, 8_000)


def test_events_wait_for_who_records_after_a_pod_that_died() -> None:
    kill = Strike("kill", 1_000, 2_000, delays=True)
    hang = Strike("hang", 6_500, 9_000, is_lossy=True)
    assert Timeline([kill, hang]).caught_up(1_100) == 9_000 + TAKE_OVER_MS + LAG_MS


def test_only_lossy_disasters_and_their_aftermath_excuse_a_new_session() -> None:
    assert Timeline([HANG]).may_lose(8_500, 9_000)
    assert Timeline([HANG]).may_lose(1_000, 2_500)
    assert not Timeline([HANG]).may_lose(1_000, 1_500)
    assert not Timeline([HANG]).may_lose(9_000 + REPORT_MS, 9_500 + REPORT_MS)
    assert not Timeline([ROLL, STALL]).may_lose(3_500, 4_000)


def test_what_happens_is_put_down_to_the_latest_disaster() -> None:
    timeline = Timeline([ROLL, HANG])
    assert [timeline.name_at(ms) for ms in (0, 2_000, 3_500, 99_000)] == [
        CALM, "hang", "roll", "roll",
    ]  # fmt: skip
    timeline.begin(Strike("kill", 30_000))
    assert timeline.name_at(30_001) == "kill"


def test_a_starved_machine_excuses_and_is_no_disaster() -> None:
    starved = Strike(STARVED, 4_000, 6_000, is_lossy=True)
    timeline = Timeline([ROLL, starved])
    assert timeline.name_at(5_000) == "roll"
    assert timeline.names() == ["roll"]
    assert timeline.starved_ms() == 2_000
    assert timeline.may_lose(6_500, 7_000)
