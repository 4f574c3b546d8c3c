"""What pods and Redis use: what the sums must be, whatever the unit costs are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.cli.sizing import usage
from constellation_ws.cli.sizing.load import Bounds, Load, Log
from constellation_ws.cli.sizing.unit_costs import DURABLE, LIVE, MOST_RECENT_BYTES, UnitCosts
from constellation_ws.cli.sizing.usage import Role

BOUNDS = Bounds(1_000_000, 50_000, 2_000, 1_000_000)
EXAMPLE = Load(30_000, 500, 3, 300, 120)
LOADS = st.builds(
    Load,
    users=st.integers(1_000, 100_000),
    events_per_second=st.floats(1, 50_000),
    recipients=st.floats(0, 1_000),
    event_bytes=st.integers(1, 100_000),
    window_seconds=st.floats(5, 3_600),
)
COSTS = st.sampled_from([DURABLE, LIVE])
PODS = st.integers(1, 50)


def cpus(load: Load, pods: int, costs: UnitCosts) -> list[float]:
    return [
        usage.pod_cpu(load, pods, costs, Role.RECORDER).millicores,
        usage.pod_cpu(load, pods, costs, Role.LISTENER).millicores,
        usage.redis_cpu(load, pods, costs).millicores,
    ]


def test_the_cpu_of_an_example() -> None:
    recorder, pod, redis = cpus(EXAMPLE, 3, DURABLE)
    # 8 at rest, 20 for 10,000 connections, 144 for 450 appends, 4 for 500 events, 0.7 for their
    # 146 KiB, 17.6, 5.3 and 1.2 for the 352 events a second that have a recipient here.
    assert recorder == pytest.approx(200.8, abs=0.1)
    # 240 us in place of 320 for each batch.
    assert pod == pytest.approx(recorder - 36)
    # 5.1 at rest, 9 for connections, 81 and 60.8 for batches, 7.5 and 6 for events, 0.4 for KiB.
    assert redis == pytest.approx(169.8, abs=0.1)


def test_the_cpu_of_an_example_with_live_delivery() -> None:
    recorder, pod, redis = cpus(EXAMPLE, 3, LIVE)
    assert recorder == pod == pytest.approx(79.4, abs=0.1)
    assert redis == pytest.approx(44.2, abs=0.1)


def test_what_is_counted_for_the_cpu_of_an_example() -> None:
    large = replace(EXAMPLE, users=30_001, event_bytes=2_048)
    for role, batches in ((Role.RECORDER, "batches, appended"), (Role.LISTENER, "batches")):
        pod = usage.pod_cpu(large, 2, DURABLE, role)
        counts = {term.what: term.per_second for term in pod.terms}
        assert (counts["connections"], counts["KiB of events"]) == (15_000.5, 1_000)
        assert counts[batches] == 450
    redis = {term.what: term.per_second for term in usage.redis_cpu(large, 2, DURABLE).terms}
    assert (redis["connections"], redis["KiB of events"]) == (30_001, 1_000)


def test_a_pod_that_does_not_listen_receives_each_event_once() -> None:
    listener = usage.pod_cpu(EXAMPLE, 5, DURABLE, Role.LISTENER).millicores
    other = usage.pod_cpu(EXAMPLE, 5, DURABLE, Role.POD).millicores
    # 450 batches at 30 us, and 500 events at 4 us.
    assert listener - other == pytest.approx(13.5 + 2)
    four, five = (usage.redis_cpu(EXAMPLE, pods, DURABLE).millicores for pods in (4, 5))
    # At rest, 450 batches at 30 us in place of 45, and 500 events at 4 us.
    assert five - four == pytest.approx(1.7 + 13.5 + 2)


def test_most_pods_listen_only_where_there_are_few() -> None:
    assert usage.roles(3, DURABLE) == {"recorder": Role.RECORDER, "pod": Role.LISTENER}
    assert list(usage.roles(4, DURABLE)) == ["recorder", "listener", "pod"]
    assert usage.roles(4, LIVE) == {"pod": Role.POD}


def test_the_settings_say_how_many_listen() -> None:
    assert list(usage.roles(4, DURABLE, Log(listeners=4))) == ["recorder", "pod"]
    one = usage.roles(3, DURABLE, Log(listeners=1))
    assert one == {"recorder": Role.RECORDER, "pod": Role.POD}
    few, all_pods = (
        usage.redis_cpu(EXAMPLE, 6, DURABLE, Log(listeners)).millicores for listeners in (2, 6)
    )
    assert all_pods - few == pytest.approx(4 * 450 * 15 / 1_000)


def test_with_several_partitions_all_pods_listen_and_record() -> None:
    three = Log(listeners=1, partitions=3)
    assert usage.roles(3, DURABLE, three) == {"recorder": Role.RECORDER}
    assert usage.roles(4, DURABLE, three) == {"recorder": Role.RECORDER, "pod": Role.LISTENER}
    recorder = usage.pod_cpu(EXAMPLE, 3, DURABLE, Role.RECORDER, three)
    counts = {term.what: (term.per_second, term.unit_us) for term in recorder.terms}
    # A third of 320 us, and two thirds of 240.
    assert counts["batches, appended"] == (450, pytest.approx(266.7, abs=0.1))
    assert counts["batches × further partitions"] == (900, 65)
    halved = usage.pod_cpu(EXAMPLE, 2, DURABLE, Role.RECORDER, three)
    assert halved.terms[2].unit_us == pytest.approx(240 + 80 * 2 / 3)


@pytest.mark.parametrize(
    ("rate", "measured"), [(10, 4), (150, 17), (600, 54), (1_500, 63), (3_000, 58), (9_000, 77)]
)
def test_what_two_further_partitions_cost_a_pod_is_as_measured(rate: int, measured: int) -> None:
    load = Load(1, rate, 0, 300, 120)
    one, three = (
        usage.pod_cpu(load, 3, DURABLE, Role.LISTENER, Log(partitions=count)).millicores
        for count in (1, 3)
    )
    assert three - one == pytest.approx(measured, rel=0.35, abs=4)


@pytest.mark.parametrize("pods", range(2, 13))
@pytest.mark.parametrize("recipients", [0.1, 0.3, 1, 1.0000001])
def test_nothing_is_counted_that_is_a_rounding_error(pods: int, recipients: float) -> None:
    load = replace(EXAMPLE, recipients=recipients, events_per_second=33.3)
    further = usage.pod_cpu(load, pods, DURABLE, Role.LISTENER).terms[-1].per_second
    assert further == 0 or further > 1e-9


@given(LOADS, PODS, COSTS)
def test_twice_the_events_cost_twice_the_variable_cpu_where_batches_are_at_their_most(
    load: Load, pods: int, costs: UnitCosts
) -> None:
    costs = replace(costs, most_batches=0)
    silent = replace(load, events_per_second=0)
    doubled = replace(load, events_per_second=2 * load.events_per_second)
    fixed, once, twice = (cpus(one, pods, costs) for one in (silent, load, doubled))
    for rest, one, two in zip(fixed, once, twice, strict=True):
        assert two - rest == pytest.approx(2 * (one - rest))


@given(LOADS, PODS, COSTS)
def test_more_events_never_cost_less_nor_more_than_in_proportion(
    load: Load, pods: int, costs: UnitCosts
) -> None:
    silent = replace(load, events_per_second=0)
    doubled = replace(load, events_per_second=2 * load.events_per_second)
    fixed, once, twice = (cpus(one, pods, costs) for one in (silent, load, doubled))
    for rest, one, two in zip(fixed, once, twice, strict=True):
        assert rest <= one <= two <= rest + 2 * (one - rest) + 1e-6


@given(LOADS, PODS, COSTS)
def test_another_pod_takes_from_each_pod_and_adds_to_redis(
    load: Load, pods: int, costs: UnitCosts
) -> None:
    recorder, pod, redis = cpus(load, pods, costs)
    less_recorder, less_pod, more_redis = cpus(load, pods + 1, costs)
    assert less_recorder <= recorder + 1e-6
    assert less_pod <= pod + 1e-6
    assert more_redis > redis


@given(LOADS, PODS, COSTS)
def test_all_pods_together_deliver_what_was_to_be_delivered(
    load: Load, pods: int, costs: UnitCosts
) -> None:
    terms = {one.what: one for one in usage.pod_cpu(load, pods, costs, Role.LISTENER).terms}
    first = terms["events with a local recipient"].per_second
    further = terms["further local recipients"].per_second
    assert pods * (first + further) == pytest.approx(load.events_per_second * load.recipients)
    assert further >= -1e-6
    assert first <= load.events_per_second


@pytest.mark.parametrize(
    ("recipients", "pods", "share"), [(0, 3, 0), (0.5, 1, 0.5), (1, 4, 0.25), (2, 2, 0.75)]
)
def test_the_share_of_events_with_a_local_recipient(
    recipients: float, pods: int, share: float
) -> None:
    assert usage.local_share(replace(EXAMPLE, recipients=recipients), pods) == share


def test_a_few_events_are_a_batch_each() -> None:
    assert usage.batches(replace(EXAMPLE, events_per_second=20), DURABLE) == 20
    assert usage.batches(replace(EXAMPLE, events_per_second=9_000), DURABLE) == 450


def test_the_network_of_an_example() -> None:
    recorder = usage.pod_network(EXAMPLE, 3, DURABLE, Role.RECORDER)
    pod = usage.pod_network(EXAMPLE, 3, DURABLE, Role.LISTENER)
    redis = usage.redis_network(EXAMPLE, 3, DURABLE)
    copy = 500 * 360
    assert (recorder.received, recorder.sent) == (copy, 2 * copy)
    assert (pod.received, pod.sent) == (2 * copy, copy)
    assert (redis.received, redis.sent) == (2 * copy, 5 * copy)
    live = usage.redis_network(EXAMPLE, 3, LIVE)
    assert (live.received, live.sent) == (copy, 3 * copy)
    assert usage.pod_network(EXAMPLE, 2, DURABLE, Role.LISTENER).sent == 1.5 * copy


@pytest.mark.parametrize(("pods", "partitions"), [(3, 3), (6, 3), (2, 4)])
def test_what_redis_sends_is_what_pods_of_a_divided_log_receive(pods: int, partitions: int) -> None:
    log = Log(partitions=partitions)
    recorders = min(pods, partitions)
    received = sum(
        usage.pod_network(EXAMPLE, pods, DURABLE, role, log).received * count
        for role, count in ((Role.RECORDER, recorders), (Role.LISTENER, pods - recorders))
    )
    assert usage.redis_network(EXAMPLE, pods, DURABLE, log).sent == pytest.approx(received)


@given(LOADS, PODS)
def test_what_redis_sends_is_what_pods_receive(load: Load, pods: int) -> None:
    recorder = usage.pod_network(load, pods, DURABLE, Role.RECORDER)
    pod = usage.pod_network(load, pods, DURABLE, Role.LISTENER)
    listeners = min(pods, 3) - 1
    received = recorder.received + listeners * pod.received
    other = usage.pod_network(load, pods, DURABLE, Role.POD)
    received += (pods - 1 - listeners) * other.received
    assert usage.redis_network(load, pods, DURABLE).sent == pytest.approx(received)


def test_the_memory_of_an_example() -> None:
    redis = usage.redis_memory(EXAMPLE, BOUNDS, DURABLE)
    assert [part.bytes for part in redis.parts] == [2 << 20, 60_000 * 380, 30_000 * 640]
    pod = usage.pod_memory(EXAMPLE, 3, BOUNDS, DURABLE)
    assert [part.bytes for part in pod.parts] == [100 << 20, 60_000 * 400, 10_000 * 4_200]
    assert pod.bytes == sum(part.bytes for part in pod.parts)
    uneven = usage.pod_memory(replace(EXAMPLE, users=30_001), 2, BOUNDS, DURABLE)
    assert uneven.parts[2].count == 15_000.5


def test_settings_limit_the_log_and_pods_limit_their_recent_events() -> None:
    many = replace(EXAMPLE, events_per_second=20_000)
    assert usage.log_entries(many, BOUNDS, DURABLE) == 1_000_000
    assert usage.recent_events(many, BOUNDS, DURABLE).bytes == pytest.approx(MOST_RECENT_BYTES)


def test_without_a_log_there_is_nothing_in_memory() -> None:
    assert usage.redis_memory(EXAMPLE, BOUNDS, LIVE).parts[1].bytes == 0
    assert usage.recent_events(EXAMPLE, BOUNDS, LIVE).bytes == 0
