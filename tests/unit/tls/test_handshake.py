"""TLS on a listening port: who gets in, and what a new certificate changes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import uvloop
from structlog.testing import capture_logs

from constellation_ws.nest.connection import CloseReason
from constellation_ws.nest.server import NestTcp
from constellation_ws.runtime.listening import PortUnavailable
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.tls.handshake import ServerTls
from tests.certificates import HOST, Authority
from tests.nest_client import NestClient
from tests.processes import close_writer
from tests.spawning import spawn
from tests.unit.nest.test_server import LIMITS, Recorded, echo, patterns
from tests.waiting import PATIENCE_SECONDS, eventually


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


@asynccontextmanager
async def open_door(tls: ServerTls, metrics: Recorded) -> AsyncIterator[NestTcp]:
    door = NestTcp(patterns({"echo": echo}), metrics, LIMITS, spawn, TurnQueue(), tls)
    await door.start(HOST, 0)
    try:
        yield door
    finally:
        await door.aclose()


@asynccontextmanager
async def connected(port: int, context: ssl.SSLContext | None) -> AsyncIterator[NestClient]:
    reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
    try:
        yield NestClient(reader, writer)
    finally:
        await close_writer(writer)


async def serial(port: int, context: ssl.SSLContext) -> str:
    """The number of the certificate that the port shows."""
    _, writer = await asyncio.open_connection(HOST, port, ssl=context)
    shown = writer.get_extra_info("peercert")["serialNumber"]
    await close_writer(writer)
    return str(shown)


def test_a_client_that_trusts_the_authority_is_answered(
    tmp_path: Path, runner: asyncio.Runner
) -> None:
    authority = Authority(tmp_path)

    async def scenario() -> None:
        metrics = Recorded()
        async with open_door(ServerTls(*authority.issue("server"), None), metrics) as door:
            for _ in range(20):  # the first bytes must never be read as a frame's
                async with connected(door.port, authority.client()) as client:
                    assert await client.ask("echo", "Привет" * 2_000) == "Привет" * 2_000
        assert metrics.refusals == {}
        assert metrics.open == 0

    runner.run(scenario())


def test_who_speaks_plainly_is_refused_and_counted(tmp_path: Path, runner: asyncio.Runner) -> None:
    authority = Authority(tmp_path)

    async def scenario() -> None:
        metrics = Recorded()
        async with open_door(ServerTls(*authority.issue("server"), None), metrics) as door:
            async with connected(door.port, None) as client:
                client.write(b'13#{"pattern":"echo","id":1}')
                await closed(client)
            await metrics.until(lambda: metrics.refusals == {CloseReason.TLS_HANDSHAKE: 1})
            async with connected(door.port, authority.client()) as client:
                assert await client.ask("echo", 1) == 1

    runner.run(scenario())


def test_with_mutual_tls_only_who_shows_a_certificate_of_the_authority_gets_in(
    tmp_path: Path, runner: asyncio.Runner
) -> None:
    authority = Authority(tmp_path)
    stranger = Authority(tmp_path, "stranger").issue("forged")
    tls = ServerTls(*authority.issue("server"), authority.cert_file)

    async def scenario() -> None:
        metrics = Recorded()
        async with open_door(tls, metrics) as door:
            async with connected(door.port, authority.client(authority.issue("api"))) as client:
                assert await client.ask("echo", 1) == 1
            for count, context in enumerate((authority.client(), authority.client(stranger)), 1):
                with pytest.raises((OSError, asyncio.IncompleteReadError)):
                    async with connected(door.port, context) as client:
                        await client.ask("echo", 1)
                await metrics.until(partial(has_refused, metrics, count))

    runner.run(scenario())


def test_a_new_certificate_is_shown_to_the_next_client_and_who_is_there_stays(
    tmp_path: Path, runner: asyncio.Runner
) -> None:
    authority = Authority(tmp_path)
    tls = ServerTls(*authority.issue("server"), None)

    async def scenario() -> None:
        async with open_door(tls, Recorded()) as door:
            before = await serial(door.port, authority.client())
            async with connected(door.port, authority.client()) as client:
                authority.issue("server")
                assert await serial(door.port, authority.client()) != before
                assert await client.ask("echo", 1) == 1

    runner.run(scenario())


def test_a_certificate_without_its_key_yet_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    cert_file, key_file = Authority(tmp_path).issue("server")
    tls = ServerTls(cert_file, key_file, None)
    good, key = tls.context(), key_file.read_bytes()
    Authority(tmp_path).issue("server")
    new_key = key_file.read_bytes()
    key_file.write_bytes(key)
    with capture_logs() as logs:
        assert tls.context() is good
        assert tls.context() is good
    assert [log["event"] for log in logs] == ["tls files cannot be used"]
    key_file.write_bytes(new_key)
    assert tls.context() is not good


def test_a_client_authority_that_is_replaced_is_no_longer_believed(
    tmp_path: Path, runner: asyncio.Runner
) -> None:
    ours = Authority(tmp_path)
    old = Authority(tmp_path, "clients")
    old_client = old.issue("old")
    tls = ServerTls(*ours.issue("server"), old.cert_file)

    async def scenario() -> None:
        async with open_door(tls, Recorded()) as door:
            async with connected(door.port, ours.client(old_client)) as client:
                assert await client.ask("echo", 1) == 1
            Authority(tmp_path, "clients")
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                async with connected(door.port, ours.client(old_client)) as client:
                    await client.ask("echo", 1)

    runner.run(scenario())


def test_a_handshake_that_does_not_come_is_ended_with_the_port(
    tmp_path: Path, runner: asyncio.Runner
) -> None:
    authority = Authority(tmp_path)

    async def scenario() -> None:
        metrics = Recorded()
        async with (
            open_door(ServerTls(*authority.issue("server"), None), metrics) as door,
            connected(door.port, None) as client,
        ):
            await eventually(lambda: door._shaking_hands, PATIENCE_SECONDS, "it has begun")
            await door.aclose()
            await closed(client)
        assert metrics.refusals == {}

    runner.run(scenario())


def test_a_handshake_that_does_not_come_is_ended_in_time(
    tmp_path: Path, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("constellation_ws.tls.handshake.HANDSHAKE_SECONDS", 0.1)
    authority = Authority(tmp_path)

    async def scenario() -> None:
        metrics = Recorded()
        async with (
            open_door(ServerTls(*authority.issue("server"), None), metrics) as door,
            connected(door.port, None) as client,
        ):
            await closed(client)
            await metrics.until(lambda: metrics.refusals == {CloseReason.TLS_HANDSHAKE: 1})

    runner.run(scenario())


async def test_files_of_no_use_stop_the_start(tmp_path: Path) -> None:
    cert_file, _ = Authority(tmp_path).issue("server")
    _, other_key = Authority(tmp_path).issue("other")
    secured = ServerTls(cert_file, other_key, None)
    door = NestTcp({}, Recorded(), LIMITS, spawn, TurnQueue(), secured)
    with pytest.raises(PortUnavailable, match="Cannot listen on"):
        await door.start(HOST, 0)


def has_refused(metrics: Recorded, count: int) -> bool:
    return metrics.refusals == {CloseReason.TLS_HANDSHAKE: count}


async def closed(client: NestClient) -> None:
    """Wait for the end; an alert of TLS may come before it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        try:
            await client._reader.read()
        except OSError:
            return
