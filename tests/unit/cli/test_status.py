"""The state of a deployment, and which problems it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from redis import Redis

from constellation_ws.cli import status
from constellation_ws.cli.redis_connection import RedisFailed
from constellation_ws.cli.refusal import FULL
from constellation_ws.cli.status import Memory, Status
from constellation_ws.redis_io.names import Names
from tests.unit.cli.conftest import NAMES, Deployment, full


@pytest.fixture
def well(deployment: Deployment) -> Status:
    deployment.pod("a", "u1", host="10.0.0.7")
    deployment.pod("b", lives_seconds=4)
    deployment.records("a")
    deployment.redis.xadd(NAMES.log, {"channel": "x", "data": "{}"})
    return status.inspect(deployment.redis, NAMES, "durable")


def test_a_deployment_that_works_has_no_problem(well: Status) -> None:
    assert list(well.problems()) == []
    assert well.log is not None
    assert (well.log.events, well.log.recorder, well.log.epoch) == (1, "a", "e1")
    text = well.to_text()
    assert "10.0.0.7:7757  recorder" in text
    assert "stopping or gone" in text
    assert "1 events, the newest" in text
    assert "off: each event is an entry (CONSTELLATION_LOG_PACKING)" in text
    assert [pod["instance"] for pod in well.facts()["pods"]] == ["a", "b"]


def test_what_keeps_events_from_being_delivered_is_a_problem(well: Status) -> None:
    assert well.log is not None
    nobody = replace(well, pods=[pod for pod in well.pods if pod.is_leaving])
    assert ["no pod is registered" in one for one in nobody.problems()] == [True]
    idle = replace(well, log=replace(well.log, recorder=""))
    assert ["no pod records" in one for one in idle.problems()] == [True]


def test_a_lease_that_has_expired_is_nobody_s(deployment: Deployment) -> None:
    deployment.pod("a")
    deployment.records("a")
    deployment.redis.hset(NAMES.state, "until", 1)
    found = status.inspect(deployment.redis, NAMES, "durable")
    assert found.log is not None
    assert found.log.recorder == ""


def test_the_pods_that_listen_are_shown(deployment: Deployment) -> None:
    for instance in ("a", "b", "c"):
        deployment.pod(instance)
    deployment.records("a")
    deployment.listens("a", "b")
    found = status.inspect(deployment.redis, NAMES, "durable")
    assert found.log is not None
    assert found.log.listeners == ["a", "b"]
    assert found.facts()["log"]["listeners"] == ["a", "b"]
    rows = [line.split() for line in found.to_text().splitlines()[1:4]]
    assert [row[-1] for row in rows] == ["recorder", "listener", "-"]


def test_seats_that_have_expired_are_nobody_s(deployment: Deployment) -> None:
    deployment.pod("a")
    deployment.records("a")
    deployment.listens("a", since_seconds=60)
    found = status.inspect(deployment.redis, NAMES, "durable")
    assert found.log is not None
    assert found.log.listeners == []


def test_a_loss_that_is_recent_is_shown(deployment: Deployment) -> None:
    deployment.pod("a")
    deployment.records("a", reason="rolled_back")
    assert "because of rolled_back: clients got new sessions" in (
        status.inspect(deployment.redis, NAMES, "durable").to_text()
    )


def test_live_delivery_has_no_log(deployment: Deployment) -> None:
    deployment.pod("a")
    found = status.inspect(deployment.redis, NAMES, "live")
    assert found.log is None
    assert list(found.problems()) == []
    assert "epoch" not in found.to_text()


def test_each_partition_s_recorder_and_events_are_shown(deployment: Deployment) -> None:
    deployment.pod("a")
    deployment.pod("b")
    deployment.records("a")
    deployment.listens("a", "b")
    one_alone = status.inspect(deployment.redis, NAMES, "durable")
    assert one_alone.facts()["partitions"] == []
    deployment.redis.hset(NAMES.state, "partitions", 3)
    second, third = NAMES.of_partition(1), NAMES.of_partition(2)
    deployment.redis.xadd(second.log, {"channel": "x", "data": "{}"})
    deployment.redis.xadd(third.log, {"channel": "x", "data": "{}"})
    deployment.records("b", names=second)
    found = status.inspect(deployment.redis, NAMES, "durable")
    assert list(found.problems()) == [
        "no pod records PUBLISHed events of partition 2: see ConstellationRecorderMissing in "
        "docs/operations.md"
    ]
    text = found.to_text()
    assert [line.split()[-1] for line in text.splitlines()[1:3]] == ["recorder", "recorder"]
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert {"recorder 0 a", "recorder 1 b", "recorder 2 (none)"} <= set(rows)
    assert any(row.startswith("log 1 1 events, the newest") for row in rows)
    assert [one["recorder"] for one in found.facts()["partitions"]] == ["b", ""]


def test_what_a_full_redis_hides_is_not_asserted(deployment: Deployment) -> None:
    """No pod can show that it lives, and no recorder can renew its lease."""
    deployment.pod("a", lives_seconds=4)
    deployment.records("a")
    deployment.redis.hset(NAMES.state, "until", 1)
    with full(deployment.redis):
        found = status.inspect(deployment.redis, NAMES, "durable")
        live = status.inspect(deployment.redis, NAMES, "live")
    for one in (found, live):
        first, second = one.problems()
        assert first == FULL
        assert second.startswith("which pods live is not known")
        assert "stopping or gone" not in one.to_text()
        assert [pod["is_leaving"] for pod in one.facts()["pods"]] == [None]
    works = status.inspect(deployment.redis, NAMES, "durable")
    assert "stopping or gone" in works.to_text()


def test_a_full_partition_is_named_and_does_not_hide_the_others(deployment: Deployment) -> None:
    """On a Cluster each partition may be on a Redis of its own."""
    deployment.pod("a")
    deployment.records("a")
    deployment.records("a", names=NAMES.of_partition(1))
    deployment.redis.hset(NAMES.state, "partitions", 3)
    found = status.inspect(deployment.redis, NAMES, "durable")
    zeroth, first, second = found.partitions
    one_is_full = replace(found, further=[first, replace(second, refusal=FULL)])
    assert list(one_is_full.problems()) == [f"partition 2 of the log: {FULL}"]
    assert "recorder 2  not known" in one_is_full.to_text()
    zeroth, *others = [replace(one, refusal=FULL) for one in (zeroth, first, second)]
    all_are = replace(found, log=zeroth, further=others, refusal=FULL)
    assert next(iter(all_are.problems())) == FULL


def test_a_memory_that_is_used_up_refuses_nothing_if_keys_are_evicted() -> None:
    assert Memory(10, 10, "noeviction").is_full
    assert not Memory(10, 10, "allkeys-lru").is_full


@contextmanager
def away_at_partition_1(redis: Redis, names: Names) -> Iterator[Redis]:
    """Reach all partitions but one."""
    if names.partition == 1:
        raise RedisFailed("Redis cannot be used at 10.0.0.2:6379: Connection refused", "Look")
    yield redis


def test_a_partition_that_is_away_is_named_and_the_rest_is_shown(deployment: Deployment) -> None:
    deployment.pod("a")
    deployment.records("a")
    deployment.records("a", names=NAMES.of_partition(2))
    deployment.redis.hset(NAMES.state, "partitions", 3)
    found = status.inspect(deployment.redis, NAMES, "durable", away_at_partition_1)
    assert list(found.problems()) == [
        "partition 1 of the log: Redis cannot be used at 10.0.0.2:6379: Connection refused; its "
        "events wait, those of the other partitions do not"
    ]
    rows = [" ".join(line.split()) for line in found.to_text().splitlines()]
    assert {"recorder 0 a", "log 1 cannot be read, see below", "recorder 2 a"} <= set(rows)
    first, second = json.loads(json.dumps(found.facts()))["partitions"]
    assert (first["partition"], "10.0.0.2:6379" in first["error"]) == (1, True)
    assert second["recorder"] == "a"


def partitions_row(found: Status) -> list[str]:
    rows = [" ".join(line.split()) for line in found.to_text().splitlines()]
    return [row for row in rows if row.startswith("partitions")]


def test_a_number_of_partitions_that_waits_for_pods_is_shown_with_these(
    deployment: Deployment,
) -> None:
    deployment.pod("a", partitions=3)
    deployment.pod("b")
    deployment.pod("c", lives_seconds=4)
    deployment.records("a")
    found = status.inspect(deployment.redis, NAMES, "durable")
    assert found.facts()["widening"] == {"partitions": 3, "waits_for": ["b", "c"]}
    assert [pod["partitions"] for pod in found.facts()["pods"]] == [3, 1, 1]
    assert partitions_row(found) == [
        "partitions 1 in use; 3 once these pods, which follow fewer, are gone: b, c "
        "(CONSTELLATION_LOG_PARTITIONS)"
    ]
    assert list(found.problems()) == []


def test_a_number_of_partitions_that_all_pods_follow_comes_soon_and_is_then_in_use(
    deployment: Deployment,
) -> None:
    deployment.pod("a", partitions=3)
    deployment.pod("b", partitions=3)
    deployment.records("a")
    found = status.inspect(deployment.redis, NAMES, "durable")
    assert partitions_row(found) == ["partitions 1 in use; 3 in some seconds: all pods follow them"]
    deployment.redis.hset(NAMES.state, "partitions", 3)
    used = status.inspect(deployment.redis, NAMES, "durable")
    assert (used.widening, partitions_row(used)) == (None, [])
    with full(deployment.redis):
        hidden = replace(status.inspect(deployment.redis, NAMES, "durable"), log=found.log)
    assert hidden.widening is None, "who lives is not known"
    assert status.inspect(deployment.redis, NAMES, "live").widening is None
