"""The end of a partition whose Redis goes away and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from constellation_ws.cli import log_tails
from constellation_ws.cli.log_tails import FurtherTail
from constellation_ws.cli.redis_connection import RedisFailed
from constellation_ws.redis_io.names import Names
from tests.unit.cli.conftest import NAMES, Deployment

SECOND = NAMES.of_partition(1)
AWAY = "Redis cannot be used at 10.0.0.2:6379: Connection refused"


class Line:
    """The way to a partition, which may be closed."""

    is_open = True

    @contextmanager
    def reach(self, redis: Redis, _: Names) -> Iterator[Redis]:
        if not self.is_open:
            raise RedisFailed(AWAY)
        yield redis


def append(deployment: Deployment, text: str) -> None:
    deployment.redis.xadd(SECOND.log, {"channel": "x", "data": text})


def test_what_came_meanwhile_is_read_once_it_is_back_and_both_are_reported_once(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_tails, "_AGAIN_SECONDS", 0.0)
    line, reports = Line(), list[str]()
    tail = FurtherTail(deployment.redis, SECOND, line.reach, 60, reports.append)

    def read() -> list[bytes]:
        return [data for _, _, data in tail.read(1)]

    with tail.opened():
        append(deployment, "1")
        assert read() == [b"1"]
        line.is_open = False
        deployment.redis.rename(SECOND.log, "elsewhere")
        deployment.redis.set(SECOND.log, "no stream")  # what is read fails, as when a node dies
        assert (read(), read()) == ([], [])
        deployment.redis.rename("elsewhere", SECOND.log)
        append(deployment, "2")
        assert read() == []
        line.is_open = True
        assert (read(), read()) == ([b"2"], [])
    first, back = reports
    assert first.startswith("partition 1 of the log: it cannot be read: ")
    assert back == "partition 1 of the log can be read again"


def test_one_that_is_away_at_first_is_named_and_not_tried_at_once_again(
    deployment: Deployment,
) -> None:
    line, reports = Line(), list[str]()
    line.is_open = False
    tail = FurtherTail(deployment.redis, SECOND, line.reach, 60, reports.append)
    with tail.opened():
        assert not tail.read(1)
        line.is_open = True
        assert not tail.read(1), "too early"
    assert reports == [f"partition 1 of the log: {AWAY}; its events are shown once it is back"]
