"""TLS towards Redis: a context from the `ssl_` options of its URL, as redis-py names them.

redis-py makes a context for each connection of a pool and keeps it, so a renewed certificate or
authority would never be read. Here all connections share one that follows its files.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redis.asyncio.connection import SSLConnection

from constellation_ws.tls.files import RenewedContext, no_password

_CA_FILE = "ssl_ca_certs"
_CERT_FILES = ("ssl_certfile", "ssl_keyfile")
TLS_OPTIONS = frozenset({
    _CA_FILE, "ssl_ca_path", "ssl_ca_data", *_CERT_FILES, "ssl_password", "ssl_cert_reqs",
    "ssl_check_hostname", "ssl_min_version", "ssl_ciphers", "ssl_include_verify_flags",
    "ssl_exclude_verify_flags",
})  # fmt: skip


class ClientTls:
    """The TLS context for connections to Redis."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Read nothing yet. Raises what redis-py raises for an option that it cannot use."""
        self._options = {"ssl_password": no_password, **options}
        self._renewed = RenewedContext("redis", _files(options), self._read)

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection. Raises OSError at the first time only."""
        return self._renewed.get()

    def _read(self) -> ssl.SSLContext:
        connection: Any = SSLConnection(**self._options)  # for the meaning of the options
        context: ssl.SSLContext = connection.ssl_context.get()
        return context


def _files(options: Mapping[str, Any]) -> list[Path]:
    """Name the files behind the options; without an authority the system's own counts."""
    system = ssl.get_default_verify_paths().cafile
    authority = options.get(_CA_FILE, system)
    named = (authority, *(options.get(name) for name in _CERT_FILES))
    return [Path(file) for file in named if file]
