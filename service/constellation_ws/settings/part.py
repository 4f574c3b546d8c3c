"""What the parts of the settings have in common: how each field is read from the environment."""

from __future__ import annotations

from pydantic import AliasGenerator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "CONSTELLATION_"
_WITHOUT_PREFIX = frozenset(
    {
        "ws_port",
        "tcp_port",
        "tcp_host",
        "redis_host",
        "redis_port",
        "redis_password",
        "redis_db",
        "redis_url",
    }
)
"""Fields whose variable has no prefix: the names of CONTRACT section 4."""


def variable_of(field: str) -> str:
    """Name the environment variable of a field."""
    return field.upper() if field in _WITHOUT_PREFIX else PREFIX + field.upper()


class Part(BaseSettings):
    """A group of settings. Each field is read from the variable that `variable_of` names."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,  # a traceback would show it, secrets too
        alias_generator=AliasGenerator(validation_alias=variable_of),
    )
