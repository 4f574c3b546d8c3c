"""Positions in the Pub/Sub stream, found by their ticks."""

from __future__ import annotations

import pytest

from constellation_ws.log.pubsub_positions import Received, Stretches, parse_position


@pytest.mark.parametrize("tick", [b"pod.1", b"with:colon"])
def test_a_position_names_its_tick_and_its_index(tick: bytes) -> None:
    assert parse_position(Received(tick, 7, b"c", b"{}").position) == (tick, 7)


def test_a_position_without_an_index_is_the_first() -> None:
    assert parse_position(b"tick:x") == (b"tick", 0)


def test_a_position_is_found_by_its_tick_and_bounded_by_the_next_one() -> None:
    stretches = Stretches()
    stretches.begin(b"a", 0, 1)
    stretches.begin(b"b", 3, 1)
    found = stretches.find(b"a:5")
    assert found is not None
    stretch, number = found
    assert (number, stretch.clamp(number)) == (5, 3)
    assert stretches.find(b"c:0") is None


def test_very_old_ticks_are_forgotten() -> None:
    stretches = Stretches()
    for number in range(5_000):
        stretches.begin(b"t%d" % number, number, 1)
    assert stretches.find(b"t0:0") is None
    assert stretches.find(b"t4500:0") is not None
