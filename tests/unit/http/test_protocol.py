"""How long and how large an HTTP head may be, seen from both ends of the connection.

What is in a head, and what is none, is tests/conformance/test_handshake.py's.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from constellation_ws.http import protocol as http_protocol
from constellation_ws.process.http_servers import metrics_config, public_config
from constellation_ws.settings.settings import defaults
from constellation_ws.wiring.gateway import Gateway
from tests.conformance.wire import request, upgrade_headers
from tests.unit.engine.world import MOST_IDLE, PATH, TARGET, World, serving
from tests.waiting import PATIENCE_SECONDS, eventually

POLLING = f"{PATH}/?EIO=4&transport=polling"
HEAD_SECONDS = 0.3


@pytest_asyncio.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", HEAD_SECONDS)
    async with serving() as world:
        yield world


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET ", id="half a request line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", id="half a header"),
        pytest.param(b"\r\n\r\n", id="empty lines"),
        pytest.param(request(TARGET, upgrade_headers())[:-2], id="all but the last line end"),
    ],
)
async def test_who_does_not_come_to_the_end_of_the_head_is_hung_up_on(
    world: World, said: bytes
) -> None:
    async with world.wired() as wire:
        await wire.write(said)
        answer = await wire.ended()
    assert answer.startswith(b"HTTP/1.1 408 ") if said else answer == b""
    assert world.refused == ["too_slow"]
    await eventually(lambda: not world.http_connections, PATIENCE_SECONDS, "it is forgotten")
    assert world.left() == {}


async def test_who_sends_a_byte_now_and_then_is_hung_up_on_in_time(world: World) -> None:
    async with world.wired() as wire:
        ended = asyncio.create_task(wire.ended())
        while not ended.done():
            try:
                await wire.write(b"X")
            except ConnectionError:
                break
            await asyncio.wait([ended], timeout=HEAD_SECONDS / 10)
        assert await ended == b"" or world.refused[0] in ("too_slow", "not_http")


async def test_the_second_request_of_a_connection_has_as_long_as_the_first(world: World) -> None:
    async with world.wired() as wire:
        await wire.write(request(POLLING))
        assert (await wire.response()).status == 200
        await wire.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert (await wire.ended()).startswith(b"HTTP/1.1 408 ")


async def test_empty_lines_between_requests_keep_nobody_longer(world: World) -> None:
    async with world.wired() as wire:
        await wire.write(request(POLLING))
        assert (await wire.response()).status == 200
        await wire.write(b"\r\n")
        assert (await wire.ended()).startswith(b"HTTP/1.1 408 ")


async def test_a_head_that_is_there_is_in_no_hurry_any_more(world: World) -> None:
    """A poll waits, a body takes its time, and a WebSocket stays."""
    async with world.http() as http, world.wired() as body, world.member() as member:
        polling = await http.open()
        poll = asyncio.create_task(polling.poll())
        head = request(f"{POLLING}&sid={polling.sid}", [("Content-Length", "8")], method="POST")
        await body.write(head, b"40/")
        await asyncio.sleep(3 * HEAD_SECONDS)  # nothing is to happen
        assert not poll.done()
        await body.write(b"chats")
        assert (await body.response()).status == 200
        assert (await poll).status == 200
        world.publish(1)
        assert isinstance(await member.packet(), str)


async def test_who_waits_for_its_answer_may_send_the_next_request_already(world: World) -> None:
    async with world.wired() as wire:
        await wire.write(request(POLLING) + request(POLLING)[:-10])
        assert (await wire.response()).status == 200
        await wire.write(request(POLLING)[-10:])
        assert (await wire.response()).status == 200


async def test_who_does_not_read_an_answer_is_hung_up_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "UNREAD_SECONDS", HEAD_SECONDS)
    world.answer = b"x" * 50_000_000  # more than any kernel takes
    async with world.wired() as wire:
        await wire.write(request("/elsewhere"))
        await eventually(lambda: world.refused == ["slow_reader"], PATIENCE_SECONDS, "noticed")
        await eventually(lambda: not world.http_connections, PATIENCE_SECONDS, "forgotten")
        assert len(await wire.ended()) < len(world.answer)


async def test_who_reads_a_long_answer_in_time_gets_all_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "UNREAD_SECONDS", PATIENCE_SECONDS)
    world.answer = b"x" * 20_000_000
    async with world.wired() as wire:
        await wire.write(request("/elsewhere"))
        assert (await wire.response()).body == world.answer
    assert world.refused == []


async def test_a_request_that_begins_before_the_last_answer_has_as_long_as_any(
    world: World,
) -> None:
    """Its time must not become that of an idle connection when the answer is there."""
    async with world.http() as http, world.wired() as wire:
        polling = await http.open()
        poll = request(f"{POLLING}&sid={polling.sid}")
        await wire.write(poll + b"GET / HTTP/1.1\r\nHost: x\r\n")
        await eventually(lambda: len(world.lobby) > 0, PATIENCE_SECONDS, "the next has begun")
        await polling.send("40/chats")
        assert (await wire.response()).status == 200
        assert (await wire.ended()).startswith(b"HTTP/1.1 408 ")
        assert world.refused == ["too_slow"]


async def test_connections_between_two_requests_are_bounded_and_the_oldest_goes_first(
    world: World,
) -> None:
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(world.wired()) for _ in range(MOST_IDLE + 3)]
        for wire in wires:
            await wire.write(request("/"))
            await wire.response()
            await eventually(lambda: world.idle, PATIENCE_SECONDS, "it is idle")
        for oldest in wires[:3]:
            assert await oldest.ended() == b""
        assert world.refused == ["too_many_idle"] * 3
        assert len(world.idle) == MOST_IDLE
        for wire in wires[3:]:
            await wire.write(request("/"))
            assert (await wire.response()).status == 404
    await eventually(lambda: not world.idle, PATIENCE_SECONDS, "all are gone")


async def test_an_idle_connection_stays_for_as_long_as_is_set() -> None:
    async with serving(keep_alive_seconds=1) as world, world.wired() as wire:
        for _ in range(2):
            await wire.write(request("/"))
            await wire.response()
        answered = time.monotonic()
        assert await wire.ended() == b""
        assert time.monotonic() - answered >= 0.9
    assert world.refused == []


def test_both_http_ports_keep_idle_connections_for_longer_than_balancers() -> None:
    gateway = Gateway(defaults(), lambda work: None)
    for config in (public_config(gateway), metrics_config(gateway)):
        assert config.timeout_keep_alive == 75
    gateway = Gateway(defaults(limits={"keep_alive_seconds": 620}), lambda work: None)
    assert public_config(gateway).timeout_keep_alive == 620


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "not_http", id="TLS"),
        pytest.param(
            request(POLLING, [("X-A", "a" * 20_000)]), 431, "head_too_large", id="a large header"
        ),
        pytest.param(
            request(POLLING, [("Cookie", "a=b; " * 5_000)]), 431, "head_too_large", id="cookies"
        ),
        pytest.param(request("/a", upgrade_headers()), 404, "no_such_path", id="another path"),
        pytest.param(
            request(POLLING, [("Origin", "http://a\r\n X-Injected: 1")]), 400, "not_http", id="fold"
        ),
        pytest.param(
            request(POLLING, [("Origin", "http://a\rX-Injected: 1")]), 400, "not_http", id="bare CR"
        ),
        pytest.param(
            request(POLLING, [("Origin", "http://a\x00b")]), 400, "not_http", id="a null byte"
        ),
    ],
)
async def test_a_head_that_is_refused_is_counted_and_told_its_code(
    world: World, head: bytes, status: int, code: str
) -> None:
    async with world.wired() as wire:
        await wire.write(head)
        response = await wire.response()
        assert await wire.ended() == b""
    assert response.status == status
    assert json.loads(response.body)["data"]["code"] == code
    assert world.refused == [code]
    assert "x-injected" not in response.headers
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "frame-ancestors 'none'"


async def test_a_connection_that_became_a_websocket_is_none_of_http_any_more(
    world: World,
) -> None:
    async with world.member() as client:
        assert world.http_connections == 0
        await client.send("1")
        await client.closed()
    await world.empty()


async def test_a_websocket_that_is_refused_is_forgotten(world: World) -> None:
    async with world.wired() as wire:
        await wire.write(request("/elsewhere", upgrade_headers()))
        assert (await wire.response()).status == 404
        assert await wire.ended() == b""
    assert world.http_connections == 0
