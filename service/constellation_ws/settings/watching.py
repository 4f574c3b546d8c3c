"""The settings by which operators see what a gateway does."""

from __future__ import annotations

from pydantic import BaseModel, Field

from constellation_ws.settings.kinds import LogFormat, LogLevel


class WatchingSettings(BaseModel):
    """The part of the environment that says what is shown, and where."""

    log_level: LogLevel = Field(
        "info", validation_alias="CONSTELLATION_LOG_LEVEL", description="Lowest level to log."
    )
    log_format: LogFormat = Field(
        "auto",
        validation_alias="CONSTELLATION_LOG_FORMAT",
        description="`json` lines, readable `console` lines, or `auto`: console on a terminal.",
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        validation_alias="CONSTELLATION_METRICS_PORT",
        description="Separate port for `/metrics`; `WS_PORT` then answers it with 404. "
        "Empty keeps it on `WS_PORT`; 0 selects a free port.",
    )
