"""All figures of a deployment: which roles there are, and for how many pods."""

from __future__ import annotations

from constellation_ws.cli.sizing import deployment, provision, usage
from constellation_ws.cli.sizing.load import Bounds, Load
from constellation_ws.cli.sizing.unit_costs import DURABLE, LIVE
from constellation_ws.cli.sizing.usage import Role

BOUNDS = Bounds(1_000_000, 50_000, 2_000, 1_000_000)
EXAMPLE = Load(30_000, 500, 3, 300, 120)


def test_without_a_number_of_pods_it_is_the_suggested_one() -> None:
    found = deployment.compute("durable", EXAMPLE, BOUNDS, None)
    assert (found.pods, found.is_suggested) == (3, True)
    given = deployment.compute("durable", EXAMPLE, BOUNDS, 3)
    assert not given.is_suggested
    assert (given.cpu, given.network, given.memory) == (found.cpu, found.network, found.memory)


def test_with_a_log_one_pod_is_the_recorder() -> None:
    found = deployment.compute("durable", EXAMPLE, BOUNDS, 4)
    assert list(found.cpu) == list(found.network) == ["recorder", "listener", "pod", "redis"]
    for name, role in usage.roles(4, DURABLE).items():
        assert found.cpu[name] == usage.pod_cpu(EXAMPLE, 4, DURABLE, role)
        assert found.network[name] == usage.pod_network(EXAMPLE, 4, DURABLE, role)
    assert found.memory["redis"] == usage.redis_memory(EXAMPLE, BOUNDS, DURABLE)


def test_with_live_delivery_all_pods_are_equal() -> None:
    found = deployment.compute("live", EXAMPLE, BOUNDS, 4)
    assert list(found.cpu) == list(found.network) == ["pod", "redis"]
    assert found.cpu["pod"] == usage.pod_cpu(EXAMPLE, 4, LIVE, Role.POD)
    assert found.network["pod"] == usage.pod_network(EXAMPLE, 4, LIVE, Role.POD)
    assert found.memory["pod"] == usage.pod_memory(EXAMPLE, 4, BOUNDS, LIVE)
    assert found.storm == provision.storm(EXAMPLE, 4, BOUNDS, LIVE)
    assert found.full_at == provision.full_at(EXAMPLE, 4, LIVE)


def test_what_does_not_fit_is_in_it() -> None:
    found = deployment.compute("durable", EXAMPLE, BOUNDS, 1)
    assert found.problems == tuple(provision.problems(EXAMPLE, 1, BOUNDS, DURABLE))
    assert found.problems
    assert found.notes == ("with one pod nobody is served until it is replaced",)
