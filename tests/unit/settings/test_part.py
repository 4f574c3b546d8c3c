"""How each setting is read from its variable."""

from typing import Any

import pytest
from pydantic import ValidationError

from constellation_ws.settings import settings
from tests.unit.settings.test_settings import read


@pytest.mark.parametrize(
    ("variable", "name", "default"),
    [
        ("WS_PORT", "listening.ws_port", 7000),
        ("TCP_PORT", "listening.tcp_port", 7756),
        ("TCP_HOST", "listening.tcp_host", "127.0.0.1"),
        ("REDIS_HOST", "redis.redis_host", "localhost"),
        ("REDIS_PORT", "redis.redis_port", 6379),
        ("REDIS_DB", "redis.redis_db", 0),
        ("REDIS_URL", "redis.redis_url", None),
    ],
)
def test_the_contract_s_variables_keep_their_names_and_defaults(
    variable: str, name: str, default: object
) -> None:
    part, field = name.split(".")
    assert getattr(getattr(read(), part), field) == default
    assert variable in dict(settings.fields())


def test_every_other_variable_carries_the_prefix() -> None:
    contract = {"WS_PORT", "TCP_PORT", "TCP_HOST", "REDIS_HOST", "REDIS_PORT", "REDIS_DB"}
    others = dict(settings.fields()).keys() - contract - {"REDIS_PASSWORD", "REDIS_URL"}

    assert others
    assert [name for name in others if not name.startswith("CONSTELLATION_")] == []


def test_an_empty_variable_counts_as_none() -> None:
    values = read(WS_PORT="", REDIS_PASSWORD="", REDIS_URL="", CONSTELLATION_ROUTES_FILE="")

    assert values == read()
    assert values.redis.address() == "redis://localhost:6379/0"


def test_what_was_read_cannot_be_changed() -> None:
    values: Any = read()

    with pytest.raises(ValidationError, match="frozen"):
        values.listening.ws_port = 1
