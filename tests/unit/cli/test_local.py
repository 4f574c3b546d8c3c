"""Which ports, which Redis and which words a local gateway gets. Starting it is a journey."""

import os
import socket
from collections.abc import Mapping
from contextlib import closing
from unittest.mock import patch

import pytest

from constellation_ws.cli import local
from constellation_ws.cli.local import LocalEndpoint, free_port, how_to_join
from constellation_ws.settings import settings

HOST = "127.0.0.1"


def place(environment: Mapping[str, str], overrides: Mapping[str, str]) -> LocalEndpoint:
    """The place of a gateway in such an environment; a Redis is always named."""
    with (
        patch.dict(os.environ, environment, clear=True),
        local.place(settings.load(), overrides) as where,
    ):
        return where


def test_a_port_that_is_taken_is_told_and_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server((HOST, 0))) as taken:
        port = taken.getsockname()[1]

        found = free_port(port, HOST, must=False)

    assert found not in (0, port)
    assert capsys.readouterr().out == f"Port {port} is in use, using {found}.\n"


def test_a_port_that_is_free_is_taken_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server((HOST, 0))) as probe:
        port = probe.getsockname()[1]

    assert free_port(port, HOST, must=False) == free_port(port, HOST, must=True) == port
    assert capsys.readouterr().out == ""


def test_a_port_that_was_asked_for_is_not_replaced() -> None:
    with closing(socket.create_server((HOST, 0))) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(local.CannotStart, match=rf"{HOST}:{port}"):
            free_port(port, HOST, must=True)


def test_any_free_port_may_be_asked_for() -> None:
    assert free_port(0, HOST, must=True) > 0


def test_an_address_of_another_machine_is_refused_in_a_sentence() -> None:
    with pytest.raises(local.CannotStart, match=r"192\.0\.2\.1"):
        free_port(0, "192.0.2.1", must=False)


def test_what_the_environment_names_is_taken() -> None:
    named = {
        "WS_PORT": "27000",
        "TCP_PORT": "27756",
        "CONSTELLATION_WS_HOST": "0.0.0.0",
        "REDIS_HOST": "redis",
        "CONSTELLATION_LOG_LEVEL": "debug",
        "TCP_HOST": "",
    }

    where = place(named, {"CONSTELLATION_LOG_LEVEL": "warning"})

    assert (where.url, where.tcp_port) == ("http://127.0.0.1:27000", 27756)
    assert (where.redis_url, where.owns_redis) == ("redis://redis:6379/0", False)
    expected = {
        "WS_PORT": "27000",
        "CONSTELLATION_WS_HOST": "0.0.0.0",
        "TCP_HOST": HOST,
        "REDIS_URL": "redis://redis:6379/0",
        "CONSTELLATION_LOG_LEVEL": "debug",
        "CONSTELLATION_LOG_FORMAT": "console",
    }
    assert expected.items() <= where.environment.items()


def test_credentials_are_in_the_url_and_only_there() -> None:
    where = place(
        {
            "REDIS_URL": "redis+sentinel://redis/0/chat",
            "CONSTELLATION_REDIS_USERNAME": "a",
            "CONSTELLATION_REDIS_URL_PASSWORD": "b",
            "CONSTELLATION_REDIS_SENTINEL_PASSWORD": "c",
        },
        {},
    )

    assert where.redis_url == "redis+sentinel://a:b@redis/0/chat?sentinel_password=c"
    with patch.dict(os.environ, where.environment, clear=True):
        assert settings.load().redis.address() == where.redis_url


def test_the_rest_is_local_and_without_a_drain() -> None:
    where = place({"REDIS_URL": "redis://redis"}, {"CONSTELLATION_LOG_LEVEL": "warning"})

    expected = {
        "CONSTELLATION_WS_HOST": HOST,
        "TCP_HOST": HOST,
        "CONSTELLATION_LOG_LEVEL": "warning",
        "CONSTELLATION_DRAIN_DELAY_SECONDS": "0",
        "WS_PORT": str(where.ws_port),
    }
    assert expected.items() <= where.environment.items()


@pytest.mark.parametrize(("host", "has_page"), [("", True), ("::1", True), ("0.0.0.0", False)])
def test_the_page_is_only_where_nobody_else_reaches_it(host: str, has_page: bool) -> None:
    where = place({"REDIS_URL": "redis://redis", "CONSTELLATION_WS_HOST": host}, {})
    assert where.has_page is has_page
    first = how_to_join(where).splitlines()[0]
    assert first.startswith("  Page  " if has_page else "  There is no page")


@pytest.mark.parametrize("owns_redis", [True, False])
def test_only_a_redis_of_our_own_is_written_out(owns_redis: bool) -> None:
    where = LocalEndpoint(HOST, 27000, 27756, "redis://:hunter2@redis", owns_redis, {})

    words = how_to_join(where)

    assert "listen --user bob --chat c-1 --url http://127.0.0.1:27000" in words
    assert ("REDIS_URL=redis://:hunter2@redis " in words) is owns_redis
