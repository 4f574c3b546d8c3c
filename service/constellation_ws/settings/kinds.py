"""Kinds of values that a setting takes: types that check, and the words that say what they take.

Which settings there are is not known here.
"""

from __future__ import annotations

import ipaddress
import types
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode

from constellation_ws.http.origins import BadOrigin, normalized
from constellation_ws.redis_io import address as redis_address
from constellation_ws.runtime.listening import EVERY_ADDRESS, EVERY_IPV4_ADDRESS


@dataclass(frozen=True, slots=True)
class Takes:
    """Annotates a setting whose type alone does not say what it takes."""

    words: str


def kind(field: FieldInfo) -> str:
    """Say in a few words what a variable takes."""
    for words in (mark.words for mark in field.metadata if isinstance(mark, Takes)):
        return words
    annotation = _bare(field.annotation)
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    return _KINDS[annotation] + _bounds(field.metadata)


def is_secret(field: FieldInfo) -> bool:
    """Return whether a variable's value must not be shown."""
    return _bare(field.annotation) is SecretStr


def _bare(annotation: Any) -> Any:
    """Take the `| None` off a type."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation


def _bounds(metadata: Iterable[object]) -> str:
    words = ""
    for mark in metadata:
        match mark:
            case Ge(low):
                words += f" from {low:,}"
            case Gt(low):
                words += f" above {low:,}"
            case Le(high):
                words += f" to {high:,}" if " from " in words else f", at most {high:,}"
            case Lt(high):
                words += f" below {high:,}"
    return words


def _check_redis_url(url: SecretStr | None) -> SecretStr | None:
    if url is not None:
        redis_address.check_url(url.get_secret_value())
    return url


def _check_file(path: Path | None) -> Path | None:
    if path is not None:
        try:
            path.open("rb").close()  # a path may be there and not be ours to read
        except OSError as error:
            raise ValueError("not a readable file") from error
    return path


def split(value: object) -> object:
    """Take a list apart that a variable holds with commas."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what no browser sends as an origin: it would silently allow nobody."""
    return tuple(map(_check_origin, origins))


def _check_origin(origin: str) -> str:
    try:
        return normalized(origin)
    except BadOrigin as error:
        raise BadOrigin(f"{origin!r} cannot be allowed: {error}") from error


def _check_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    for network in networks:
        ipaddress.ip_network(network)  # also refuses host bits, which are mostly a slip
    return networks


def addresses_overlap(one: str, other: str) -> bool:
    """Return whether two addresses to listen on can have a port in common, by their names."""
    hosts = {"127.0.0.1" if host == "localhost" else host for host in (one, other)}
    if len(hosts) == 1 or EVERY_ADDRESS in hosts:
        return True
    return EVERY_IPV4_ADDRESS in hosts and not any(":" in host for host in hosts)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _read_off(value: object) -> object:
    return None if isinstance(value, str) and value.lower() == "off" else value


Port = Annotated[int, Field(ge=0, le=65535)]
PortOrOff = Annotated[
    Annotated[int, Field(ge=0, le=65535)] | None,
    BeforeValidator(_read_off),
    Takes("a port number, or `off`"),
]
EmitterKey = Annotated[
    Annotated[str, Field(pattern=r"^[A-Za-z0-9._:/-]{1,64}$")] | None,  # no sign of a pattern
    BeforeValidator(_read_off),
    Takes("letters, digits and `._:/-`, or `off`"),
]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Host = Annotated[
    str,
    AfterValidator(redis_address.check_host),
    Takes("a host name or an IP address, without a port"),
]
OptionalHost = Annotated[
    str | None,
    AfterValidator(lambda host: None if host is None else redis_address.check_host(host)),
    Takes("a host name or an IP address, without a port"),
]
RedisUrl = Annotated[
    SecretStr | None,
    AfterValidator(_check_redis_url),
    Takes(
        "a URL (secret) such as `redis://user:password@host:6379/0`, `rediss://host`, "
        "`redis+sentinel://host:26379,host:26379/0/primary`, `redis+cluster://host:6379,host:6379` "
        "or `unix:///path`, with special characters in the password percent-encoded"
    ),
]
ReadableFile = Annotated[
    Path | None, AfterValidator(_check_file), Takes("the path of a readable file")
]
Origins = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(split),
    AfterValidator(_check_origins),
    Takes(
        "`*`, or origins without a path such as `https://app.example.com`, "
        "`https://*.example.com`, `capacitor://localhost` and `null`, separated by commas"
    ),
]
Networks = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(split),
    AfterValidator(_check_networks),
    Takes("networks such as `10.0.0.0/8` or `fd00::/8`, or addresses, separated by commas"),
]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
LogFormat = Annotated[Literal["auto", "json", "console"], BeforeValidator(_lower)]

PLAIN_SECRET = "text (secret)"
_KINDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    SecretStr: PLAIN_SECRET,
}
