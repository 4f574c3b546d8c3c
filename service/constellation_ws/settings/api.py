"""The settings of the HTTP API: where it listens, and who may call it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, SecretStr

from constellation_ws.api import keys
from constellation_ws.settings.kinds import Takes
from constellation_ws.settings.part import Part

_PORT, _KEYS = "CONSTELLATION_API_PORT", "CONSTELLATION_API_KEYS"


class ApiSettings(Part):
    """The part of the environment that says who may call the HTTP API."""

    api_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of the HTTP API. Empty means that there is none; 0 selects a free port. "
        "See docs/api.md.",
    )
    api_keys: Annotated[
        SecretStr,
        Takes(
            "entries (secret) `name:key` or `name:key:scope+scope`, separated by commas, with the "
            "scopes `publish`, `send`, `read` and `rooms`"
        ),
    ] = Field(
        SecretStr(""),
        description="Keys of the services that may call the HTTP API. An entry without scopes has "
        "all of them; a key has 16 characters or more.",
    )
    api_idempotency_seconds: Annotated[int, Field(ge=60, le=604_800)] = Field(
        86_400,
        description="Seconds for which a request with the same `Idempotency-Key` gets the answer "
        "of the first one. Each key takes about 200 bytes in Redis for so long.",
    )

    def faults(self) -> Iterator[str]:
        """Say in a line each what of these settings cannot be used."""
        text = self.api_keys.get_secret_value()
        if self.api_port is None:
            if text:
                yield f"{_KEYS} has no effect: set {_PORT}, or remove it"
        elif not text:
            yield f"{_PORT} is set: set {_KEYS} too, or nobody may call the HTTP API"
        else:
            yield from (f"{_KEYS} (set, not shown): {fault}" for fault in keys.faults(text))

    def callers(self) -> keys.Keys:
        """Give the keys; without the port there are none."""
        text = self.api_keys.get_secret_value()
        return keys.read_keys(text) if text else keys.Keys(())
