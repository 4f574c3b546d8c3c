"""Which parts a gateway has, and what its readiness looks at, by its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from constellation_ws.engine.elsewhere import Nowhere
from constellation_ws.observability.probes import ProcessPhase
from constellation_ws.settings.settings import defaults
from constellation_ws.wiring.gateway import Gateway
from tests.tables import EXTENDS

EVERY_POD = {"redis topology", "heartbeat", "presence", "errands", "engine", "pressure"}


ALONE = {"listening": {"peer_port": None}}


def made(**values: Any) -> Gateway:
    return Gateway(defaults(**values), lambda work: work.close())


def parts_of(gateway: Gateway) -> set[str]:
    parts = gateway.parts(lambda: None)
    for part in parts.values():
        part.close()
    return set(parts) - EVERY_POD


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        (
            {},
            {"subscription", "log", "recorder", "store", "sessions", "backlog", "read-back"}
            | {"confirmation of the log", "peers", "peer links"},
        ),
        ({"delivery": {"recovery": "off"}, **ALONE}, {"subscription", "log", "recorder"}),
        ({"delivery": {"mode": "live"}, **ALONE}, {"subscription", "direct entries"}),
    ],
)
async def test_what_runs_follows_from_the_settings(values: dict[str, Any], parts: set[str]) -> None:
    assert parts_of(made(**values)) == parts


@pytest.mark.parametrize(
    ("values", "checks"),
    [
        ({}, ["phase", "log", "recording", "redis", "connections", "load", "peers"]),
        ({"delivery": {"mode": "live"}, **ALONE}, ["phase", "redis", "connections", "load"]),
    ],
)
async def test_what_readiness_looks_at_follows_from_the_settings(
    values: dict[str, Any], checks: list[str]
) -> None:
    assert [check.name for check in made(**values).health.ready()] == checks


async def test_a_table_in_which_clients_watch_announces_and_lets_no_service_publish_that(
    tmp_path: Path,
) -> None:
    file = tmp_path / "interface.toml"
    file.write_text(f'{EXTENDS}[[request]]\nevent = "watch"\nwatches = "userIds"\n')
    gateway, channel = (
        made(delivery={"interface_file": file, "mode": "live"}),
        "constellation:presence",
    )

    assert "presence events" in parts_of(gateway)
    assert channel in gateway.events.bus._everything.channels
    assert channel not in gateway.events.table
    without = made(delivery={"mode": "live"})
    assert "presence events" not in parts_of(without)
    assert channel not in without.events.bus._everything.channels


async def test_without_a_peer_port_no_other_pod_is_asked() -> None:
    assert isinstance(made(**ALONE).peering.elsewhere, Nowhere)
    assert not isinstance(made().peering.elsewhere, Nowhere)


async def test_a_drain_closes_the_pod_to_new_clients() -> None:
    gateway = made()
    gateway.begin_drain(1_764_086_400.0)
    assert gateway.health.phase is ProcessPhase.DRAINING
    assert gateway.health.is_draining()
    assert gateway.drain_deadline == 1_764_086_400
    assert gateway.clients.admission.is_closed_to_new
