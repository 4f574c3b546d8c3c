"""Settings of how connections are closed: when the pod stops, and when they are old."""

from __future__ import annotations

from pydantic import Field

from constellation_ws.settings.kinds import Seconds
from constellation_ws.settings.part import Part


class DrainingSettings(Part):
    """How long closing takes, and how old a connection becomes."""

    max_connection_age_seconds: Seconds = Field(
        0,
        description="Seconds after which a connection is closed, minus a random part of up to a "
        "fifth, so that clients reconnect and are spread over new pods. 0 means never.",
    )
    drain_delay_seconds: Seconds = Field(
        5,
        description="Seconds between SIGTERM and the first closed connection, so that the pod is "
        "removed from the endpoints first.",
    )
    drain_window_seconds: Seconds = Field(
        20,
        description="Seconds over which the connections are closed evenly.",
    )
