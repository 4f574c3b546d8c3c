"""What is posted to a backend, and which answer is an ack, a refusal or none."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest
from aiohttp import web

from constellation_ws.backends.answers import MAX_ANSWER_BYTES, BackendFailed
from constellation_ws.backends.http import HttpWay
from constellation_ws.backends.ways import Target
from constellation_ws.messages.admission import Refusal
from tests.http_site import Site, http_site
from tests.processes import HOST, unused_port
from tests.waiting import PATIENCE_SECONDS

KEY = b"a-key-of-both"
BODY = '{"event":"place-order","data":"a\\r\\nX-Evil: 1 Привет"}'.encode()
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TARGET = Target("/place")


async def accept(_: web.Request) -> web.StreamResponse:
    return web.json_response({"success": True})


def replying(status: int, body: bytes | str = b"", **headers: str) -> Any:
    async def reply(_: web.Request) -> web.StreamResponse:
        raw = body if isinstance(body, bytes) else body.encode()
        return web.Response(status=status, body=raw, headers=headers)

    return reply


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with http_site(accept) as one:
        yield one


@pytest.fixture
async def way(site: Site) -> AsyncIterator[HttpWay]:
    one = HttpWay(f"{site.root}/gateway/", KEY, PATIENCE_SECONDS, unix_time=lambda: 1764086400.9)
    yield one
    await one.aclose()


async def send(
    way: HttpWay, target: Target = TARGET, *, traceparent: str = ""
) -> msgspec.Raw | Refusal:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await way.send(target, BODY, traceparent)


async def test_the_request_is_the_body_of_a_post_to_the_path_behind_the_url(
    site: Site, way: HttpWay
) -> None:
    ack = await send(way)
    assert isinstance(ack, msgspec.Raw)
    assert json.loads(bytes(ack)) == {"success": True}
    (request,) = site.asked
    assert (request.method, request.path_qs) == ("POST", "/gateway/place")
    assert await request.read() == BODY


async def test_a_backend_can_verify_who_wrote_the_body_and_when(site: Site, way: HttpWay) -> None:
    await send(way)
    headers = site.asked[0].headers
    text = headers["X-Constellation-Timestamp"].encode() + b"." + await site.asked[0].read()
    expected = hmac.new(KEY, text, hashlib.sha256).hexdigest()
    assert headers["X-Constellation-Timestamp"] == "1764086400"
    assert headers["X-Constellation-Signature"] == f"sha256={expected}"


async def test_without_a_key_nothing_is_signed(site: Site) -> None:
    way = HttpWay(site.root, b"", PATIENCE_SECONDS)
    await send(way)
    await way.aclose()
    assert not [name for name in site.asked[0].headers if name.startswith("X-")]


async def test_headers_have_the_trace_and_nothing_of_the_request(site: Site, way: HttpWay) -> None:
    await send(way, traceparent=TRACEPARENT)
    headers: Mapping[str, str] = site.asked[0].headers
    assert headers["traceparent"] == TRACEPARENT
    known = {"Host", "Content-Type", "Content-Length", "Accept", "Accept-Encoding", "User-Agent"}
    own = {"X-Constellation-Timestamp", "X-Constellation-Signature", "traceparent"}
    assert set(headers) == known | own
    await send(way)
    assert "traceparent" not in site.asked[1].headers


@pytest.mark.parametrize("status", [200, 201, 202, 299])
async def test_a_body_of_json_is_the_ack_untouched(status: int, site: Site, way: HttpWay) -> None:
    text = b'{"big": 9007199254740993, "half": "\\ud83d", "price": 1.10}\n'
    site.answer = replying(status, text)
    ack = await send(way)
    assert isinstance(ack, msgspec.Raw)
    assert bytes(ack) == text


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_no_body_is_null(status: int, site: Site, way: HttpWay) -> None:
    """What NestJS answers where a handler returns nothing."""
    site.answer = replying(status)
    ack = await send(way)
    assert isinstance(ack, msgspec.Raw)
    assert bytes(ack) == b"null"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 499])
async def test_a_client_error_is_a_refusal(status: int, site: Site, way: HttpWay) -> None:
    site.answer = replying(status, '{"error":{"code":"sold_out","message":"Привет"}}')
    refusal = await send(way)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.message) == ("sold_out", "Привет")
    site.answer = replying(status, "<html>")
    refusal = await send(way)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "backend_refused"


@pytest.mark.parametrize(
    ("status", "body", "is_down"),
    [
        (500, b'{"code":"x","message":"y"}', False),
        (501, b"", False),
        (502, b"", True),
        (503, b'{"code":"x","message":"y"}', True),
        (504, b"", True),
        (301, b"", False),
        (304, b"", False),
        (200, b"<html>", False),
        (200, b'"\xff"', False),
        (200, b"x" * (MAX_ANSWER_BYTES + 1), False),
        (400, b"x" * (MAX_ANSWER_BYTES + 1), False),
    ],
    ids=lambda value: repr(value)[:16],
)
async def test_everything_else_is_no_answer(
    status: int, body: bytes, is_down: bool, site: Site, way: HttpWay
) -> None:
    """A client that makes a handler fail must not make the backend unavailable to all."""
    site.answer = replying(status, body, Location=f"{site.root}/elsewhere")
    with pytest.raises(BackendFailed) as caught:
        await send(way)
    assert caught.value.is_down is is_down
    assert len(site.asked) == 1, "and nothing else is asked"


async def test_what_is_packed_is_not_unpacked(site: Site, way: HttpWay) -> None:
    async def pack(_: web.Request) -> web.StreamResponse:
        response = web.json_response({"success": True})
        response.enable_compression(web.ContentCoding.gzip)
        return response

    site.answer = pack
    with pytest.raises(BackendFailed, match="not JSON"):
        await send(way)


@pytest.mark.parametrize("is_idempotent", [False, True])
async def test_only_what_is_idempotent_is_sent_again_after_the_connection_broke(
    is_idempotent: bool, site: Site, way: HttpWay
) -> None:
    async def break_once(request: web.Request) -> web.StreamResponse:
        if len(site.asked) == 1:
            assert request.transport is not None
            request.transport.abort()
        return await accept(request)

    site.answer = break_once
    target = Target("/place", is_idempotent=is_idempotent)
    if is_idempotent:
        assert isinstance(await send(way, target), msgspec.Raw)
    else:
        with pytest.raises(BackendFailed):
            await send(way, target)
    assert len(site.asked) == 1 + is_idempotent


async def test_a_backend_that_hangs_times_out(site: Site) -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    site.answer = hang
    way = HttpWay(site.root, KEY, 0.1)
    with pytest.raises(TimeoutError):
        await send(way)
    await way.aclose()


async def test_a_backend_that_trickles_times_out(site: Site) -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    site.answer = trickle
    way = HttpWay(site.root, KEY, 0.2)
    with pytest.raises(TimeoutError):
        await send(way)
    await way.aclose()


async def test_a_backend_that_is_down_is_used_when_it_is_up_again() -> None:
    port = unused_port()
    way = HttpWay(f"http://{HOST}:{port}", KEY, PATIENCE_SECONDS)
    with pytest.raises(BackendFailed) as caught:
        await send(way)
    assert caught.value.is_down
    for _ in range(2):  # and after a restart as well
        async with http_site(accept, port):
            assert isinstance(await send(way), msgspec.Raw)
    await way.aclose()
