"""Users and passwords of Redis that are given beside a URL, as they are.

The URLs are checked already: see `address.check_url`.
"""

from __future__ import annotations

from urllib.parse import quote

from constellation_ws.redis_io.address import read, read_sentinel


def has_credentials(url: str) -> bool:
    """Say whether a checked URL names a user or a password of Redis."""
    options = read(url).options
    return bool(options.get("username") or options.get("password"))


def has_sentinel_password(url: str) -> bool:
    """Say whether a checked URL names a password of the Sentinels."""
    named = read_sentinel(url)
    return named is not None and named.password is not None


def with_credentials(url: str, username: str, password: str) -> str:
    """Put a user and a password, as they are, into a checked URL without any."""
    if not (username or password):
        return url
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{quote(username, safe='')}:{quote(password, safe='')}@{rest}"


def with_sentinel_password(url: str, password: str) -> str:
    """Put the Sentinels' password, as it is, into a checked URL without one."""
    if not password:
        return url
    return f"{url}{'&' if '?' in url else '?'}sentinel_password={quote(password, safe='')}"
