"""What becomes of the events of a channel, counted."""

from __future__ import annotations

from constellation_ws.delivery.routes import Route
from constellation_ws.observability.metrics import Metrics


class Path:
    """A channel's route, with the counts of what becomes of its events."""

    __slots__ = (
        "channel",
        "delivered",
        "deliveries",
        "malformed",
        "no_recipient",
        "nothing_to_send",
        "route",
        "too_large",
    )

    def __init__(self, channel: str, route: Route, metrics: Metrics) -> None:
        self.channel = channel
        self.route = route
        self.deliveries = metrics.deliveries.of(route.event)
        self.delivered = metrics.events.of(channel, "delivered")
        self.no_recipient = metrics.events.of(channel, "no_recipient")
        self.nothing_to_send = metrics.events.of(channel, "nothing_to_send")
        self.malformed = metrics.events.of(channel, "malformed")
        self.too_large = metrics.events.of(channel, "too_large")
