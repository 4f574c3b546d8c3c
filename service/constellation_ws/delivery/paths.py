"""What becomes of the events of a channel, counted."""

from __future__ import annotations

from constellation_ws.delivery.rooms import Rooms
from constellation_ws.delivery.routes import Route
from constellation_ws.observability.metrics import Metrics

USUAL_MISSES = 7
"""After so many the addresses are read first: for one of eight of these in vain, at most."""


class Path:
    """A channel's route, with the counts of what becomes of its events."""

    __slots__ = (
        "channel",
        "delivered",
        "deliveries",
        "malformed",
        "misses",
        "no_recipient",
        "nothing_to_send",
        "route",
        "too_large",
    )

    def __init__(self, channel: str, route: Route, metrics: Metrics) -> None:
        self.channel = channel
        self.misses = 0
        """Events without a recipient, since one had some after its addresses were read first."""
        self.route = route
        self.deliveries = metrics.deliveries.of(route.event)
        self.delivered = metrics.events.of(channel, "delivered")
        self.no_recipient = metrics.events.of(channel, "no_recipient")
        self.nothing_to_send = metrics.events.of(channel, "nothing_to_send")
        self.malformed = metrics.events.of(channel, "malformed")
        self.too_large = metrics.events.of(channel, "too_large")

    def is_for_nobody(self, payload: bytes, rooms: Rooms) -> bool:
        """Look at the addresses alone. False also where the whole event has to be read."""
        addresses = self.route.addresses
        named = addresses.rooms(payload) if addresses is not None else None
        if named is not None and not rooms.audience(named, ()):
            return True
        self.misses = 0
        return False
