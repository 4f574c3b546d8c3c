"""Which pods live and who is online, as a command reads it from Redis."""

from __future__ import annotations

import pytest

from constellation_ws.cli import deployment as reading
from constellation_ws.cli.redis_connection import RedisFailed, connected, made
from constellation_ws.messages.events import UserId
from tests.processes import HOST, unused_port
from tests.unit.cli.conftest import NAMES, Deployment


def listed(deployment: Deployment, after: str = "") -> list[tuple[str, list[str]]]:
    found = reading.users(deployment.redis, NAMES, after)
    return [(one.user, list(one.pods)) for one in found]


def test_pods_are_listed_with_their_users_and_addresses(deployment: Deployment) -> None:
    deployment.pod("a", "u1", "u2", host="10.0.0.7")
    deployment.pod("b")
    deployment.pod("gone", lives_seconds=-1)

    a, b = reading.pods(deployment.redis, NAMES)

    assert (a.instance, a.users, a.address, a.is_leaving) == ("a", 2, "10.0.0.7:7757", False)
    assert (b.instance, b.users, b.address) == ("b", 0, "")


def test_a_pod_that_has_said_goodbye_is_leaving(deployment: Deployment) -> None:
    deployment.pod("a", lives_seconds=5)
    (pod,) = reading.pods(deployment.redis, NAMES)
    assert pod.is_leaving


def test_users_of_all_pods_are_merged_page_by_page(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PAGE", 2)
    deployment.pod("a", "u1", "u3", "u5", "u7", "u8")
    deployment.pod("b", "u0", "u3", "u9")

    assert listed(deployment) == [
        ("u0", ["b"]),
        ("u1", ["a"]),
        ("u3", ["a", "b"]),
        ("u5", ["a"]),
        ("u7", ["a"]),
        ("u8", ["a"]),
        ("u9", ["b"]),
    ]
    assert [user for user, _ in listed(deployment, "u7")] == ["u8", "u9"]


def test_nobody_is_online_where_no_pod_is(deployment: Deployment) -> None:
    assert listed(deployment) == []
    assert reading.whereabouts(deployment.redis, NAMES, UserId("u1")) == []


def test_a_user_is_found_on_each_pod(deployment: Deployment) -> None:
    deployment.pod("a", "u1")
    deployment.pod("b", "u1", "u2")

    def where(user: str) -> list[str]:
        found = reading.whereabouts(deployment.redis, NAMES, UserId(user))
        return [pod.instance for pod in found]

    assert (where("u1"), where("u2"), where("u3")) == (["a", "b"], ["b"], [])


def test_a_redis_that_is_away_is_a_sentence() -> None:
    where = f"{HOST}:{unused_port()}/0"
    url, where = f"redis://:hunter2@{where}", f"redis://{where}"
    with (
        pytest.raises(RedisFailed, match=rf"^Redis cannot be used at {where}: Connection refused"),
        connected(url, NAMES),
    ):
        pass


def test_what_redis_does_not_answer_is_a_sentence() -> None:
    url = f"redis://{HOST}:{unused_port()}/0"
    with (
        made(url, NAMES) as redis,
        pytest.raises(RedisFailed, match=r"^The pods cannot be read: Connection refused\."),
    ):
        reading.pods(redis, NAMES)
