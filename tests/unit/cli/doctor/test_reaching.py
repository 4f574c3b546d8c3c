"""What is said of an address and of its certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from constellation_ws.cli.doctor.reaching import check_address, is_trusted
from constellation_ws.cli.doctor.target import Target, read_target
from constellation_ws.cli.findings import Finding, Verdict
from tests.certificates import HOST, Authority
from tests.processes import unused_port


@asynccontextmanager
async def listening(context: ssl.SSLContext | None) -> AsyncIterator[Target]:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, HOST, 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        scheme = "http" if context is None else "https"
        yield read_target(f"{scheme}://{HOST}:{port}", "/", "/chats", "bob")


async def found(target: Target) -> dict[str, Finding]:
    return {one.subject: one async for one in check_address(target)}


def served(folder: Path, days: int) -> tuple[Authority, ssl.SSLContext]:
    authority = Authority(folder, days=(-1, days))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("gateway"))
    return authority, context


async def test_an_address_where_nobody_listens() -> None:
    target = read_target(f"http://{HOST}:{unused_port()}", "/", "/chats", "bob")
    said = await found(target)
    assert said["address"].verdict is Verdict.FAILED
    assert "connection refused" in said["address"].detail


async def test_a_name_that_is_not_known() -> None:
    said = await found(read_target("http://nobody.invalid", "/", "/chats", "bob"))
    assert "check the host name" in said["address"].remedy


async def test_plain_http_is_a_warning_elsewhere_than_on_this_machine() -> None:
    async with listening(None) as target:
        assert (await found(target))["tls"].verdict is Verdict.SKIPPED
        assert await is_trusted(target)


async def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    _, context = served(tmp_path, 100)
    async with listening(context) as target:
        said = await found(target)
        assert not await is_trusted(target)
    assert said["address"].verdict is Verdict.OK
    assert said["tls"].verdict is Verdict.FAILED
    assert said["tls"].detail.startswith("its certificate is refused: ")


async def test_a_port_without_tls() -> None:
    async with listening(None) as plain:
        said = await found(replace(plain, url=plain.url.replace("http", "https")))
    assert "A plain one needs http:// here" in said["tls"].remedy


@pytest.mark.parametrize(("days", "verdict"), [(100, Verdict.OK), (5, Verdict.WARNING)])
async def test_a_certificate_that_ends_soon(
    days: int, verdict: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = served(tmp_path, days)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert_file))
    async with listening(context) as target:
        assert (await found(target))["tls"].verdict is verdict
        assert await is_trusted(target)
