"""Findings and how they are shown. Putting the questions needs a Redis."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError, TimeoutError

from constellation_ws.cli.check import (
    has_failed,
    inspect,
    inspect_certificates,
    inspect_files,
    inspect_interface,
    inspect_partitions,
    inspect_variables,
)
from constellation_ws.cli.findings import Finding, Verdict
from constellation_ws.cli.redis_connection import RedisFailed, same_redis
from constellation_ws.interface import table
from constellation_ws.redis_io.names import Names
from constellation_ws.runtime.open_files import share
from constellation_ws.settings.variables import UnknownVariable
from tests.unit.cli.conftest import NAMES, Deployment


@pytest.mark.parametrize(
    ("verdicts", "failed"),
    [
        ([], False),
        ([Verdict.OK, Verdict.WARNING], False),
        ([Verdict.OK, Verdict.FAILED, Verdict.OK], True),
    ],
)
def test_warnings_do_not_fail_and_one_failure_does(verdicts: list[Verdict], failed: bool) -> None:
    findings = [Finding("redis", verdict, "") for verdict in verdicts]

    assert has_failed(findings) is failed


def test_typos_warn_each_by_its_name() -> None:
    finding = inspect_variables([UnknownVariable("A_B", "A_C"), UnknownVariable("D", None)], ["E"])

    assert finding.verdict is Verdict.WARNING
    assert "did you mean A_C?" in finding.detail
    assert "D is not a setting" in finding.detail
    assert "E begins or ends with white space" in finding.detail
    idle = inspect_variables([], [], ["F has no effect"])
    assert (idle.verdict, idle.detail) == (Verdict.WARNING, "F has no effect")
    assert inspect_variables([], []).verdict is Verdict.OK


def test_certificates_that_are_not_valid_fail() -> None:
    finding = inspect_certificates(["A names 'a': expired", "B names 'b': expired"])

    assert finding.verdict is Verdict.FAILED
    assert finding.detail == "A names 'a': expired; B names 'b': expired"
    assert inspect_certificates([]).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("limit", "verdict", "words"),
    [
        (524_288, Verdict.OK, "524,288 are enough for 50,000 connections"),
        (1_024, Verdict.WARNING, "1,024 limit this pod to 608 connections, not 50,000"),
    ],
)
def test_a_low_limit_of_open_files_is_a_warning(limit: int, verdict: Verdict, words: str) -> None:
    finding = inspect_files(share(limit, 1_000), 50_000)

    assert finding.verdict is verdict
    assert finding.detail.startswith(words)


def test_the_channels_are_counted_and_named_in_order() -> None:
    found = list(inspect_interface(table.load()))

    channels = "chat:deleted, chat:messageRead, chat:new, chat:newMessage, chat:typing, user:status"
    assert found == [
        Finding("interface", Verdict.OK, "/chats: 2 requests, 0 backends"),
        Finding("routes", Verdict.OK, f"6 channels: {channels}"),
    ]


class _Unusable(Redis):
    """A Redis whose first answer is an error."""

    def __init__(self, error: RedisError) -> None:
        super().__init__()
        self._error = error

    def ping(self, **_: object) -> bool:
        raise self._error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AuthenticationError("invalid username-password pair"), "it refuses the user name or"),
        (TimeoutError("Timeout connecting to server"), "with rediss in REDIS_URL"),
        (TimeoutError("Timeout reading from socket"), "it does not answer"),
    ],
)
def test_a_redis_that_cannot_be_used_is_explained_as_by_other_commands(
    error: RedisError, words: str
) -> None:
    redis = _Unusable(error)

    (found,) = inspect(
        redis, "redis://a:6379/0", [], Names("a"), [], keeps_log=True, announces=False
    )

    assert found.verdict is Verdict.FAILED
    assert found.detail.startswith("redis://a:6379/0 cannot be used: ")
    assert words in found.detail


def test_a_partition_that_is_away_is_a_finding_and_the_others_are_tried(
    deployment: Deployment,
) -> None:
    @contextmanager
    def reach(redis: Redis, names: Names) -> Iterator[Redis]:
        if names.partition == 1:
            raise RedisFailed("Redis cannot be used at 10.0.0.2:6379: Connection refused", "Check")
        yield redis

    first, second = inspect_partitions(deployment.redis, NAMES, reach, 3)
    away = "Redis cannot be used at 10.0.0.2:6379: Connection refused"
    assert first == Finding("log 1", Verdict.FAILED, away)
    assert (second.subject, second.verdict) == ("log 2", Verdict.OK)


def test_a_lower_number_of_partitions_than_is_in_use_fails_and_says_what_to_set(
    deployment: Deployment,
) -> None:
    deployment.redis.hset(NAMES.state, "partitions", 3)
    first, *others = inspect_partitions(deployment.redis, NAMES, same_redis, 2)
    assert (first.subject, first.verdict) == ("partitions", Verdict.FAILED)
    assert "CONSTELLATION_LOG_PARTITIONS is 2" in first.detail
    assert "set it to 3 or more" in first.detail
    assert [one.verdict for one in others] == [Verdict.OK]
    assert has_failed([first])
    for enough in (3, 4):
        found = inspect_partitions(deployment.redis, NAMES, same_redis, enough)
        assert {one.verdict for one in found} == {Verdict.OK}


def test_the_keys_of_each_further_partition_are_tried(deployment: Deployment) -> None:
    found = list(inspect_partitions(deployment.redis, NAMES, same_redis, 3))
    assert [(one.subject, one.verdict) for one in found] == [
        ("log 1", Verdict.OK),
        ("log 2", Verdict.OK),
    ]
    assert not list(deployment.redis.scan_iter(f"*{NAMES.of_partition(1).log}*"))
