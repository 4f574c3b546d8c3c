"""What is read off a gateway's parts at each scrape. Nothing here is counted while it happens."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from constellation_ws.engine.server import Engine
from constellation_ws.observability.probes import Phase
from constellation_ws.wiring.gateway import Gateway


def watch(gateway: Gateway) -> None:
    """Register what a gateway's parts can be asked for."""
    _watch_clients(gateway)
    _watch_load(gateway)
    _watch_redis(gateway)
    _watch_drain(gateway)
    _watch_peers(gateway)


def _watch_peers(gateway: Gateway) -> None:
    watch = gateway.metrics.watch
    watch(
        "constellation_peers",
        "Other pods that are registered with an address.",
        lambda: float(len(gateway.peering.directory.peers)),
    )
    watch(
        "constellation_peer_links",
        "Open links to and from other pods.",
        lambda: float(gateway.peering.peers.link_count),
    )
    watch(
        "constellation_tunnels",
        "WebSockets of this pod whose session is on another pod.",
        lambda: float(len(gateway.peering.peers.tunnels)),
    )


def _watch_clients(gateway: Gateway) -> None:
    metrics, rooms, fanout = gateway.metrics, gateway.events.rooms, gateway.events.fanout
    metrics.registry.register(_Connections(gateway.clients.engine))
    metrics.watch(
        "constellation_sockets",
        "Clients connected to /chats.",
        lambda: float(len(rooms)),
    )
    metrics.watch(
        "constellation_rooms",
        "Rooms with at least one member on this pod.",
        lambda: float(rooms.room_count),
    )
    metrics.watch(
        "constellation_users",
        "Users who are online through this pod.",
        lambda: float(gateway.clients.presence.user_count),
    )
    metrics.watch(
        "constellation_chat_access_waiting",
        "Joins and resumes that are queued for a query to the API.",
        lambda: float(gateway.clients.access.waiting),
    )
    metrics.watch_total(
        "constellation_writes",
        "Writes of events to WebSockets; long-polling is not counted.",
        lambda: float(fanout.writes),
    )
    metrics.watch_total(
        "constellation_coalesced_writes",
        "Writes to WebSockets that contained more than one event.",
        lambda: float(fanout.coalesced_writes),
    )


def _watch_load(gateway: Gateway) -> None:
    watch = gateway.metrics.watch
    watch(
        "constellation_overloaded",
        "1 while new clients are refused because the event loop is late or memory is nearly full.",
        lambda: float(gateway.clients.overload.is_on()),
    )
    watch(
        "constellation_open_sockets",
        "Sockets of the HTTP port, upper bound: open connections and those being opened or closed.",
        lambda: float(gateway.clients.engine.open_sockets),
    )
    watch(
        "constellation_open_sockets_limit",
        "Number of sockets of the HTTP port at which new clients are refused; from the limit of "
        "open files.",
        lambda: float(gateway.clients.files.sessions),
    )


def _watch_redis(gateway: Gateway) -> None:
    watch = gateway.metrics.watch
    watch(
        "constellation_redis_up",
        "1 while the Redis subscription is active.",
        lambda: float(gateway.events.bus.lost_at is None),
    )
    watch(
        "constellation_recorder",
        "1 while this pod is the recorder, which appends Pub/Sub events to the log.",
        lambda: float(gateway.events.delivery.is_recorder),
    )
    gateway.events.delivery.watch(gateway.metrics)


def _watch_drain(gateway: Gateway) -> None:
    watch = gateway.metrics.watch
    watch(
        "constellation_draining",
        "1 while the pod drains, from SIGTERM on.",
        lambda: float(gateway.health.phase is Phase.DRAINING),
    )
    watch(
        "constellation_drain_remaining",
        "Connections that the drain has not closed yet; 0 without a drain.",
        lambda: float(_left_to_close(gateway)),
    )
    watch(
        "constellation_drain_deadline_timestamp_seconds",
        "Deadline of the drain as Unix time; 0 without a drain.",
        lambda: gateway.drain_deadline,
    )


def _left_to_close(gateway: Gateway) -> int:
    return len(gateway.clients.engine.sockets) if gateway.health.phase is Phase.DRAINING else 0


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
