"""Requests for sessions of other pods, at the door: checked here, answered there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from constellation_ws.engine.polling import LongPolling
from constellation_ws.http.responses import HttpResponse
from constellation_ws.http.upgrade_request import UpgradeRequest
from constellation_ws.messages.admission import Refusal
from constellation_ws.websocket import Accept
from tests.unit.engine.world import World, serving
from tests.waiting import PATIENCE_SECONDS

SID = "podB" + "x" * 20
MAX_BYTES = 1_000


class Elsewhere:
    """Another pod, which answers what a test says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.reply: HttpResponse | None = HttpResponse(
            200, [(b"content-type", b"text/plain")], b"4packet"
        )
        self.waits_for_gone = False

    async def forward(
        self, method: str, sid: str, body: bytes, gone: asyncio.Future[None]
    ) -> HttpResponse | None:
        self.asked.append((method, sid, body))
        if self.waits_for_gone:
            await gone
            return None
        return self.reply

    def tunnel(
        self, transport: asyncio.Transport, request: UpgradeRequest, accept: Accept, sid: str
    ) -> asyncio.Protocol | Refusal:
        raise AssertionError("polling needs none")


class Door:
    """The ASGI application, asked without a server."""

    def __init__(self, world: World) -> None:
        self.elsewhere = Elsewhere()
        self._app = LongPolling(world.engine, world.admission, world.polls, self.elsewhere)

    async def ask(
        self,
        method: str,
        *body: bytes,
        sid: str = SID,
        headers: list[tuple[bytes, bytes]] | None = None,
        hangs_up: bool = False,
        query: str | None = None,
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """Send a request whose body comes in these pieces, and hang up behind it or not."""
        pieces = list(body) or [b""]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if pieces:
                piece = pieces.pop(0)
                more = bool(pieces) or (hangs_up and method == "POST")
                return {"type": "http.request", "body": piece, "more_body": more}
            if not hangs_up:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "method": method,
            "headers": headers or [],
            "query_string": (query or f"EIO=4&transport=polling&sid={sid}").encode(),
            "client": ("10.0.0.9", 1),
        }
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._app(scope, receive, send)
        start, end = sent
        return start["status"], dict(start["headers"]), end["body"]


def code_of(body: bytes) -> str:
    return str(json.loads(body)["data"]["code"])


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with serving(max_payload_bytes=MAX_BYTES, cors_origins=("https://ours",)) as world:
        yield world


@pytest.fixture
def door(world: World) -> Door:
    return Door(world)


async def test_a_request_is_forwarded_by_method_session_and_body_alone(door: Door) -> None:
    assert (await door.ask("GET", headers=[(b"x-forwarded-for", b"evil")]))[2] == b"4packet"
    assert (await door.ask("POST", b"4pa", b"ck", b"et"))[0] == 200
    assert door.elsewhere.asked == [("GET", SID, b""), ("POST", SID, b"4packet")]


async def test_the_answer_of_the_other_pod_gets_the_headers_of_this_one(door: Door) -> None:
    status, headers, _ = await door.ask("GET", headers=[(b"origin", b"https://ours")])
    assert status == 200
    assert headers[b"content-length"] == b"7"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"content-type"] == b"text/plain"
    assert headers[b"access-control-allow-origin"] == b"https://ours"
    assert b"connection" not in headers


async def test_a_pod_that_is_about_to_stop_lets_the_client_go_elsewhere(
    world: World, door: Door
) -> None:
    world.admission.close_to_new()
    assert (await door.ask("GET"))[1][b"connection"] == b"close"


async def test_a_page_that_may_not_connect_is_refused_before_anybody_is_asked(door: Door) -> None:
    status, _, body = await door.ask("GET", headers=[(b"origin", b"https://evil")])
    assert (status, code_of(body)) == (403, "forbidden_origin")
    assert door.elsewhere.asked == []


async def test_a_body_that_is_too_large_is_not_forwarded(door: Door) -> None:
    status, _, body = await door.ask("POST", b"4" * MAX_BYTES, b"4")
    assert (status, code_of(body)) == (413, "payload_too_large")
    assert door.elsewhere.asked == []
    assert (await door.ask("POST", b"4" * MAX_BYTES))[0] == 200


async def test_half_a_body_is_not_forwarded(door: Door) -> None:
    status, _, body = await door.ask("POST", b"4pack", hangs_up=True)
    assert (status, code_of(body)) == (400, "bad_request")
    assert door.elsewhere.asked == []


async def test_the_other_pod_learns_that_the_client_has_hung_up(door: Door) -> None:
    door.elsewhere.waits_for_gone = True
    assert (await door.ask("GET", hangs_up=True))[0] == 400


async def test_where_no_pod_answers_the_session_is_unknown(world: World, door: Door) -> None:
    door.elsewhere.reply = None
    status, _, body = await door.ask("GET")
    assert (status, code_of(body)) == (400, "unknown_session")
    assert world.refused == ["unknown_session"]


@pytest.mark.parametrize("method", ["DELETE", "PUT", "HEAD", "PATCH", "X"])
async def test_other_methods_are_not_forwarded(door: Door, method: str) -> None:
    assert (await door.ask(method))[0] == 400
    assert door.elsewhere.asked == []


async def test_a_question_of_a_browser_is_answered_here(door: Door) -> None:
    assert (await door.ask("OPTIONS", headers=[(b"origin", b"https://ours")]))[0] == 204
    assert door.elsewhere.asked == []


@pytest.mark.parametrize("sid", ["podA" + "x" * 20, "podA"])
async def test_a_session_id_that_names_this_pod_asks_nobody(door: Door, sid: str) -> None:
    status, _, body = await door.ask("GET", sid=sid)
    assert (status, code_of(body)) == (400, "unknown_session")
    assert door.elsewhere.asked == []


async def test_a_session_that_has_moved_here_is_answered_here(world: World, door: Door) -> None:
    session = world.engine._register(SID, "10.0.0.9", 0.0)
    session.queue("4here")
    assert (await door.ask("GET"))[2] == b"4here"
    assert door.elsewhere.asked == []


async def test_of_two_session_ids_one_is_asked_for(door: Door) -> None:
    """Both pods would have to mean the same one; only this one reads it."""
    await door.ask("GET", query=f"EIO=4&transport=polling&sid=podA{'x' * 20}&sid={SID}")
    assert door.elsewhere.asked == [("GET", SID, b"")]
