"""The judge of the chaos journey sees what is wrong, and only that."""

from __future__ import annotations

import pytest

from tests.chaos.verdict import SETTLING_MS, Log, Sent, Story, Verdict, judge

U, R = "u", "r"
NOBODY = frozenset[str]()
TO_ME, TO_ROOM = (frozenset([U]), NOBODY), (NOBODY, frozenset([R]))
TO_OTHERS = (frozenset(["x"]), frozenset(["y"]))
LATE = SETTLING_MS + 1_000


def log_of(*audiences: tuple[frozenset[str], frozenset[str]]) -> Log:
    return Log([Sent(n, LATE + n, *audience) for n, audience in enumerate(audiences, 1)])


def judged(log: Log, *entries: object) -> Verdict:
    return judge(log, Story("c", "k", U, frozenset([R]), entries))


CONNECT, JOINED = ["connect", 0, False], ["joined", 0, R]
LOG = log_of(TO_ME, TO_ROOM, TO_OTHERS, TO_ME)


def test_all_in_order_is_clean() -> None:
    assert judged(LOG, CONNECT, JOINED, 1, 2, 4).is_clean


@pytest.mark.parametrize(
    ("received", "fault"),
    [
        ((1, 2), ("missing", [4])),
        ((1, 4), ("missing", [2])),
        ((2, 4), ("missing", [1])),
        ((1, 2, 2, 4), ("doubled", [2])),
        ((2, 1, 4), ("disordered", [1])),
        ((1, 2, 3, 4), ("unexpected", [3])),
        ((1, 2, 4, 9), ("unexpected", [9])),
    ],
)
def test_every_kind_of_fault_is_named(
    received: tuple[int, ...], fault: tuple[str, list[int]]
) -> None:
    verdict = judged(LOG, CONNECT, JOINED, *received)
    assert not verdict.is_clean
    assert getattr(verdict, fault[0]) == fault[1]


def test_a_recovered_account_goes_on_and_what_is_replayed_belongs_to_it() -> None:
    away = [["lost", 10, "transport close"], 2, ["connect", 20, True]]
    verdict = judged(LOG, CONNECT, JOINED, 1, *away, 4)
    assert verdict.is_clean
    assert (verdict.recovered, verdict.away_ms) == (1, [10])
    assert judged(LOG, CONNECT, JOINED, 1, away[0], away[2], 4).missing == [2]
    assert judged(LOG, CONNECT, JOINED, 1, away[0], 1, 2, away[2], 4).doubled == [1]


def test_who_is_told_begins_a_new_account() -> None:
    told = [["lost", 10, "ping timeout"], ["connect", LATE + 3, False], ["joined", LATE + 3, R]]
    verdict = judged(LOG, CONNECT, JOINED, 1, *told, 4)
    assert verdict.is_clean
    assert verdict.told_ms == [LATE + 3]


def test_a_room_counts_from_the_answer_to_its_join_or_its_first_event() -> None:
    assert judged(LOG, CONNECT, 1, 4).is_clean
    assert judged(LOG, CONNECT, 1, 2, ["joined", LATE + 5, R], 4).is_clean
    assert judged(LOG, CONNECT, 1, ["joined", LATE + 5, R], 4).is_clean
