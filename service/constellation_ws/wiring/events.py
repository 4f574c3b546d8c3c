"""The way of events from Redis to the sockets of this pod, made from the settings."""

from __future__ import annotations

from constellation_ws.delivery import routes
from constellation_ws.delivery.fanout import Fanout
from constellation_ws.delivery.relay import Relay
from constellation_ws.messages.events import NAMESPACE
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.redis_io.bus import RedisBus
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.settings.settings import Settings
from constellation_ws.socketio.membership import Membership
from constellation_ws.wiring.durable import Durable
from constellation_ws.wiring.live import Live
from constellation_ws.wiring.redis_clients import RedisClients


class Events:
    """The parts, in the order in which an event passes them."""

    def __init__(self, settings: Settings, metrics: Metrics, tracing: Tracing | NoTracing) -> None:
        """Raises InvalidRoutes."""
        self.names = settings.redis_names()
        self.redis_endpoint = Endpoint(settings.redis_address(), self.names)
        self.redis = RedisClients(self.redis_endpoint)
        emitters = settings.emitter_channels()
        self.table = routes.load(
            settings.routes_file,
            is_traced=tracing.is_on,
            own_prefix=settings.redis_prefix,
            emitters=emitters,
        )
        is_durable = settings.delivery == "durable"
        bus_redis = self.redis.vital if is_durable else self.redis.once
        self.bus = RedisBus(bus_redis, self.table, metrics, self.names, emitters)
        self.membership = Membership()
        self.rooms = self.membership.rooms_of(NAMESPACE)
        self.fanout = Fanout()
        self.relay = Relay(
            self.table,
            self.rooms,
            self.fanout,
            metrics,
            max_event_bytes=settings.max_event_bytes,
            tracing=tracing,
            emitters=emitters,
        )
        self.delivery = self._make_delivery(settings, metrics)
        self.sessions = self.delivery.resuming.sessions

    def _make_delivery(self, settings: Settings, metrics: Metrics) -> Durable | Live:
        redis, bus, names = self.redis, self.bus, self.names
        if settings.delivery == "durable":
            return Durable(settings, redis, bus, names, self.relay, self.rooms, metrics)
        return Live(settings, redis, bus, names, metrics)
