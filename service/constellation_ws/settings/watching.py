"""The settings by which operators see what a gateway does."""

from __future__ import annotations

from pydantic import BaseModel, Field

from constellation_ws.settings.kinds import LogFormat, LogLevel


class WatchingSettings(BaseModel):
    """The part of the environment that says what is shown, and where."""

    log_level: LogLevel = Field(
        "info", validation_alias="CONSTELLATION_LOG_LEVEL", description="Least level to log."
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
        description="Port of `/metrics` alone, which `WS_PORT` then answers with 404. "
        "Empty leaves it there; 0 takes a free one.",
    )
