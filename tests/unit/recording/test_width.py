"""From where in the stream on how many partitions of the log are used."""

from __future__ import annotations

import pytest

from constellation_ws.delivery.partitioning import Partitioning
from constellation_ws.recording.width import Mark, TooFewPartitions, Width, read_mark


def test_a_pod_with_one_partition_marks_no_tick() -> None:
    assert Width(Partitioning(), 1).mark() == b""


def test_a_tick_says_how_many_there_are_and_how_many_there_will_be() -> None:
    width = Width(Partitioning(), 12)
    assert width.mark() == b"/1"
    width.note(12)
    assert width.mark() == b"/1>12"
    width.partitioning.widen(12)
    assert width.mark() == b"/12"


@pytest.mark.parametrize(
    ("tick", "mark"),
    [
        (b"pod.1", None),
        (b"pod.1/3", Mark(3, 3)),
        (b"pod.1/1>3", Mark(1, 3)),
        (b"pod.1/12>24", Mark(12, 24)),
        (b"", None),
        (b"pod/3.1", None),
        (b"pod.1/", None),
        (b"pod.1/>3", None),
    ],
)
def test_a_mark_is_read_from_a_tick(tick: bytes, mark: Mark | None) -> None:
    assert read_mark(tick) == mark


def test_what_redis_says_only_rises() -> None:
    width = Width(Partitioning(), 3)
    width.note(3)
    width.note(1)
    assert width.known == 3


def test_a_pod_that_follows_fewer_says_what_to_set() -> None:
    with pytest.raises(TooFewPartitions, match="CONSTELLATION_LOG_PARTITIONS is 2"):
        Width(Partitioning(), 2).note(3)
