"""Every setting of the process: read once from the environment, checked, frozen.

Parts receive the values they need, never this object.
docs/reference/settings.md is generated from here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Self

from pydantic import ValidationError, model_validator
from pydantic.fields import FieldInfo

from constellation_ws.redis_io import address as redis_address
from constellation_ws.runtime.listening import WILDCARDS, address_towards
from constellation_ws.settings.access import ChatAccessSettings
from constellation_ws.settings.api import ApiSettings
from constellation_ws.settings.console import ConsoleSettings
from constellation_ws.settings.delivery import DeliverySettings
from constellation_ws.settings.draining import DrainingSettings
from constellation_ws.settings.identity import IdentitySettings
from constellation_ws.settings.kinds import LogFormat, addresses_overlap
from constellation_ws.settings.limits import LimitSettings
from constellation_ws.settings.listening import ListeningSettings
from constellation_ws.settings.part import PREFIX, Part
from constellation_ws.settings.presence import PresenceSettings
from constellation_ws.settings.redis import RedisSettings
from constellation_ws.settings.tls import TlsSettings
from constellation_ws.settings.variables import UnknownVariable, explain, find_unknown, show
from constellation_ws.settings.watching import WatchingSettings


class InvalidSettings(ValueError):
    """The environment cannot be read; `str()` has one line per fault, secrets masked."""


# pydantic lists the fields of the last base first: that is the order of the documentation.
class Settings(
    ConsoleSettings,
    WatchingSettings,
    LimitSettings,
    IdentitySettings,
    ChatAccessSettings,
    ApiSettings,
    PresenceSettings,
    TlsSettings,
    DrainingSettings,
    DeliverySettings,
    RedisSettings,
    ListeningSettings,
):
    """The environment of one gateway process."""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        faults = [
            *self.identity_faults(self.cors_origins),
            *self.chat_access_faults(self.auth_mode),
            *self.api_faults(),
            *self.presence_faults(),
            *self.console_faults(self.ws_host, self.metrics_port),
            *self._port_faults(),
            *self.delivery_faults(),
            *self.tls_faults(),
            *self.redis_faults(),
            *self.redis_files().faults(),
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
        yield from self.redis_files().invalid_at(now)

    def _port_faults(self) -> Iterator[str]:
        """Find two interfaces on one port: the error of the system names no setting."""
        ports = [
            ("WS_PORT", self.ws_host, self.ws_port),
            ("TCP_PORT", self.tcp_host, self.tcp_port),
            ("CONSTELLATION_METRICS_PORT", self.ws_host, self.metrics_port),
            ("CONSTELLATION_PEER_PORT", self.ws_host, self.peer_port),
            ("CONSTELLATION_API_PORT", self.ws_host, self.api_port),
        ]
        for (one, host, port), (other, other_host, other_port) in combinations(ports, 2):
            if port and port == other_port and addresses_overlap(host, other_host):
                yield f"{one} and {other} both are {port}: use different ports"

    def own_address(self) -> str:
        """Give the address at which other pods reach this one."""
        if self.peer_address is not None:
            return self.peer_address
        if self.ws_host not in WILDCARDS:
            return self.ws_host
        return address_towards(*redis_address.first_node(self.redis_address()))

    def api_connections(self) -> int:
        """Give how many connections the HTTP API may have: none where it is off."""
        return 0 if self.api_port is None else self.api_max_connections


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


def log_format() -> LogFormat:
    """Read how to log while the settings are not read yet, or cannot be; `auto` if unreadable."""
    try:
        return _LogFormatAlone().log_format
    except ValidationError:
        return "auto"


class _LogFormatAlone(Part):
    log_format: LogFormat = "auto"


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Yield (environment variable, its field) in the order of the documentation."""
    for field in Settings.model_fields.values():
        yield str(field.validation_alias), field


def effective(settings: Settings) -> Iterator[Effective]:
    """Yield every setting with its value, in the order of the documentation."""
    for name, field in Settings.model_fields.items():
        value = show(getattr(settings, name))
        is_default = name not in settings.model_fields_set
        yield Effective(str(field.validation_alias), value, is_default)


def environment() -> Mapping[str, str]:
    """Give the variables among which those are that an interface names."""
    return os.environ


def unknown_variables() -> list[UnknownVariable]:
    """Find variables of the environment that look like settings and are none: typos."""
    return list(find_unknown(os.environ, PREFIX, dict(fields())))
