"""Which messages were received before a moment, and which after it, for certain."""

from __future__ import annotations

import math

from constellation_ws.log.receipt_times import ReceiptTimes


def test_a_message_was_received_after_a_moment_if_it_was_not_there_at_a_later_one() -> None:
    times = ReceiptTimes()
    for now, end in ((1.0, 0), (2.0, 5), (3.0, 5), (4.0, 7)):
        times.note(now, end)
    found = {moment: times.received_after(moment, 9) for moment in (0.0, 1.0, 1.5, 3.0, 3.5, 4.5)}
    assert found == {0.0: 0, 1.0: 0, 1.5: 5, 3.0: 5, 3.5: 7, 4.5: 9}


def test_a_message_was_received_before_a_moment_if_it_was_there_at_an_earlier_one() -> None:
    times = ReceiptTimes()
    for now, end in ((1.0, 3), (2.0, 5), (3.0, 5), (4.0, 7)):
        times.note(now, end)
    found = {moment: times.received_before(moment) for moment in (0.5, 1.0, 2.5, 3.0, 3.5, 4.5)}
    assert found == {0.5: 0, 1.0: 3, 2.5: 3, 3.0: 5, 3.5: 5, 4.5: 7}
    assert ReceiptTimes().received_before(1.0) == 0


def test_nothing_is_known_where_nothing_was_noted() -> None:
    assert ReceiptTimes().received_after(-math.inf, 4) == 4


def test_old_moments_are_forgotten() -> None:
    times = ReceiptTimes()
    for now in range(5_000):
        times.note(now, now)
    assert times.received_after(0.0, 6_000) == 4_000
