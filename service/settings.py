"""Every setting of the process: read once from the environment, checked, frozen.

Parts receive the values they need, never this object. The README's table is generated from here.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_Port = Annotated[int, Field(ge=0, le=65535)]
_Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1, le=10_000_000)]

_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


class InvalidSettings(ValueError):
    """The environment cannot be read; `str()` has one line per fault, secrets masked."""


class Settings(BaseSettings):
    """The environment of one gateway process. Names in CONTRACT section 4 have no prefix."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    ws_port: _Port = Field(
        7000,
        validation_alias="WS_PORT",
        description="Port of Socket.IO, the probes and the metrics. 0 takes a free one.",
    )
    tcp_port: _Port = Field(
        7756,
        validation_alias="TCP_PORT",
        description="Port of the NestJS TCP microservice. 0 takes a free one.",
    )
    tcp_host: str = Field(
        "0.0.0.0",
        validation_alias="TCP_HOST",
        description="Address the TCP microservice listens on. It has no authentication: "
        "keep it inside the cluster.",
    )
    redis_host: str = Field("localhost", validation_alias="REDIS_HOST", description="Redis host.")
    redis_port: _Port = Field(6379, validation_alias="REDIS_PORT", description="Redis port.")
    redis_password: SecretStr = Field(
        SecretStr(""),
        validation_alias="REDIS_PASSWORD",
        description="Redis password. Empty means none.",
    )
    redis_db: Annotated[int, Field(ge=0)] = Field(
        0, validation_alias="REDIS_DB", description="Redis database number."
    )
    redis_url: SecretStr | None = Field(
        None,
        validation_alias="REDIS_URL",
        description="`redis://`, `rediss://` or `unix://` URL; wins over the four above.",
    )
    ws_host: str = Field(
        "0.0.0.0",
        validation_alias="CONSTELLATION_WS_HOST",
        description="Address that Socket.IO and HTTP listen on.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", validation_alias="CONSTELLATION_LOG_LEVEL", description="Least level to log."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto",
        validation_alias="CONSTELLATION_LOG_FORMAT",
        description="`json` lines, readable `console` lines, or `auto`: console on a terminal.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        ("*",),
        validation_alias="CONSTELLATION_CORS_ORIGINS",
        description="Origins whose pages may connect, separated by commas; `*` allows all.",
    )
    routes_file: Path | None = Field(
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
    max_payload_bytes: _Count = Field(
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
    max_queued_packets: _Count = Field(
        2_000,
        validation_alias="CONSTELLATION_MAX_QUEUED_PACKETS",
        description="Packets that may wait for one client; a slower one is closed and reconnects.",
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

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(_REDIS_SCHEMES):
            raise ValueError(f"a URL that starts with {', '.join(_REDIS_SCHEMES)}")
        return value

    @field_validator("routes_file")
    @classmethod
    def _check_routes_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("the path of a readable file")
        return value

    @model_validator(mode="after")
    def _check_request_fits_payload(self) -> Self:
        if self.max_request_bytes > self.max_payload_bytes:
            raise ValueError(
                "CONSTELLATION_MAX_REQUEST_BYTES must not be above CONSTELLATION_MAX_PAYLOAD_BYTES"
            )
        return self

    def redis_address(self) -> str:
        """Give the URL to connect to, password included: never log it, see `redis_label`."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        password = self.redis_password.get_secret_value()
        credentials = f":{quote(password, safe='')}@" if password else ""
        return f"redis://{credentials}{self.redis_host}:{self.redis_port}/{self.redis_db}"

    def redis_label(self) -> str:
        """Give the address without credentials or query, fit for logs."""
        scheme, _, rest = self.redis_address().partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def load() -> Settings:
    """Read the environment. Raises InvalidSettings with one line per fault."""
    try:
        return Settings()
    except ValidationError as error:
        raise InvalidSettings("\n".join(_explain(fault) for fault in error.errors())) from error


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Yield (environment variable, its field) in the order of the documentation."""
    for field in Settings.model_fields.values():
        yield str(field.validation_alias), field


def kind(field: FieldInfo) -> str:
    """Say in a few words what a variable takes."""
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
    return _KINDS.get(annotation, "text")


_KINDS: dict[Any, str] = {
    int: "whole number",
    float: "number",
    Path: "path",
    SecretStr: "text (secret)",
    tuple[str, ...]: "list, comma-separated",
}


def _explain(fault: ErrorDetails) -> str:
    """One line: the variable, what it holds, what it takes."""
    if not fault["loc"]:
        return _wants(fault)
    name = str(fault["loc"][0])
    field = dict(fields()).get(name)
    holds = repr(fault["input"])
    if field is not None and "secret" in kind(field):
        holds = "a value that is not shown"
    return f"{name} holds {holds}; it takes {_wants(fault)}"


def _wants(fault: ErrorDetails) -> str:
    message = fault["msg"].removeprefix("Value error, ")
    return (
        message.removeprefix("Input should be ")
        .replace("a valid integer, unable to parse string as an integer", "a whole number")
        .replace("a valid number, unable to parse string as a number", "a number")
    )
