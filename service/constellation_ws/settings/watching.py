"""The settings by which operators see what a gateway does."""

from __future__ import annotations

from pydantic import Field

from constellation_ws.settings.kinds import LogFormat, LogLevel
from constellation_ws.settings.part import Part


class WatchingSettings(Part):
    """The part of the environment that says what is shown, and where."""

    log_level: LogLevel = Field("info", description="Lowest level to log.")
    log_format: LogFormat = Field(
        "auto",
        description="`json` lines, readable `console` lines, or `auto`: console on a terminal.",
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Separate port for `/metrics`; `WS_PORT` then answers it with 404. "
        "Empty keeps it on `WS_PORT`; 0 selects a free port.",
    )
