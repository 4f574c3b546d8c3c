"""TLS towards Redis: files that are renewed are read at the next connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from redis.asyncio import Redis

from constellation_ws.redis_io.link import make_client
from tests.certificates import Authority
from tests.forwarder import Forwarder
from tests.processes import HOST, Valkey
from tests.valkeys import renew, server_context, tls_port
from tests.waiting import PATIENCE_SECONDS, eventually


@dataclass(frozen=True, slots=True)
class Secured:
    """A Valkey behind TLS that asks for certificates, and a client that has one."""

    client: Redis
    context: ssl.SSLContext
    wire: Forwarder
    folder: Path

    async def answers(self) -> bool:
        """Whether a new connection is accepted."""
        await eventually(self.wire.break_all, PATIENCE_SECONDS, "all connections are broken")
        with suppress(redis.ConnectionError):
            return bool(await self.client.ping())
        return False

    def renew_everything(self) -> None:
        """Sign both sides by a new authority; all lie in the same files as before."""
        (self.folder / "new").mkdir()
        authority = Authority(self.folder / "new", "next")
        renew(self.context, authority)
        for new in (*authority.issue("gateway"), authority.cert_file):
            old = "authority.crt" if new == authority.cert_file else new.name
            new.replace(self.folder / old)


@pytest.fixture
async def secured(valkey: Valkey, tmp_path: Path) -> AsyncIterator[Secured]:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("gateway")
    context = server_context(authority, asks_clients=True)
    async with tls_port(valkey.port, context) as (port, wire):
        url = (
            f"rediss://{HOST}:{port}/0?ssl_ca_certs={authority.cert_file}"
            f"&ssl_certfile={certificate}&ssl_keyfile={key}"
        )
        async with make_client(url, retries=0) as client:
            yield Secured(client, context, wire, tmp_path)


async def test_a_renewed_authority_and_client_certificate_are_read_at_the_next_connection(
    secured: Secured,
) -> None:
    assert await secured.answers()
    secured.renew_everything()
    assert await secured.answers()


async def test_a_certificate_that_came_before_its_key_leaves_the_old_one_in_force(
    secured: Secured,
) -> None:
    assert await secured.answers()
    key = secured.folder / "gateway.key"
    old = key.read_bytes()
    Authority(secured.folder, "another").issue("gateway")
    key.write_bytes(old)
    assert await secured.answers()


async def test_many_connections_read_the_files_once(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    make = ssl.create_default_context

    def count() -> ssl.SSLContext:
        nonlocal reads
        reads += 1
        return make()

    monkeypatch.setattr(ssl, "create_default_context", count)
    assert await secured.answers()
    await asyncio.gather(*(secured.client.ping() for _ in range(20)))
    assert reads <= 1
