"""Every setting of the process: read once from the environment, checked, frozen.

Parts receive the values they need, never this object. The README's table is generated from here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from service import redis_address
from service.kinds import Host, LogFormat, LogLevel, Origins, ReadableFile, RedisUrl
from service.settings_access import ChatAccessSettings
from service.settings_identity import IdentitySettings
from service.variables import UnknownVariable, explain, find_unknown, show

PREFIX = "CONSTELLATION_"
_Port = Annotated[int, Field(ge=0, le=65535)]
_Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1, le=10_000_000)]


class InvalidSettings(ValueError):
    """The environment cannot be read; `str()` has one line per fault, secrets masked."""


class Settings(IdentitySettings, ChatAccessSettings, BaseSettings):
    """The environment of one gateway process. Names in CONTRACT section 4 have no prefix."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,  # a traceback would show it, secrets too
    )

    ws_port: _Port = Field(
        7000,
        validation_alias="WS_PORT",
        description="Port of Socket.IO, the probes and the metrics. 0 takes a free one.",
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        validation_alias="CONSTELLATION_METRICS_PORT",
        description="Port of `/metrics` alone, which `WS_PORT` then answers with 404. "
        "Empty leaves it there; 0 takes a free one.",
    )
    tcp_port: _Port = Field(
        7756,
        validation_alias="TCP_PORT",
        description="Port of the NestJS TCP microservice. 0 takes a free one.",
    )
    tcp_host: Host = Field(
        "0.0.0.0",
        validation_alias="TCP_HOST",
        description="Address the TCP microservice listens on. It has no authentication: "
        "keep it inside the cluster.",
    )
    redis_host: Host = Field("localhost", validation_alias="REDIS_HOST", description="Redis host.")
    redis_port: _Port = Field(6379, validation_alias="REDIS_PORT", description="Redis port.")
    redis_password: SecretStr = Field(
        SecretStr(""),
        validation_alias="REDIS_PASSWORD",
        description="Redis password. Empty means none.",
    )
    redis_db: Annotated[int, Field(ge=0)] = Field(
        0, validation_alias="REDIS_DB", description="Redis database number."
    )
    redis_url: RedisUrl = Field(
        None,
        validation_alias="REDIS_URL",
        description="Where Redis is; wins over the four above.",
    )
    ws_host: Host = Field(
        "0.0.0.0",
        validation_alias="CONSTELLATION_WS_HOST",
        description="Address that Socket.IO and HTTP listen on.",
    )
    log_level: LogLevel = Field(
        "info", validation_alias="CONSTELLATION_LOG_LEVEL", description="Least level to log."
    )
    log_format: LogFormat = Field(
        "auto",
        validation_alias="CONSTELLATION_LOG_FORMAT",
        description="`json` lines, readable `console` lines, or `auto`: console on a terminal.",
    )
    cors_origins: Origins = Field(
        ("*",),
        validation_alias="CONSTELLATION_CORS_ORIGINS",
        description="Origins whose pages may connect, separated by commas; `*` allows all.",
    )
    routes_file: ReadableFile = Field(
        None,
        validation_alias="CONSTELLATION_ROUTES_FILE",
        description="TOML file with further channels, in the form of `service/routes.toml`.",
    )
    ping_interval_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        25,
        validation_alias="CONSTELLATION_PING_INTERVAL_SECONDS",
        description="Seconds between Engine.IO heartbeats.",
    )
    ping_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        20,
        validation_alias="CONSTELLATION_PING_TIMEOUT_SECONDS",
        description="Seconds a client has to answer a heartbeat.",
    )
    max_id_chars: _Count = Field(
        128,
        validation_alias="CONSTELLATION_MAX_ID_CHARS",
        description="Longest user or chat id, in characters.",
    )
    max_rooms_per_socket: _Count = Field(
        500,
        validation_alias="CONSTELLATION_MAX_ROOMS_PER_SOCKET",
        description="Chats one socket may have joined at a time.",
    )
    max_request_bytes: _Count = Field(
        16_384,
        validation_alias="CONSTELLATION_MAX_REQUEST_BYTES",
        description="Largest request of a client; a larger one is refused with "
        "`payload_too_large`.",
    )
    # A limit that the handshake itself exceeds would let nobody in.
    max_payload_bytes: Annotated[int, Field(ge=512, le=10_000_000)] = Field(
        1_000_000,
        validation_alias="CONSTELLATION_MAX_PAYLOAD_BYTES",
        description="Largest Engine.IO packet taken at all; above it the connection is closed.",
    )
    max_requests_per_second: _Count = Field(
        50,
        validation_alias="CONSTELLATION_MAX_REQUESTS_PER_SECOND",
        description="Requests a second that one socket may send on average.",
    )
    max_request_burst: _Count = Field(
        500,
        validation_alias="CONSTELLATION_MAX_REQUEST_BURST",
        description="Requests one socket may send at once. After as many refused ones in a "
        "row it is closed.",
    )
    max_write_buffer_bytes: _Count = Field(
        1_048_576,
        validation_alias="CONSTELLATION_MAX_WRITE_BUFFER_BYTES",
        description="Bytes that may wait for one client; a slower one is closed and reconnects.",
    )
    max_connections: _Count = Field(
        50_000,
        validation_alias="CONSTELLATION_MAX_CONNECTIONS",
        description="Connections of one process; above it handshakes get 503 and readiness falls.",
    )
    max_connects_per_second: _Count = Field(
        2_000,
        validation_alias="CONSTELLATION_MAX_CONNECTS_PER_SECOND",
        description="Handshakes a second on average, five times as many at once; more get 503.",
    )
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        45,
        validation_alias="CONSTELLATION_CONNECT_TIMEOUT_SECONDS",
        description="Seconds a client has to connect to a namespace.",
    )
    tcp_max_frame_bytes: _Count = Field(
        1_000_000,
        validation_alias="CONSTELLATION_TCP_MAX_FRAME_BYTES",
        description="Largest frame on the TCP microservice port.",
    )
    tcp_idle_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        3_600,
        validation_alias="CONSTELLATION_TCP_IDLE_SECONDS",
        description="Seconds without a frame after which a TCP connection is closed.",
    )
    tcp_max_connections: _Count = Field(
        1_000,
        validation_alias="CONSTELLATION_TCP_MAX_CONNECTIONS",
        description="Connections on the TCP microservice port at a time.",
    )
    delivery: Literal["durable", "live"] = Field(
        "durable",
        validation_alias="CONSTELLATION_DELIVERY",
        description="`durable` keeps events in a Redis stream, so that clients can resume; "
        "`live` hands them from Pub/Sub straight to the sockets.",
    )
    recovery: Literal["auto", "always", "off"] = Field(
        "auto",
        validation_alias="CONSTELLATION_RECOVERY",
        description="Which clients get the log's offset as an event's last argument: `auto` those "
        "that ask or have resumed, `always` all, `off` none, and nobody can resume.",
    )
    recovery_window_seconds: Annotated[float, Field(ge=5, le=86_400)] = Field(
        120,
        validation_alias="CONSTELLATION_RECOVERY_WINDOW_SECONDS",
        description="Seconds that events stay in the log, and sessions after their connection.",
    )
    log_max_entries: _Count = Field(
        1_000_000,
        validation_alias="CONSTELLATION_LOG_MAX_ENTRIES",
        description="Events that the log holds at most, whatever their age.",
    )
    max_replay_events: _Count = Field(
        1_000,
        validation_alias="CONSTELLATION_MAX_REPLAY_EVENTS",
        description="Events that one resume may replay; who missed more is not recovered.",
    )
    max_connection_age_seconds: _Seconds = Field(
        0,
        validation_alias="CONSTELLATION_MAX_CONNECTION_AGE_SECONDS",
        description="Seconds after which a connection is closed, up to a fifth earlier by chance, "
        "so that its client reconnects and new pods get their share. 0 means never.",
    )
    redis_grace_seconds: _Seconds = Field(
        30,
        validation_alias="CONSTELLATION_REDIS_GRACE_SECONDS",
        description="Seconds without Redis after which readiness falls, so that one Redis "
        "restart does not empty the Service.",
    )
    drain_delay_seconds: _Seconds = Field(
        5,
        validation_alias="CONSTELLATION_DRAIN_DELAY_SECONDS",
        description="Seconds between SIGTERM and the first closed socket, for the endpoints "
        "to notice.",
    )
    drain_window_seconds: _Seconds = Field(
        20,
        validation_alias="CONSTELLATION_DRAIN_WINDOW_SECONDS",
        description="Seconds over which the sockets are closed evenly.",
    )

    @model_validator(mode="after")
    def _check_request_fits_payload(self) -> Self:
        if self.max_request_bytes > self.max_payload_bytes:
            raise ValueError(
                "CONSTELLATION_MAX_REQUEST_BYTES must not be above CONSTELLATION_MAX_PAYLOAD_BYTES"
            )
        return self

    @model_validator(mode="after")
    def _check_trust(self) -> Self:
        faults = [*self.identity_faults(self.cors_origins)]
        if faults := [*faults, *self.chat_access_faults(self.auth_mode)]:
            raise ValueError("\n".join(faults))
        return self

    def redis_address(self) -> str:
        """Give the URL to connect to, password included: never log it, see `redis_label`."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        return redis_address.url_of(
            self.redis_host,
            self.redis_port,
            self.redis_password.get_secret_value(),
            self.redis_db,
        )

    def redis_label(self) -> str:
        """Give the address without credentials or query, fit for logs."""
        return redis_address.label(self.redis_address())


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it is in effect, fit for showing."""

    variable: str
    value: str
    is_default: bool


def load() -> Settings:
    """Read the environment. Raises InvalidSettings with one line per fault."""
    try:
        return Settings()
    except ValidationError as error:
        known = dict(fields())
        lines = [explain(fault, known) for fault in error.errors(include_url=False)]
        raise InvalidSettings("\n".join(lines)) from error


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Yield (environment variable, its field) in the order of the documentation."""
    for _, field in _in_order():
        yield str(field.validation_alias), field


def effective(settings: Settings) -> Iterator[Effective]:
    """Yield every setting with its value, in the order of the documentation."""
    for name, field in _in_order():
        value = show(getattr(settings, name))
        is_default = name not in settings.model_fields_set
        yield Effective(str(field.validation_alias), value, is_default)


def _in_order() -> Iterator[tuple[str, FieldInfo]]:
    """Yield the fields that stand here before those of the parts that are inherited."""
    found = Settings.model_fields.items()
    yield from ((name, field) for name, field in found if name in Settings.__annotations__)
    yield from ((name, field) for name, field in found if name not in Settings.__annotations__)


def unknown_variables() -> list[UnknownVariable]:
    """Find variables of the environment that look like settings and are none: typos."""
    return list(find_unknown(os.environ, PREFIX, dict(fields())))
