"""How many pods are enough, what each gets, and where the limits are."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.cli.sizing import provision, usage
from constellation_ws.cli.sizing.load import Bounds, Load, Log
from constellation_ws.cli.sizing.provision import NoNumberOfPods
from constellation_ws.cli.sizing.unit_costs import DURABLE, LIVE
from constellation_ws.cli.sizing.usage import Role

BOUNDS = Bounds(1_000_000, 50_000, 2_000, 1_000_000)
EXAMPLE = Load(30_000, 500, 3, 300, 120)
LOADS = st.builds(
    Load,
    users=st.integers(1_000, 1_000_000),
    events_per_second=st.floats(0, 10_000),
    recipients=st.floats(0, 100),
    event_bytes=st.just(300),
    window_seconds=st.just(120.0),
)


def test_an_example() -> None:
    pods = provision.chosen_pods(EXAMPLE, BOUNDS, DURABLE)
    assert pods == 3
    wanted = provision.requests(EXAMPLE, pods, BOUNDS, DURABLE)
    assert wanted.cpu_millicores == 250
    assert wanted.memory_bytes == 320 << 20
    assert wanted.redis_memory_bytes == 64 << 20
    assert not list(provision.problems(EXAMPLE, pods, BOUNDS, DURABLE))
    assert not list(provision.notes(EXAMPLE, pods, BOUNDS, DURABLE))


def test_a_single_pod_gets_what_it_needs_for_all_clients() -> None:
    wanted = provision.requests(EXAMPLE, 1, BOUNDS, DURABLE)
    assert (wanted.cpu_millicores, wanted.memory_bytes) == (300, 384 << 20)


def test_redis_gets_half_as_much_again_as_it_needs() -> None:
    more = replace(EXAMPLE, events_per_second=2_000)
    # 2 MiB of its own, 240,000 events of 380 bytes and 30,000 sessions of 640 are 107.3 MiB.
    assert provision.requests(more, 3, BOUNDS, DURABLE).redis_memory_bytes == 192 << 20


@given(LOADS)
def test_the_suggested_pods_are_the_least_that_are_enough(load: Load) -> None:
    pods = provision.chosen_pods(load, BOUNDS, DURABLE)
    assert not list(provision.pod_faults(load, pods, BOUNDS, DURABLE))
    assert pods == 2 or any(provision.pod_faults(load, pods - 1, BOUNDS, DURABLE))


def test_even_the_smallest_deployment_survives_a_pod() -> None:
    assert provision.chosen_pods(Load(1, 0, 0, 1, 1), BOUNDS, DURABLE) == 2


def test_a_thousand_pods_are_the_most() -> None:
    one_each = replace(BOUNDS, max_connections=1)
    assert provision.suggested_pods(Load(999, 0, 0, 1, 1), one_each, DURABLE) == 1_000
    with pytest.raises(NoNumberOfPods, match="No number of pods up to 1,000 is enough"):
        provision.chosen_pods(Load(1_000, 0, 0, 1, 1), one_each, DURABLE)


def test_where_pods_do_not_help_the_reason_is_given() -> None:
    too_many = replace(EXAMPLE, events_per_second=100_000)
    assert provision.suggested_pods(too_many, BOUNDS, DURABLE) is None
    with pytest.raises(NoNumberOfPods, match=r"uses 1,\d\d\d m of CPU, more than 600 m. See Cells"):
        provision.chosen_pods(too_many, BOUNDS, DURABLE)


def test_a_storm() -> None:
    found = provision.storm(EXAMPLE, 3, BOUNDS, DURABLE)
    assert (found.clients, found.survivors) == (10_000, 2)
    busy = usage.pod_cpu(EXAMPLE, 2, DURABLE, Role.RECORDER).millicores
    assert found.connects_per_second == pytest.approx(2 * (1_000 - busy) * 1_000 / 1_030)
    redis_busy = usage.redis_cpu(EXAMPLE, 2, DURABLE).millicores
    assert found.most_of_redis == pytest.approx((1_000 - redis_busy) * 1_000 / 150)
    assert found.seconds == pytest.approx(1.5 + 10_000 / found.connects_per_second)
    assert found.seconds_at(0.5) == 20_001.5
    assert (found.pod_cpu_seconds, found.redis_cpu_seconds) == (10.3, 1.5)
    assert provision.storm(EXAMPLE, 7, BOUNDS, DURABLE).clients == 4_286


def test_settings_and_redis_limit_a_storm() -> None:
    slow = replace(BOUNDS, max_connects_per_second=100)
    assert provision.storm(EXAMPLE, 3, slow, DURABLE).connects_per_second == 200
    many = replace(EXAMPLE, users=1_000_000)
    found = provision.storm(many, 15, BOUNDS, DURABLE)
    assert found.connects_per_second == found.most_of_redis < found.most_of_pods


def test_without_cpu_a_storm_never_ends() -> None:
    full = replace(EXAMPLE, events_per_second=1_000_000)
    found = provision.storm(full, 3, BOUNDS, DURABLE)
    assert found.connects_per_second == 0
    assert found.seconds == math.inf


def test_a_single_pod_is_replaced_before_its_clients_are_back() -> None:
    found = provision.storm(EXAMPLE, 1, BOUNDS, DURABLE)
    assert (found.clients, found.survivors) == (30_000, 1)


def test_at_its_limit_a_core_is_used_up() -> None:
    full = provision.full_at(EXAMPLE, 3, DURABLE)
    for rate, cpu in (
        (full.recorder, lambda one: usage.pod_cpu(one, 3, DURABLE, Role.RECORDER)),
        (full.pod, lambda one: usage.pod_cpu(one, 3, DURABLE, Role.LISTENER)),
        (full.redis, lambda one: usage.redis_cpu(one, 3, DURABLE)),
    ):
        at_limit = cpu(replace(EXAMPLE, events_per_second=rate))
        assert at_limit.millicores == pytest.approx(1_000)
    assert full.recorder < full.pod
    half = provision.full_at(EXAMPLE, 3, DURABLE, share=0.5)
    assert half.recorder < full.recorder
    assert half.redis < full.redis


def test_what_is_full_without_events_has_the_limit_zero() -> None:
    crowded = replace(EXAMPLE, users=10_000_000)
    assert provision.full_at(crowded, 3, DURABLE).redis == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("load", "pods", "bounds", "says"),
    [
        (replace(EXAMPLE, events_per_second=60_000), 3, BOUNDS, "each other pod uses 1,"),
        (EXAMPLE, 3, replace(BOUNDS, max_connections=14_999), "has 15,000 connections, and"),
        (EXAMPLE, 1, replace(BOUNDS, max_connections=29_999), "has 30,000 connections, and"),
        (
            replace(EXAMPLE, users=30_002),
            4,
            replace(BOUNDS, max_connections=10_000),
            "has 10,001 connections, and",
        ),
        (replace(EXAMPLE, users=90_000), 3, BOUNDS, "need more than 15 s to be connected again"),
        (
            replace(EXAMPLE, events_per_second=20_000),
            3,
            BOUNDS,
            "Redis uses 713 m of CPU, more than 600 m",
        ),
    ],
)
def test_what_does_not_fit_is_a_problem(load: Load, pods: int, bounds: Bounds, says: str) -> None:
    assert any(says in one for one in provision.problems(load, pods, bounds, DURABLE))


def test_what_settings_just_allow_is_no_problem() -> None:
    least = replace(BOUNDS, max_connections=15_000, log_max_entries=60_000)
    assert not list(provision.problems(EXAMPLE, 3, least, DURABLE))
    assert not list(provision.notes(EXAMPLE, 3, least, DURABLE))


def test_what_an_operator_should_know_is_noted() -> None:
    many = replace(EXAMPLE, events_per_second=13_000, window_seconds=200)
    alone, log, recent = provision.notes(many, 1, BOUNDS, DURABLE, Log(is_packed=False))
    assert alone == "with one pod nobody is served until it is replaced"
    assert log.startswith("the log reaches back 77 s only: CONSTELLATION_LOG_MAX_ENTRIES is 1,0")
    assert log.endswith("the window has 2,600,000 events")
    assert recent.startswith("a pod has the events of the last 13 s in memory")
    (live,) = provision.notes(many, 2, BOUNDS, LIVE)
    assert live.startswith("with live delivery clients do not resume")


def test_what_is_not_counted_is_named() -> None:
    fast = replace(EXAMPLE, events_per_second=1_001)
    packed = list(provision.notes(fast, 3, BOUNDS, DURABLE))
    assert any(one.startswith("not counted: packing") for one in packed)
    assert not any("packing" in one for one in provision.notes(EXAMPLE, 3, BOUNDS, DURABLE))
    off = provision.notes(fast, 3, BOUNDS, DURABLE, Log(is_packed=False))
    assert not any("packing" in one for one in off)
    (note,) = provision.notes(EXAMPLE, 3, BOUNDS, DURABLE, Log(partitions=2))
    assert note.startswith("not counted: what the partitions take from the busiest primary")


def test_a_redis_whose_share_is_not_known_is_not_too_busy() -> None:
    fast = replace(EXAMPLE, events_per_second=40_000)
    divided = Log(partitions=3)
    assert any("Redis uses " in one for one in provision.problems(fast, 12, BOUNDS, DURABLE))
    problems = list(provision.problems(fast, 12, BOUNDS, DURABLE, divided))
    assert not any("Redis uses " in one for one in problems)


def test_further_partitions_take_cpu_of_each_pod() -> None:
    one, three = (
        provision.requests(EXAMPLE, 3, BOUNDS, DURABLE, Log(partitions=count)).cpu_millicores
        for count in (1, 3)
    )
    assert three > one
    assert provision.full_at(EXAMPLE, 3, DURABLE, log=Log(partitions=3)).pod > 0
