"""The settings of the console: whether there is one, who may see it, and what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from constellation_ws.api import keys
from constellation_ws.settings.kinds import Takes
from constellation_ws.settings.part import Part

_CONSOLE, _ACCESS = "CONSTELLATION_CONSOLE", "CONSTELLATION_CONSOLE_ACCESS"
_KEY, _METRICS_PORT = "CONSTELLATION_CONSOLE_KEY", "CONSTELLATION_METRICS_PORT"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on is reached from this machine alone."""
    return host in _LOOPBACK


class ConsoleSettings(Part):
    """The part of the environment that says what operators see in a browser."""

    mode: Literal["off", "read", "write", "local"] = Field(
        "off",
        validation_alias=_CONSOLE,
        description="Whether operators may look into the deployment at `/console/` of "
        "`CONSTELLATION_METRICS_PORT`: `read` shows it, `write` also publishes events, "
        "disconnects users and, in the Socket.IO Admin UI, moves them between rooms. `local` is "
        "for development: no key, on `WS_PORT`, which must then listen on this machine only. See "
        "docs/console.md.",
    )
    console_access: Literal["key", "proxy"] = Field(
        "key",
        description="What protects the console: `CONSTELLATION_CONSOLE_KEY`, or a proxy in front "
        "of its port that authenticates people; then whoever reaches the port is trusted.",
    )
    console_key: Annotated[
        SecretStr, Takes("16 characters or more (secret) out of letters, digits and `._~+/=-`")
    ] = Field(SecretStr(""), description="Key with which operators sign in to the console.")
    console_events: Literal["metadata", "text"] = Field(
        "metadata",
        description="What the console shows of events: `metadata` is who gets them and when, "
        "`text` also their content, which may be private.",
    )

    def faults(self, ws_host: str, metrics_port: int | None) -> Iterator[str]:
        """Say in a line each which of these settings cannot be used."""
        key = self.console_key.get_secret_value()
        has_key = self.mode in ("read", "write") and self.console_access == "key"
        if self.mode in ("read", "write") and metrics_port is None:
            yield f"{_CONSOLE}={self.mode} requires {_METRICS_PORT}: the console is served there"
        if self.mode == "local" and not is_loopback(ws_host):
            yield f"{_CONSOLE}=local requires CONSTELLATION_WS_HOST=127.0.0.1: it has no key"
        if has_key and not key:
            yield (
                f"{_CONSOLE}={self.mode} requires {_KEY}, or {_ACCESS}=proxy where a proxy "
                "authenticates people"
            )
        elif key and not has_key:
            yield f"{_KEY} has no effect: set {_CONSOLE} to read or write, or remove it"
        elif key and any(keys.faults(f"console:{key}")):
            yield f"{_KEY} (set, not shown) must have 16 or more letters, digits and `._~+/=-`"
