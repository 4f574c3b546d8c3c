"""Settings of who may join a chat, and how they must fit together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from constellation_ws.settings.kinds import Takes
from constellation_ws.settings.part import Part

_SCHEMES = {"http": ("http", "https"), "nest": ("tcp",)}
_BEARER = re.compile(r"[\x21-\x7e]*")


def _check_url(url: str | None) -> str | None:
    """Refuse what cannot be asked, and credentials, which logs would show."""
    if url is not None:
        parts = urlsplit(url)
        is_tcp = parts.scheme == "tcp"
        if (
            parts.scheme not in ("http", "https", "tcp")
            or not parts.hostname
            or "@" in parts.netloc
            or not url.isprintable()
            or " " in url
            or (parts.port is None and is_tcp)
            or (is_tcp and (parts.path or parts.query or parts.fragment))
        ):
            raise ValueError("not a URL of an API")
    return url


def _check_token(token: SecretStr) -> SecretStr:
    """Refuse what no header can carry."""
    if not _BEARER.fullmatch(token.get_secret_value()):
        raise ValueError("not a bearer token")
    return token


class ChatAccessSettings(Part):
    """The part of the environment that says who may join a chat."""

    mode: Literal["open", "claim", "http", "nest"] = Field(
        "open",
        validation_alias="CONSTELLATION_CHAT_ACCESS",
        description="Who may join a chat: with `open` everybody, with `claim` users whose token "
        "lists it, with `http` and `nest` users that the API allows (HTTP, NestJS TCP).",
    )
    chat_access_url: Annotated[
        str | None,
        AfterValidator(_check_url),
        Takes("a URL without credentials: `http://` or `https://`, or `tcp://host:port` for nest"),
    ] = Field(
        None,
        description="URL of the API that decides who may join a chat.",
    )
    chat_access_token: Annotated[
        SecretStr, AfterValidator(_check_token), Takes("a bearer token (secret)")
    ] = Field(
        SecretStr(""),
        description="Bearer token that the gateway sends to the API, for `http`. Empty means none.",
    )
    chat_access_pattern: str = Field(
        "getChatDetails",
        description='NestJS pattern that is called with `{chatId}`, for `nest`; `{"cmd":"name"}` '
        "for a pattern that is an object.",
    )
    chat_access_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        2,
        description="Timeout of a call to the API, in seconds, without the time in the queue. "
        "After it the join is refused with `access_unavailable`.",
    )

    def faults(self, auth_mode: str) -> Iterator[str]:
        """Say in a line each which of these settings contradict one another."""
        schemes = _SCHEMES.get(self.mode)
        if schemes and urlsplit(self.chat_access_url or "").scheme not in schemes:
            takes = " or ".join(f"{scheme}://" for scheme in schemes)
            yield (
                f"CONSTELLATION_CHAT_ACCESS={self.mode} requires that "
                f"CONSTELLATION_CHAT_ACCESS_URL begins with {takes}"
            )
        if self.mode == "claim" and auth_mode != "jwt":
            yield (
                "CONSTELLATION_CHAT_ACCESS=claim requires CONSTELLATION_AUTH_MODE=jwt: without "
                "tokens no chats are listed for a user, and nobody could join any"
            )
