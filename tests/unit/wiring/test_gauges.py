"""What is read off the parts of a gateway that is made and never run."""

from __future__ import annotations

import pytest

from constellation_ws.observability.probes import ProcessPhase
from constellation_ws.settings.settings import defaults
from constellation_ws.wiring import gauges
from constellation_ws.wiring.durable import Durable
from constellation_ws.wiring.gateway import Gateway


class Line:
    """A WebSocket for which so much waits."""

    def __init__(self, waiting_bytes: int) -> None:
        self._waiting_bytes = waiting_bytes

    def waiting_bytes(self) -> int:
        return self._waiting_bytes


@pytest.fixture
async def gateway() -> Gateway:
    gateway = Gateway(defaults(), lambda work: work.close())
    gauges.register(gateway)
    return gateway


def read(gateway: Gateway, name: str, **labels: str) -> float | None:
    return gateway.metrics.registry.get_sample_value(f"constellation_{name}", labels)


async def test_what_waits_is_summed_over_the_connections_of_both_transports(
    gateway: Gateway,
) -> None:
    assert read(gateway, "write_buffer_bytes") == read(gateway, "write_buffer_largest_bytes") == 0
    for waiting in (0, 700, 300):
        session = gateway.clients.engine.open("", "", [])
        session.websocket = Line(waiting)  # type: ignore[assignment]
    gateway.clients.engine.open("", "", []).queue("4" * 50)
    assert read(gateway, "connections", transport="websocket") == 3
    assert read(gateway, "connections", transport="polling") == 1
    assert read(gateway, "write_buffer_bytes") == 1050
    assert read(gateway, "write_buffer_largest_bytes") == 700


async def test_only_a_drain_has_something_left_to_close(gateway: Gateway) -> None:
    gateway.clients.engine.open("", "", [])
    gateway.health.enter(ProcessPhase.SERVING)
    assert (read(gateway, "draining"), read(gateway, "drain_remaining")) == (0, 0)
    assert read(gateway, "drain_deadline_timestamp_seconds") == 0
    gateway.health.phase, gateway.drain_deadline = ProcessPhase.DRAINING, 1_764_086_400.0
    assert (read(gateway, "draining"), read(gateway, "drain_remaining")) == (1, 1)
    assert read(gateway, "drain_deadline_timestamp_seconds") == 1_764_086_400


async def test_writes_are_read_off_the_fanout(gateway: Gateway) -> None:
    gateway.events.fanout.writes, gateway.events.fanout.coalesced_writes = 5, 2
    assert read(gateway, "writes_total") == 5
    assert read(gateway, "coalesced_writes_total") == 2


async def test_the_logs_lag_is_told_only_where_there_is_a_log(gateway: Gateway) -> None:
    assert isinstance(gateway.events.delivery, Durable)
    gateway.events.delivery.logs.partitions[0].lag_seconds = 1.5
    assert read(gateway, "log_lag_seconds") == 1.5
    live = Gateway(defaults(delivery={"mode": "live"}), lambda work: work.close())
    gauges.register(live)
    assert read(live, "log_lag_seconds") is None
