"""The leases of all partitions spread over the pods, without anybody who appoints."""

from __future__ import annotations

from constellation_ws.delivery.partitioning import Partitioning
from constellation_ws.recording.lease_share import MOST_WAIT_SECONDS, LeaseShare


def share(width: int, pods: int, held: int = 0) -> LeaseShare:
    partitioning = Partitioning()
    partitioning.widen(width)
    made = LeaseShare(partitioning)
    made.note_pods(pods, 0.0)
    for number in range(held):
        made.begin(number)
    return made


def test_with_one_partition_nobody_waits_and_nobody_gives_up() -> None:
    one = share(1, 3, held=1)
    assert one.wait_seconds() == 0
    assert not one.gives_up(0, 100.0)


def test_who_holds_more_asks_later() -> None:
    waits = [share(6, 2, held=held).wait_seconds() for held in range(7)]
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[3] > waits[2] + 0.3, "its share is full"
    assert max(waits) <= MOST_WAIT_SECONDS


def test_a_pod_gives_up_one_after_the_other_until_it_has_its_share() -> None:
    one, now, given = share(6, 4, held=6), 0.0, list[int]()
    while now < 60:
        now += 0.5
        for number in range(6):
            if one.gives_up(number, now):
                one.end(number)
                given.append(number)
    assert given == [5, 4, 3, 2]


def test_nothing_is_given_up_while_pods_come_and_go() -> None:
    one, now = share(3, 1, held=3), 0.0
    for pods in (2, 3, 2, 3, 2, 3):
        now += 1
        one.note_pods(pods, now)
        assert not one.gives_up(2, now)
    assert one.gives_up(2, now + 10)


def test_a_lease_that_ended_otherwise_counts_no_more() -> None:
    one = share(3, 3, held=2)
    one.end(1)
    assert not one.gives_up(0, 100.0)
