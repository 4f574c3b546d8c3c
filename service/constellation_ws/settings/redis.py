"""Settings of Redis: where it is, and which of its keys and channels belong to the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from constellation_ws.messages.redis_emitter import DEFAULT_KEY, EmitterChannels
from constellation_ws.redis_io import address as redis_address
from constellation_ws.redis_io import credentials
from constellation_ws.redis_io.names import DEFAULT_PREFIX, Names
from constellation_ws.settings.kinds import EmitterKey, Host, Port, RedisUrl, Seconds, Takes
from constellation_ws.settings.part import Part
from constellation_ws.tls.certificates import NamedFile, TlsFiles

_Prefix = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9._-]{1,64}$"),  # no sign of a pattern, a hash tag or a separator
    Takes("1 to 64 letters, digits and `._-`"),
]


class RedisSettings(Part):
    """How Redis is reached, and what the gateway's own keys and channels are called."""

    redis_host: Host = Field("localhost", description="Redis host.")
    redis_port: Port = Field(6379, description="Redis port.")
    redis_password: SecretStr = Field(
        SecretStr(""),
        description="Redis password. Empty means none.",
    )
    redis_db: Annotated[int, Field(ge=0)] = Field(0, description="Redis database number.")
    redis_url: RedisUrl = Field(
        None,
        description="URL of Redis; overrides the four settings above.",
    )
    redis_username: str = Field(
        "",
        description="User of Redis, as it is: nothing needs to be percent-encoded. Empty means the "
        "default user.",
    )
    redis_url_password: SecretStr = Field(
        SecretStr(""),
        description="Password of Redis, as it is, for a `REDIS_URL` without one; `REDIS_PASSWORD` "
        "has no effect with a URL.",
    )
    redis_sentinel_password: SecretStr = Field(
        SecretStr(""),
        description="Password of the Sentinels, as it is, for a `REDIS_URL` without one.",
    )
    redis_prefix: _Prefix = Field(
        DEFAULT_PREFIX,
        description="Prefix of the gateway's own keys and channels. Two deployments on one Redis "
        "need different prefixes: Pub/Sub ignores database numbers.",
    )
    emitter_key: EmitterKey = Field(
        DEFAULT_KEY,
        description="The `key` with which `@socket.io/redis-emitter` publishes, and Socket.IO "
        "servers with `@socket.io/redis-adapter`; the Redis user must be permitted to subscribe to "
        "`<key>#*` and `<key>-request#*`. `off` ignores both.",
    )
    redis_grace_seconds: Seconds = Field(
        30,
        description="Seconds without Redis after which the pod becomes unready. Above the duration "
        "of a Redis restart, so that a restart does not empty the Service.",
    )

    def address(self) -> str:
        """Give the URL to connect to, password included: never log it, see `label`."""
        if self.redis_url is None:
            url = redis_address.url_of(self.redis_host, self.redis_port, self.redis_db)
            password = self.redis_password
        else:
            url, password = self.redis_url.get_secret_value(), self.redis_url_password
        url = credentials.with_credentials(url, self.redis_username, password.get_secret_value())
        sentinel = self.redis_sentinel_password.get_secret_value()
        return credentials.with_sentinel_password(url, sentinel)

    def faults(self) -> Iterator[str]:
        """Say which credentials have no effect, or another than expected."""
        url = "" if self.redis_url is None else self.redis_url.get_secret_value()
        password, sentinel = self.redis_url_password, self.redis_sentinel_password
        if password.get_secret_value() and not url:
            yield "CONSTELLATION_REDIS_URL_PASSWORD needs REDIS_URL: use REDIS_PASSWORD without it"
        if url and credentials.has_credentials(url):
            for name, value in (
                ("CONSTELLATION_REDIS_USERNAME", self.redis_username),
                ("CONSTELLATION_REDIS_URL_PASSWORD", password.get_secret_value()),
            ):
                if value:
                    yield f"{name} is set, and REDIS_URL has a user or a password too: remove one"
        if sentinel.get_secret_value():
            if "+sentinel:" not in url:
                yield "CONSTELLATION_REDIS_SENTINEL_PASSWORD needs Sentinels in REDIS_URL"
            elif credentials.has_sentinel_password(url):
                yield (
                    "CONSTELLATION_REDIS_SENTINEL_PASSWORD is set, and REDIS_URL has a "
                    "sentinel_password too: remove one"
                )

    def label(self) -> str:
        """Give the address without credentials or query, fit for logs."""
        return redis_address.label(self.address())

    def names(self) -> Names:
        """Give the names of the deployment's keys and channels."""
        return Names(self.redis_prefix)

    def emitter_channels(self) -> EmitterChannels:
        """Give the channels on which Socket.IO emitters publish."""
        return EmitterChannels(self.emitter_key or "")

    def files(self) -> TlsFiles:
        """Name the files that the URL of Redis names for TLS."""
        options = redis_address.tls_options(self.address())
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
