"""What is read off a gateway's parts at each scrape. Nothing here is counted while it happens."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from constellation_ws.engine.server import Engine
from constellation_ws.observability.probes import ProcessPhase
from constellation_ws.wiring.gateway import Gateway


def register(gateway: Gateway) -> None:
    """Register what a gateway's parts can be asked for."""
    _register_clients(gateway)
    _register_writes(gateway)
    _register_load(gateway)
    _register_redis(gateway)
    _register_drain(gateway)
    _register_peers(gateway)


def _register_peers(gateway: Gateway) -> None:
    register = gateway.metrics.register
    register(
        "constellation_peers",
        "Other pods that are registered with an address.",
        lambda: float(len(gateway.peering.directory.peers)),
    )
    register(
        "constellation_peer_links",
        "Open links to and from other pods.",
        lambda: float(gateway.peering.peers.link_count),
    )
    register(
        "constellation_tunnels",
        "WebSockets of this pod whose session is on another pod.",
        lambda: float(len(gateway.peering.peers.tunnels)),
    )


def _register_clients(gateway: Gateway) -> None:
    metrics, rooms = gateway.metrics, gateway.events.rooms
    metrics.registry.register(_Connections(gateway.clients.engine))
    metrics.register(
        "constellation_sockets",
        "Members: clients connected to a namespace, counted in each.",
        lambda: float(len(rooms)),
    )
    metrics.register(
        "constellation_rooms",
        "Rooms with at least one member on this pod.",
        lambda: float(rooms.room_count),
    )
    metrics.register(
        "constellation_users",
        "Users who are online through this pod.",
        lambda: float(gateway.clients.presence.user_count),
    )
    metrics.register(
        "constellation_presence_unwritten_changes",
        "Users whose coming online or going offline this pod has not written to Redis yet.",
        lambda: float(gateway.clients.announcing.unwritten),
    )
    metrics.register(
        "constellation_presence_unposted_events",
        "Events of presence that the backend has not accepted yet; 0 on pods that do not post.",
        lambda: float(gateway.clients.announcing.unposted),
    )
    metrics.register(
        "constellation_chat_access_waiting",
        "Joins and resumes that are queued for a query to the API.",
        lambda: float(gateway.clients.access.waiting),
    )


def _register_writes(gateway: Gateway) -> None:
    metrics, fanout = gateway.metrics, gateway.events.fanout
    metrics.register_total(
        "constellation_writes",
        "Writes of events to WebSockets; long-polling is not counted.",
        lambda: float(fanout.writes),
    )
    metrics.register_total(
        "constellation_coalesced_writes",
        "Writes to WebSockets that contained more than one event.",
        lambda: float(fanout.coalesced_writes),
    )


def _register_load(gateway: Gateway) -> None:
    register = gateway.metrics.register
    register(
        "constellation_overloaded",
        "1 while new clients are refused because the event loop is late or memory is nearly full.",
        lambda: float(gateway.clients.overload.is_on()),
    )
    register(
        "constellation_open_sockets",
        "Sockets of the HTTP port, upper bound: open connections and those being opened or closed.",
        lambda: float(gateway.clients.admission.open_sockets),
    )
    register(
        "constellation_open_sockets_limit",
        "Number of sockets of the HTTP port at which new clients are refused; from the limit of "
        "open files.",
        lambda: float(gateway.clients.files.sessions),
    )


def _register_redis(gateway: Gateway) -> None:
    register = gateway.metrics.register
    register(
        "constellation_redis_up",
        "1 while the Redis subscription is active.",
        lambda: float(gateway.events.bus.disconnected_at is None),
    )
    register(
        "constellation_recorder",
        "1 while this pod is the recorder, which appends Pub/Sub events to the log, or to a "
        "partition of it.",
        lambda: float(gateway.events.delivery.is_recorder),
    )
    register(
        "constellation_listener",
        "1 while this pod receives events from Pub/Sub; 0 if it follows the log alone.",
        lambda: float(gateway.events.delivery.is_listener),
    )
    gateway.events.delivery.register(gateway.metrics)


def _register_drain(gateway: Gateway) -> None:
    register = gateway.metrics.register
    register(
        "constellation_draining",
        "1 while the pod drains, from SIGTERM on.",
        lambda: float(gateway.health.phase is ProcessPhase.DRAINING),
    )
    register(
        "constellation_drain_remaining",
        "Connections that the drain has not closed yet; 0 without a drain.",
        lambda: float(_left_to_close(gateway)),
    )
    register(
        "constellation_drain_deadline_timestamp_seconds",
        "Deadline of the drain as Unix time; 0 without a drain.",
        lambda: gateway.drain_deadline,
    )


def _left_to_close(gateway: Gateway) -> int:
    return (
        len(gateway.clients.engine.sockets) if gateway.health.phase is ProcessPhase.DRAINING else 0
    )


class _Connections(Collector):
    """All that is summed over the connections: they are walked once a scrape, not per gauge."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        websockets = total_bytes = largest_bytes = 0
        sessions = self._engine.sockets.values()
        for session in sessions:
            websockets += session.websocket is not None
            waiting = session.waiting_bytes
            if waiting:
                total_bytes += waiting
                largest_bytes = max(largest_bytes, waiting)
        connections = GaugeMetricFamily(
            "constellation_connections", "Engine.IO connections by transport.", labels=["transport"]
        )
        connections.add_metric(["websocket"], websockets)
        connections.add_metric(["polling"], len(sessions) - websockets)
        yield connections
        yield GaugeMetricFamily(
            "constellation_write_buffer_bytes",
            "Bytes buffered in this process for all clients.",
            total_bytes,
        )
        yield GaugeMetricFamily(
            "constellation_write_buffer_largest_bytes",
            "Bytes buffered for the client with the largest buffer.",
            largest_bytes,
        )
