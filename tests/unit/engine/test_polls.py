"""Requests of polling clients that another pod has received: as if they had come here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from constellation_ws.engine.session import EngineSession
from constellation_ws.http.responses import HttpResponse
from tests.unit.engine.world import World, heard, serving
from tests.waiting import PATIENCE_SECONDS, eventually

OK, BAD_REQUEST, TOO_LARGE = 200, 400, 413


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with serving(max_payload_bytes=1_000) as world:
        yield world


class There:
    """The requests of one session, as another pod forwards them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.polls = world.polls
        self.session: EngineSession = world.engine.open("EIO=4", "10.0.0.9", [])
        self.gone: list[asyncio.Future[None]] = []

    async def ask(self, method: str, body: bytes = b"", sid: str | None = None) -> HttpResponse:
        self.gone.append(asyncio.get_running_loop().create_future())
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.polls.serve_forwarded(
                method, sid or self.session.sid, body, self.gone[-1]
            )

    def begin(self, method: str, body: bytes = b"") -> asyncio.Task[Any]:
        return asyncio.create_task(self.ask(method, body))

    async def waits(self) -> None:
        await eventually(lambda: self.session.poll is not None, PATIENCE_SECONDS, "the poll waits")


@pytest.fixture
async def there(world: World) -> There:
    there = There(world)
    assert (await there.ask("POST", b"40/chats"))[:3:2] == (OK, b"ok")
    status, headers, body, _ = await there.ask("GET")
    assert (status, body[:9]) == (OK, b"40/chats,")
    assert headers == [(b"content-type", b"text/plain; charset=UTF-8")]
    return there


async def test_a_poll_waits_for_the_next_event(world: World, there: There) -> None:
    polling = there.begin("GET")
    await there.waits()
    world.publish(1, 2)
    assert (await polling)[2] == f"{heard(1)}\x1e{heard(2)}".encode()


async def test_a_client_that_hangs_up_loses_its_session(world: World, there: There) -> None:
    """What would be sent now would be lost unnoticed."""
    polling = there.begin("GET")
    await there.waits()
    there.gone[-1].set_result(None)
    status, _, body, _ = await polling
    assert (status, b"unknown_session" in body) == (BAD_REQUEST, True)
    assert world.sids == []


async def test_a_client_that_has_hung_up_before_its_poll_arrives_loses_its_session_too(
    world: World, there: There
) -> None:
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gone.set_result(None)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await there.polls.serve_forwarded("GET", there.session.sid, b"", gone)
    assert world.sids == []


async def test_a_poll_can_be_ended_with_nothing(there: There) -> None:
    there.polls.finish_poll(there.session.sid)  # none waits: nothing to fetch later
    assert there.session.outbox is None
    polling = there.begin("GET")
    await there.waits()
    there.polls.finish_poll(there.session.sid)
    assert (await polling)[2] == b"6"
    there.polls.finish_poll("no such session")


async def test_a_second_poll_ends_the_session_wherever_it_came_in(
    world: World, there: There
) -> None:
    polling = there.begin("GET")
    await there.waits()
    status, _, body, _ = await there.ask("GET")
    assert (status, b"bad_request" in body) == (BAD_REQUEST, True)
    assert (await polling)[2].endswith(b"1")
    assert world.sids == []


async def test_a_second_post_beside_the_first_ends_the_session(world: World, there: There) -> None:
    may_go_on = asyncio.Event()

    async def hold(*_: object) -> None:
        await may_go_on.wait()

    world.on("h", hold)
    posting = there.begin("POST", b"\x1e".join([b'42/chats,["h"]'] * 66))
    await eventually(lambda: there.session.post is not None, PATIENCE_SECONDS, "the first is taken")
    assert (await there.ask("POST", b"3"))[0] == BAD_REQUEST
    assert world.sids == []
    may_go_on.set()
    await posting


@pytest.mark.parametrize(
    ("method", "body", "status", "code"),
    [
        ("POST", b"4" * 1_001, TOO_LARGE, "payload_too_large"),
        ("POST", b"\xff", BAD_REQUEST, "bad_request"),
        ("POST", b"", BAD_REQUEST, "bad_request"),
        ("POST", b"b!", BAD_REQUEST, "bad_request"),
        ("POST", b"5", BAD_REQUEST, "bad_request"),
        ("DELETE", b"", BAD_REQUEST, "bad_method"),
    ],
)
async def test_what_is_no_request_is_refused_as_at_the_door(
    there: There, method: str, body: bytes, status: int, code: str
) -> None:
    found, headers, answer, _ = await there.ask(method, body)
    assert found == status
    assert f'"{code}"'.encode() in answer
    assert (b"content-type", b"application/json") in headers


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_session_that_is_not_here_is_unknown_and_not_looked_for_elsewhere(
    there: There, method: str
) -> None:
    status, _, body, _ = await there.ask(method, b"3", sid="podZ" + "x" * 20)
    assert (status, b"unknown_session" in body) == (BAD_REQUEST, True)


async def test_a_session_that_a_websocket_carries_is_not_polled(world: World, there: There) -> None:
    async with world.websocket(
        f"/socket.io/?EIO=4&transport=websocket&sid={there.session.sid}"
    ) as client:
        await client.send("2probe")
        assert await client.message() == "3probe"
        await client.send("5")
        await eventually(lambda: there.session.upgraded, PATIENCE_SECONDS, "it has upgraded")
        assert (await there.ask("GET"))[0] == BAD_REQUEST


async def test_the_last_packets_of_a_closed_session_are_fetched_once(
    world: World, there: There
) -> None:
    world.publish(1)
    world.server.close_session(there.session, "drain")
    assert (await there.ask("GET"))[2] == heard(1).encode()
    assert (await there.ask("GET"))[2] == b"1"
    assert (await there.ask("GET"))[0] == BAD_REQUEST
