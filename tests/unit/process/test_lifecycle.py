"""What a process consists of, and which of its parts liveness judges; journeys show it living."""

from __future__ import annotations

import pytest

from constellation_ws.observability.probes import STALE_TURNS
from constellation_ws.process.lifecycle import Life
from constellation_ws.runtime.last_resort import LastResort
from constellation_ws.settings.settings import Settings

_EVERYTHING = {
    "CONSTELLATION_AUTH_MODE": "jwt",
    "CONSTELLATION_JWT_JWKS_URL": "https://issuer.example/keys",
    "CONSTELLATION_MAX_CONNECTION_AGE_SECONDS": "3600",
}


async def test_no_part_that_waits_for_others_is_judged_by_its_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A Redis, an API or an issuer that hangs must not have every pod restarted."""
    for name, value in _EVERYTHING.items():
        monkeypatch.setenv(name, value)
    life = Life(Settings(), LastResort())
    gateway, parts = life._gateway, life._parts()
    for name, part in parts.items():
        part.close()
        gateway.health.begin(name)
    for _ in range(STALE_TURNS):
        gateway.health.pulse()

    silent = {check.name for check in gateway.health.liveness() if not check.ok}

    assert silent == {"engine", "sessions", "backlog", "expiry", "rebalancing"}
    waiting = {"heartbeat", "presence", "recorder", "store", "read-back", "keys", "subscription"}
    assert waiting <= parts.keys() - silent
