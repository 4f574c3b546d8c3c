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
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from constellation_ws.redis_io import address as redis_address
from constellation_ws.runtime.listening import WILDCARDS, address_towards
from constellation_ws.settings.access import ChatAccessSettings
from constellation_ws.settings.api import ApiSettings
from constellation_ws.settings.console import ConsoleSettings
from constellation_ws.settings.delivery import DeliverySettings
from constellation_ws.settings.draining import DrainingSettings
from constellation_ws.settings.identity import IdentitySettings
from constellation_ws.settings.kinds import PLAIN_SECRET, LogFormat, addresses_overlap, kind
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


class Settings(BaseModel):
    """The environment of one gateway process, by part, in the order of the documentation."""

    model_config = ConfigDict(frozen=True)

    listening: ListeningSettings = Field(default_factory=ListeningSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    delivery: DeliverySettings = Field(default_factory=DeliverySettings)
    draining: DrainingSettings = Field(default_factory=DrainingSettings)
    tls: TlsSettings = Field(default_factory=TlsSettings)
    presence: PresenceSettings = Field(default_factory=PresenceSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    chat_access: ChatAccessSettings = Field(default_factory=ChatAccessSettings)
    identity: IdentitySettings = Field(default_factory=IdentitySettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    watching: WatchingSettings = Field(default_factory=WatchingSettings)
    console: ConsoleSettings = Field(default_factory=ConsoleSettings)

    def faults(self) -> Iterator[str]:
        """Say in a line each which settings contradict one another, or what they name."""
        listening = self.listening
        yield from self.identity.faults(listening.cors_origins)
        yield from self.chat_access.faults(self.identity.auth_mode)
        yield from self.api.faults()
        yield from self.presence.faults()
        yield from self.console.faults(listening.ws_host, self.watching.metrics_port)
        yield from self._port_faults()
        yield from self.delivery.faults()
        yield from self.tls.faults()
        yield from self.redis.faults()
        yield from self.redis.files().faults()

    def invalid_certificates(self, now: datetime) -> Iterator[str]:
        """Say in a line each which certificates have expired, or are not valid yet.

        That is no fault of the settings: it stops nobody who does not need that certificate, and
        the file may be replaced while the gateway runs.
        """
        yield from self.tls.files().invalid_at(now)
        yield from self.redis.files().invalid_at(now)

    def _port_faults(self) -> Iterator[str]:
        """Find two interfaces on one port: the error of the system names no setting."""
        listening = self.listening
        ports = [
            ("WS_PORT", listening.ws_host, listening.ws_port),
            ("TCP_PORT", listening.tcp_host, listening.tcp_port),
            ("CONSTELLATION_METRICS_PORT", listening.ws_host, self.watching.metrics_port),
            ("CONSTELLATION_PEER_PORT", listening.ws_host, listening.peer_port),
            ("CONSTELLATION_API_PORT", listening.ws_host, self.api.api_port),
        ]
        for (one, host, port), (other, other_host, other_port) in combinations(ports, 2):
            if port and port == other_port and addresses_overlap(host, other_host):
                yield f"{one} and {other} both are {port}: use different ports"

    def own_address(self) -> str:
        """Give the address at which other pods reach this one."""
        listening = self.listening
        if listening.peer_address is not None:
            return listening.peer_address
        if listening.ws_host not in WILDCARDS:
            return listening.ws_host
        return address_towards(*redis_address.first_node(self.redis.address()))

    def api_connections(self) -> int:
        """Give how many connections the HTTP API may have: none where it is off."""
        return 0 if self.api.api_port is None else self.limits.api_max_connections


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it is in effect, fit for showing."""

    variable: str
    value: str
    is_default: bool


def load() -> Settings:
    """Read the environment. Raises InvalidSettings with one line per fault."""
    known, parts, faults = dict(fields()), dict[str, Part](), list[str]()
    for name, part in _parts():
        try:
            parts[name] = part()
        except ValidationError as error:
            faults += [explain(fault, known) for fault in error.errors(include_url=False)]
    if not faults:
        settings = Settings.model_validate(parts)
        faults += settings.faults()
    if faults:
        raise InvalidSettings("\n".join(faults))
    return settings


def defaults(**values: Mapping[str, Any]) -> Settings:
    """Make the settings of an empty environment, with these values of parts instead, unchecked."""
    parts: dict[str, Any] = {
        name: part.model_construct(**values.get(name, {})) for name, part in _parts()
    }
    return Settings.model_construct(**parts)


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
    for _, part in _parts():
        for field in part.model_fields.values():
            yield str(field.validation_alias), field


def effective(settings: Settings) -> Iterator[Effective]:
    """Yield every setting with its value, in the order of the documentation."""
    for part_name, _ in _parts():
        part: Part = getattr(settings, part_name)
        for name, field in type(part).model_fields.items():
            value, is_default = show(getattr(part, name)), name not in part.model_fields_set
            yield Effective(str(field.validation_alias), value, is_default)


def _parts() -> Iterator[tuple[str, type[Part]]]:
    for name, field in Settings.model_fields.items():
        assert isinstance(field.annotation, type), "declared above"
        yield name, field.annotation


def environment() -> Mapping[str, str]:
    """Give the variables among which those are that an interface names."""
    return os.environ


def without_effect(settings: Settings) -> list[str]:
    """Say in a line each which settings are set and change nothing, which is no fault."""
    return list(settings.delivery.without_effect())


def unknown_variables() -> list[UnknownVariable]:
    """Find variables of the environment that look like settings and are none: typos."""
    return list(find_unknown(os.environ, PREFIX, dict(fields())))


def padded_secrets(settings: Settings) -> list[str]:
    """Name the variables of secrets that begin or end with white space, which is part of them.

    Mostly it is the line break that `echo` wrote into a Secret. Nobody sees it, as the value is not
    shown: Redis refuses the password, or no token has a valid signature. It may be on purpose where
    the issuer reads the same Secret.
    """
    padded = list[str]()
    for part_name, _ in _parts():
        part: Part = getattr(settings, part_name)
        for name, field in type(part).model_fields.items():
            value = getattr(part, name)
            # Of URLs and PEM files it is no part.
            if isinstance(value, SecretStr) and kind(field) == PLAIN_SECRET:
                text = value.get_secret_value()
                padded += [str(field.validation_alias)] if text != text.strip() else []
    return padded
