"""How many partitions worlds have, and what Redis says of who records them."""

from __future__ import annotations

from tests.partitions import names_of
from tests.simulation.partitions import draw_partitions, recorders_of, width_of
from tests.simulation.redis_model.keyspace import Keyspace


def test_half_of_the_worlds_have_one() -> None:
    drawn = [draw_partitions(str(seed)) for seed in range(400)]
    assert set(drawn) == {(1, 1), (2, 1), (2, 2), (3, 1), (3, 3)}
    assert 150 < drawn.count((1, 1)) < 250
    assert draw_partitions("one") == draw_partitions("one")


def test_the_number_may_be_asked_for() -> None:
    assert {draw_partitions(str(seed), 3) for seed in range(50)} == {(3, 1), (3, 3)}


def test_who_records_is_read_from_the_leases() -> None:
    data = Keyspace(lambda: 100.0)
    assert recorders_of(data, 1) == []
    state = data.open(names_of(0).state.encode(), dict)
    state |= {b"holder": b"pod.a.7", b"until": b"100001"}
    assert recorders_of(data, 1) == ["pod.a"]
    state[b"until"] = b"100000"
    assert recorders_of(data, 1) == [], "the lease has expired"


def test_the_width_is_read_from_the_first_state() -> None:
    data = Keyspace(lambda: 100.0)
    assert width_of(data) == 1
    data.open(names_of(0).state.encode(), dict)[b"partitions"] = b"3"
    assert width_of(data) == 3
