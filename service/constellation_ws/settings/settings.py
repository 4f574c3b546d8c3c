"""Every setting of the process: read once from the environment, checked, frozen.

Parts receive the values they need, never this object. The README's table is generated from here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsConfigDict

from constellation_ws.messages.redis_emitter import DEFAULT_KEY, EmitterChannels
from constellation_ws.redis_io import address as redis_address
from constellation_ws.redis_io.names import DEFAULT_PREFIX, Names
from constellation_ws.runtime.listening import EVERY_ADDRESS, WILDCARDS, address_towards
from constellation_ws.settings.access import ChatAccessSettings
from constellation_ws.settings.api import ApiSettings
from constellation_ws.settings.identity import IdentitySettings
from constellation_ws.settings.kinds import (
    Count,
    EmitterKey,
    Host,
    OptionalHost,
    Origins,
    Port,
    PortOrOff,
    ReadableFile,
    RedisUrl,
    Seconds,
    addresses_overlap,
)
from constellation_ws.settings.limits import LimitSettings
from constellation_ws.settings.tls import TlsSettings
from constellation_ws.settings.variables import UnknownVariable, explain, find_unknown, show
from constellation_ws.settings.watching import WatchingSettings
from constellation_ws.tls.certificates import NamedFile, TlsFiles

PREFIX = "CONSTELLATION_"
DEFAULT_PEER_PORT = 7757


class InvalidSettings(ValueError):
    """The environment cannot be read; `str()` has one line per fault, secrets masked."""


class Settings(
    WatchingSettings,
    LimitSettings,
    IdentitySettings,
    ChatAccessSettings,
    ApiSettings,
    TlsSettings,
):
    """The environment of one gateway process. Names in CONTRACT section 4 have no prefix."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,  # a traceback would show it, secrets too
    )

    ws_port: Port = Field(
        7000,
        validation_alias="WS_PORT",
        description="Port of Socket.IO, the probes and the metrics. 0 selects a free port.",
    )
    tcp_port: Port = Field(
        7756,
        validation_alias="TCP_PORT",
        description="Port of the NestJS TCP microservice. 0 selects a free port.",
    )
    tcp_host: Host = Field(
        "127.0.0.1",
        validation_alias="TCP_HOST",
        description="Address that the TCP microservice listens on: only this machine by default. "
        "The image sets `::`, which is every address, IPv6 and IPv4. The port has no "
        "authentication: restrict access to it.",
    )
    redis_host: Host = Field("localhost", validation_alias="REDIS_HOST", description="Redis host.")
    redis_port: Port = Field(6379, validation_alias="REDIS_PORT", description="Redis port.")
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
        description="URL of Redis; overrides the four settings above.",
    )
    redis_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = Field(
        DEFAULT_PREFIX,
        validation_alias="CONSTELLATION_REDIS_PREFIX",
        description="Prefix of the gateway's own keys and channels. Two deployments on one Redis "
        "need different prefixes: Pub/Sub ignores database numbers.",
    )
    emitter_key: EmitterKey = Field(
        DEFAULT_KEY,
        validation_alias="CONSTELLATION_EMITTER_KEY",
        description="The `key` with which `@socket.io/redis-emitter` publishes, and Socket.IO "
        "servers with `@socket.io/redis-adapter`; the Redis user must be permitted to subscribe to "
        "`<key>#*` and `<key>-request#*`. `off` ignores both.",
    )
    ws_host: Host = Field(
        EVERY_ADDRESS,
        validation_alias="CONSTELLATION_WS_HOST",
        description="Address that Socket.IO, HTTP, the metrics and the API listen on. `::` is "
        "every address of the machine, IPv6 and IPv4; `0.0.0.0` is IPv4 alone.",
    )
    peer_port: PortOrOff = Field(
        DEFAULT_PEER_PORT,
        validation_alias="CONSTELLATION_PEER_PORT",
        description="Port on which pods take each other's requests, so that a client's request may "
        "reach any pod. 0 selects a free port; `off` answers requests for other pods' sessions "
        "with `unknown_session`. Only pods may reach it: do not publish it.",
    )
    peer_address: OptionalHost = Field(
        None,
        validation_alias="CONSTELLATION_PEER_ADDRESS",
        description="Address at which other pods reach this one. Empty means the address of this "
        "machine from which it reaches Redis.",
    )
    cors_origins: Origins = Field(
        ("*",),
        validation_alias="CONSTELLATION_CORS_ORIGINS",
        description="Origins whose pages may connect, separated by commas; `*` allows all. "
        "`https://*.example.com` allows every name with one more label, `null` allows pages "
        "without an origin. Pages of the gateway's own host may always connect.",
    )
    routes_file: ReadableFile = Field(
        None,
        validation_alias="CONSTELLATION_ROUTES_FILE",
        description="TOML file with additional channels, in the format of the gateway's own "
        "`routes.toml`.",
    )
    ping_interval_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        25,
        validation_alias="CONSTELLATION_PING_INTERVAL_SECONDS",
        description="Seconds between Engine.IO pings.",
    )
    ping_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        20,
        validation_alias="CONSTELLATION_PING_TIMEOUT_SECONDS",
        description="Seconds in which a client must answer a ping.",
    )
    delivery: Literal["durable", "live"] = Field(
        "durable",
        validation_alias="CONSTELLATION_DELIVERY",
        description="`durable` stores events in a Redis stream, so that clients can resume; "
        "`live` delivers them from Pub/Sub directly to the sockets.",
    )
    recovery: Literal["auto", "always", "off"] = Field(
        "auto",
        validation_alias="CONSTELLATION_RECOVERY",
        description="Which clients receive the offset as the last argument of each event: `auto` "
        "those that request it or have resumed, `always` all, `off` none: no client can resume.",
    )
    recovery_window_seconds: Annotated[float, Field(ge=5, le=86_400)] = Field(
        120,
        validation_alias="CONSTELLATION_RECOVERY_WINDOW_SECONDS",
        description="Seconds for which events stay in the log, and sessions stay resumable after a "
        "disconnect; at least the ping interval plus the ping timeout.",
    )
    log_max_entries: Count = Field(
        1_000_000,
        validation_alias="CONSTELLATION_LOG_MAX_ENTRIES",
        description="Maximum number of events in the log, whatever their age.",
    )
    max_replay_events: Count = Field(
        1_000,
        validation_alias="CONSTELLATION_MAX_REPLAY_EVENTS",
        description="Maximum number of events that one resume replays; a client that missed more "
        "is not recovered.",
    )
    max_connection_age_seconds: Seconds = Field(
        0,
        validation_alias="CONSTELLATION_MAX_CONNECTION_AGE_SECONDS",
        description="Seconds after which a connection is closed, minus a random part of up to a "
        "fifth, so that clients reconnect and are spread over new pods. 0 means never.",
    )
    redis_grace_seconds: Seconds = Field(
        30,
        validation_alias="CONSTELLATION_REDIS_GRACE_SECONDS",
        description="Seconds without Redis after which the pod becomes unready. Above the duration "
        "of a Redis restart, so that a restart does not empty the Service.",
    )
    drain_delay_seconds: Seconds = Field(
        5,
        validation_alias="CONSTELLATION_DRAIN_DELAY_SECONDS",
        description="Seconds between SIGTERM and the first closed connection, so that the pod is "
        "removed from the endpoints first.",
    )
    drain_window_seconds: Seconds = Field(
        20,
        validation_alias="CONSTELLATION_DRAIN_WINDOW_SECONDS",
        description="Seconds over which the connections are closed evenly.",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        faults = [
            *self.identity_faults(self.cors_origins),
            *self.chat_access_faults(self.auth_mode),
            *self.api_faults(),
            *self._port_faults(),
            *self._recovery_faults(),
            *self.tls_faults(),
            *self._redis_files().faults(),
        ]
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def invalid_certificates(self, now: datetime) -> Iterator[str]:
        """Say in a line each which certificates have expired, or are not valid yet.

        That is no fault of the settings: it stops nobody who does not need that certificate, and
        the file may be replaced while the gateway runs.
        """
        yield from self.tcp_tls_files().invalid_at(now)
        yield from self._redis_files().invalid_at(now)

    def _port_faults(self) -> Iterator[str]:
        """Find two doors on one port: the system says so only in words that name neither."""
        doors = [
            ("WS_PORT", self.ws_host, self.ws_port),
            ("TCP_PORT", self.tcp_host, self.tcp_port),
            ("CONSTELLATION_METRICS_PORT", self.ws_host, self.metrics_port),
            ("CONSTELLATION_PEER_PORT", self.ws_host, self.peer_port),
            ("CONSTELLATION_API_PORT", self.ws_host, self.api_port),
        ]
        for (one, host, port), (other, other_host, other_port) in combinations(doors, 2):
            if port and port == other_port and addresses_overlap(host, other_host):
                yield f"{one} and {other} both are {port}: use different ports"

    def _recovery_faults(self) -> Iterator[str]:
        if self.delivery == "live":
            if self.recovery == "always":
                yield (
                    "CONSTELLATION_RECOVERY=always needs CONSTELLATION_DELIVERY=durable: "
                    "with live there is no log from which a client could resume"
                )
            return
        silent_seconds = self.ping_interval_seconds + self.ping_timeout_seconds
        if self.recovery != "off" and self.recovery_window_seconds < silent_seconds:
            yield (
                f"CONSTELLATION_RECOVERY_WINDOW_SECONDS is '{self.recovery_window_seconds:g}'; "
                f"it must be {silent_seconds:g} or more: CONSTELLATION_PING_INTERVAL_SECONDS plus "
                "CONSTELLATION_PING_TIMEOUT_SECONDS, the time in which a client notices that its "
                "connection is dead"
            )

    def _redis_files(self) -> TlsFiles:
        """Name the files that the URL of Redis names for TLS."""
        options = redis_address.tls_options(self.redis_address())
        files = {
            option: NamedFile(Path(options[option]), "REDIS_URL", option)
            for option in ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs")
            if option in options
        }
        return TlsFiles(
            cert=files.get("ssl_certfile"),
            key=files.get("ssl_keyfile"),
            authorities=files.get("ssl_ca_certs"),
            password=options.get("ssl_password"),
        )

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

    def own_address(self) -> str:
        """Give the address at which other pods reach this one."""
        if self.peer_address is not None:
            return self.peer_address
        if self.ws_host not in WILDCARDS:
            return self.ws_host
        return address_towards(*redis_address.first_node(self.redis_address()))

    def redis_names(self) -> Names:
        """Give the names of the deployment's keys and channels."""
        return Names(self.redis_prefix)

    def emitter_channels(self) -> EmitterChannels:
        """Give the channels on which Socket.IO emitters publish."""
        return EmitterChannels(self.emitter_key or "")

    def api_connections(self) -> int:
        """Give how many connections the HTTP API may have: none where it is off."""
        return 0 if self.api_port is None else self.api_max_connections

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
