"""Makes the part that decides who may join a chat, by the settings."""

from __future__ import annotations

from urllib.parse import urlsplit

from constellation_ws.access.access import Access, Asked, Everybody, TokenChats
from constellation_ws.access.http import HttpApi
from constellation_ws.access.nest import NestApi
from constellation_ws.access.queries import Api
from constellation_ws.observability.metrics import Metrics
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.settings.access import ChatAccessSettings


def make_access(settings: ChatAccessSettings, metrics: Metrics, spawn: Spawn) -> Access:
    """Make it."""
    if settings.mode == "open":
        return Everybody()
    if settings.mode == "claim":
        return TokenChats()
    timeout = settings.chat_access_timeout_seconds
    return Asked(_api(settings, timeout), metrics, spawn=spawn, timeout_seconds=timeout)


def _api(settings: ChatAccessSettings, timeout_seconds: float) -> Api:
    url = settings.chat_access_url or ""
    if settings.mode == "http":
        return HttpApi(url, settings.chat_access_token.get_secret_value(), timeout_seconds)
    parts = urlsplit(url)
    assert parts.hostname is not None, "checked by the settings"
    assert parts.port is not None, "checked by the settings"
    return NestApi(parts.hostname, parts.port, settings.chat_access_pattern, timeout_seconds)
