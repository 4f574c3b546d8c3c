"""The way of events from Redis to the sockets of this pod, made from the settings."""

from __future__ import annotations

from constellation_ws.announcing.board import Board
from constellation_ws.delivery.fanout import Fanout
from constellation_ws.delivery.partitioning import Partitioning
from constellation_ws.delivery.relay import Relay
from constellation_ws.delivery.routes import Table
from constellation_ws.delivery.status_route import StatusRoute
from constellation_ws.interface.watches import status_row
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.redis_io.bus import RedisBus
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.settings.settings import Settings
from constellation_ws.socketio.membership import Membership
from constellation_ws.wiring.durable import Durable
from constellation_ws.wiring.interface import compile_routes, namespaces_of
from constellation_ws.wiring.interface import load as load_interface
from constellation_ws.wiring.live import Live
from constellation_ws.wiring.redis_clients import RedisClients


class Events:
    """The parts, in the order in which an event passes them."""

    def __init__(
        self, settings: Settings, metrics: Metrics, tracing: Tracing | NoTracing, spawn: Spawn
    ) -> None:
        """Raises InvalidInterface."""
        self.names = settings.redis.names()
        self.redis_endpoint = Endpoint(settings.redis.address(), self.names)
        self.redis = RedisClients(self.redis_endpoint)
        emitters = settings.redis.emitter_channels()
        self.interface = load_interface(settings)
        self.namespaces = namespaces_of(self.interface)
        self.table = compile_routes(self.interface, is_traced=tracing.is_on)
        self.board = Board(self.redis.requests, self.names)
        routes = self._with_status_route(is_traced=tracing.is_on)
        self._volatile = frozenset(row.channel for row in self.interface.routes if row.volatile)
        self.bus = self._make_bus(settings, routes, metrics)
        self.partitioning = Partitioning(self.interface.routes, emitters, self.namespaces)
        self.membership, self.fanout = Membership(self.namespaces), Fanout()
        self.rooms = self.membership.index
        self.relay = Relay(
            routes,
            self.rooms,
            self.fanout,
            metrics,
            max_event_bytes=settings.limits.max_event_bytes,
            tracing=tracing,
            emitters=emitters,
            namespaces=self.namespaces,
        )
        self.delivery = self._make_delivery(settings, metrics, spawn)
        self.sessions = self.delivery.resuming.sessions

    def _make_bus(self, settings: Settings, routes: Table, metrics: Metrics) -> RedisBus:
        is_durable = settings.delivery.mode == "durable"
        return RedisBus(
            self.redis.vital if is_durable else self.redis.once,
            routes,
            metrics,
            self.names,
            settings.redis.emitter_channels(),
            self.namespaces,
            asks_run_id=is_durable,
            volatile=self._volatile,
            partitions=settings.delivery.partitions(),
        )

    def _with_status_route(self, *, is_traced: bool) -> Table:
        """Add the route of who comes online and who goes; services cannot publish on it."""
        row = status_row(self.interface.requests, self.names.presence_channel)
        if row is None:
            return self.table
        scope = self.namespaces.scope(row.namespace)
        route = StatusRoute(row, scope, self.board.note, is_traced=is_traced)
        return {**self.table, row.channel: route}

    def _make_delivery(self, settings: Settings, metrics: Metrics, spawn: Spawn) -> Durable | Live:
        redis, bus, names = self.redis, self.bus, self.names
        if settings.delivery.mode == "durable":
            parts = (self.relay, self.rooms, metrics)
            divided = (self._volatile, self.partitioning)
            return Durable(settings, redis, bus, names, *parts, *divided, spawn)
        return Live(settings, redis, bus, names, metrics)
