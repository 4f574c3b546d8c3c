"""Whether Redis accepts writes is found out without one."""

from __future__ import annotations

import pytest

from constellation_ws.cli.redis_connection import RedisFailed
from constellation_ws.cli.refusal import FULL, refusal, require_writes
from tests.unit.cli.conftest import NAMES, Deployment, full


def test_a_redis_that_accepts_writes_has_no_reason_and_is_not_written_to(
    deployment: Deployment,
) -> None:
    assert refusal(deployment.redis, NAMES) == ""
    require_writes(deployment.redis, NAMES)
    assert deployment.redis.keys() == []


def test_a_full_redis_says_so(deployment: Deployment) -> None:
    with full(deployment.redis):
        assert refusal(deployment.redis, NAMES) == FULL
        with pytest.raises(RedisFailed, match="who is online, is not known"):
            require_writes(deployment.redis, NAMES)


def test_a_replica_says_so(deployment: Deployment) -> None:
    deployment.redis.replicaof("127.0.0.1", "1")
    try:
        assert "read-only replica" in refusal(deployment.redis, NAMES)
    finally:
        deployment.redis.replicaof("NO", "ONE")


def test_a_redis_without_its_replicas_says_so(deployment: Deployment) -> None:
    deployment.redis.config_set("min-replicas-to-write", "1")
    try:
        assert "min-replicas-to-write" in refusal(deployment.redis, NAMES)
    finally:
        deployment.redis.config_set("min-replicas-to-write", "0")


def test_a_user_who_may_not_write_does_not_know(deployment: Deployment) -> None:
    redis = deployment.redis
    redis.execute_command("ACL", "SETUSER", "default", "-xadd")
    try:
        with full(redis):
            assert refusal(redis, NAMES) == ""
    finally:
        redis.execute_command("ACL", "SETUSER", "default", "+xadd")
