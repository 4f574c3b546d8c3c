"""Which handshakes are accepted, on both transports."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from structlog.testing import capture_logs

from constellation_ws.messages.admission import Rate
from tests.conformance.wire import Response, request
from tests.unit.engine.handshakes import BOTH, POLLING, code, handshake
from tests.unit.engine.world import (
    TARGET,
    World,
    heard,
    serving,
)
from tests.waiting import PATIENCE_SECONDS, eventually


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with serving() as world:
        yield world


def assert_told_to_come_back(world: World, response: Response, why: str) -> None:
    assert response.status == 503
    assert response.headers["retry-after"] == "1"
    assert code(response) == why
    assert world.refused[-1] == why


@BOTH
async def test_above_the_cap_handshakes_are_refused_and_who_is_inside_stays(
    transport: str,
) -> None:
    async with serving(max_connections=2) as world, world.member() as client:
        assert not world.admission.is_full()
        async with world.http() as http:
            polling = await http.open()
            assert world.admission.is_full()
            assert_told_to_come_back(world, await handshake(world, transport), "overloaded")
            world.publish(1)
            assert await client.packet() == heard(1)
            await polling.send("1")
            await eventually(
                lambda: not world.admission.is_full(), PATIENCE_SECONDS, "there is room"
            )
            assert (await handshake(world, transport)).status in (101, 200)


@BOTH
async def test_above_the_cap_a_session_may_still_be_upgraded(transport: str) -> None:
    async with serving(max_connections=1) as world, world.http() as http:
        polling = await http.open()
        async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
            await client.send("2probe")
            assert await client.message() == "3probe"
        assert_told_to_come_back(world, await handshake(world, transport), "overloaded")


@BOTH
async def test_where_open_files_are_short_every_socket_counts_and_no_idle_one_is_kept(
    transport: str,
) -> None:
    """Sessions, and connections that have asked nothing yet."""
    async with serving(max_session_sockets=3) as world, world.member() as client:
        assert not world.admission.is_full()
        async with world.wired(), world.wired():
            await eventually(lambda: world.http_connections == 2, PATIENCE_SECONDS, "both wait")
            assert_told_to_come_back(world, await handshake(world, transport), "overloaded")
            async with world.wired() as idle:
                await idle.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = await idle.ended()
                assert b"connection: close" in answer.lower()
            world.publish(1)
            assert await client.packet() == heard(1), "who is inside stays"
        await eventually(lambda: not world.http_connections, PATIENCE_SECONDS, "both have gone")
        assert (await handshake(world, transport)).status in (101, 200)


@BOTH
async def test_while_the_pod_is_overloaded_handshakes_are_refused(transport: str) -> None:
    is_overloaded = False
    async with serving(is_overloaded=lambda: is_overloaded) as world, world.member() as client:
        is_overloaded = True
        assert_told_to_come_back(world, await handshake(world, transport), "overloaded")
        world.publish(1)
        assert await client.packet() == heard(1)
        is_overloaded = False
        assert (await handshake(world, transport)).status in (101, 200)


@BOTH
async def test_too_many_handshakes_at_once_are_refused_until_time_has_passed(
    transport: str,
) -> None:
    async with serving(connects=Rate(per_second=1, burst=3)) as world:
        answers = [await handshake(world, transport) for _ in range(4)]
        assert [answer.status for answer in answers[:3]] == [
            101 if transport[0] == "w" else 200
        ] * 3
        assert_told_to_come_back(world, answers[3], "connect_rate")
        world.pass_seconds(2)
        assert (await handshake(world, transport)).status in (101, 200)


@BOTH
async def test_while_draining_handshakes_are_refused_and_who_is_inside_stays(
    world: World, transport: str
) -> None:
    async with world.member() as client, world.http() as http:
        polling = await http.open()
        world.admission.close_to_new()
        assert_told_to_come_back(world, await handshake(world, transport), "draining")
        world.publish(1)
        assert await client.packet() == heard(1)
        await polling.send("40/chats")
        (answer,) = await polling.packets()
        assert answer.startswith("40/chats,")


ALLOWED, FOREIGN = "https://app.example", "https://evil.example"


@pytest_asyncio.fixture
async def strict() -> AsyncIterator[World]:
    async with serving(cors_origins=(ALLOWED, "http://localhost:3000")) as world:
        yield world


@BOTH
async def test_pages_of_the_list_and_clients_that_are_no_pages_may_connect(
    strict: World, transport: str
) -> None:
    for origin in (ALLOWED, "http://localhost:3000", ""):
        response = await handshake(strict, transport, origin=origin)
        assert response.status in (101, 200)
        if transport == "polling":
            assert response.headers.get("access-control-allow-origin", "") == origin


@BOTH
async def test_other_pages_may_not_and_are_not_told_that_they_may(
    strict: World, transport: str
) -> None:
    for origin in (FOREIGN, "null", ALLOWED + ".evil.example", ALLOWED + "/", "*"):
        with capture_logs() as logs:
            response = await handshake(strict, transport, origin=origin)
        assert (response.status, code(response)) == (403, "forbidden_origin")
        assert [line["origin"] for line in logs if line.get("code") == "forbidden_origin"] == [
            origin
        ]
        assert not [name for name in response.headers if name.startswith("access-control")]
    assert not strict.sids


async def test_a_page_is_told_what_it_may_send(strict: World) -> None:
    headers = [
        ("Origin", ALLOWED),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "x-custom"),
    ]
    async with strict.wired() as wire:
        await wire.write(request(POLLING, headers, method="OPTIONS"))
        response = await wire.response()
    assert response.status == 204
    assert response.headers["access-control-allow-origin"] == ALLOWED
    assert response.headers["access-control-allow-credentials"] == "true"
    assert response.headers["access-control-allow-methods"] == "get, post, options"
    assert response.headers["access-control-allow-headers"] == "x-custom"
    assert response.headers["vary"] == "origin"


async def test_a_foreign_page_is_not_told_what_it_may_send(strict: World) -> None:
    async with strict.wired() as wire:
        await wire.write(request(POLLING, [("Origin", FOREIGN)], method="OPTIONS"))
        response = await wire.response()
    assert response.status == 403
    assert "access-control-allow-origin" not in response.headers


async def test_where_all_pages_may_connect_each_is_named(world: World) -> None:
    """With credentials a page is not content with a star."""
    response = await handshake(world, "polling", origin=FOREIGN)
    assert response.headers["access-control-allow-origin"] == FOREIGN


async def test_no_answer_may_be_kept_by_a_cache(world: World) -> None:
    for query in ("", "&sid=nobody"):
        response = await handshake(world, "polling", query)
        assert response.headers["cache-control"] == "no-store"
