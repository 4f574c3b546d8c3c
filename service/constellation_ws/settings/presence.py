"""Settings of whether and how a backend learns who comes online and who goes offline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from constellation_ws.settings.kinds import Takes
from constellation_ws.settings.part import Part

_EVENTS, _URL = "CONSTELLATION_PRESENCE_EVENTS", "CONSTELLATION_PRESENCE_URL"
_KEY = "CONSTELLATION_PRESENCE_KEY"


def _check_url(url: str | None) -> str | None:
    """Refuse what cannot be posted to, and credentials, which logs would show."""
    if url is not None:
        parts = urlsplit(url)
        is_http = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        if not is_http or "@" in parts.netloc or not url.isprintable() or " " in url:
            raise ValueError("not a URL to post to")
    return url


class PresenceSettings(Part):
    """The part of the environment that says to whom online and offline are announced."""

    presence_events: Literal["off", "redis", "http"] = Field(
        "off",
        description="Whether a backend learns that a user came online or went offline: `redis` "
        "appends it to a stream and publishes it, `http` posts it too. See docs/presence.md.",
    )
    presence_url: Annotated[
        str | None,
        AfterValidator(_check_url),
        Takes("a URL without credentials that begins with `http://` or `https://`"),
    ] = Field(
        None,
        description="URL to which online and offline are posted, for `http`.",
    )
    presence_key: SecretStr = Field(
        SecretStr(""),
        description="Key with which these posts are signed (HMAC-SHA256). Empty means that they "
        "are not signed.",
    )

    def faults(self) -> Iterator[str]:
        """Say in a line each which of these settings contradict one another."""
        if self.presence_events == "http":
            if self.presence_url is None:
                yield f"{_EVENTS}=http requires {_URL}"
            return
        for name, value in ((_URL, self.presence_url), (_KEY, self.presence_key)):
            if value:
                yield f"{name} has no effect: set {_EVENTS}=http, or remove it"
