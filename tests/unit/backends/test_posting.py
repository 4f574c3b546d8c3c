"""What is posted arrives once, or twice where that may be; what is no answer costs no memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from constellation_ws.backends.answers import MAX_ANSWER_BYTES
from constellation_ws.backends.posting import AnswerTooLong, Posted, PostFailed, Posting
from tests.fake_nest import full_port
from tests.http_site import Site, http_site
from tests.processes import HOST, unused_port
from tests.waiting import PATIENCE_SECONDS, eventually


async def echo(request: web.Request) -> web.StreamResponse:
    return web.Response(body=await request.read())


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with http_site(echo) as one:
        yield one


@pytest.fixture
async def posting() -> AsyncIterator[Posting]:
    one = Posting()
    yield one
    await one.aclose()


async def post(posting: Posting, url: str, *, is_repeatable: bool = False) -> Posted:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await posting.post(url, b'"x"', {"X-Own": "y"}, is_repeatable=is_repeatable)


async def test_it_is_json_and_an_answer_is_asked_for_as_it_is(site: Site, posting: Posting) -> None:
    assert await post(posting, f"{site.root}/a") == (200, b'"x"')
    (request,) = site.asked
    assert (request.method, request.path) == ("POST", "/a")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["X-Own"] == "y"


async def test_a_redirect_is_given_as_it_is(site: Site, posting: Posting) -> None:
    async def redirect(_: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(f"{site.root}/elsewhere")

    site.answer = redirect
    assert (await post(posting, site.root)).status == 307
    assert len(site.asked) == 1


async def test_cookies_are_not_kept(site: Site, posting: Posting) -> None:
    async def set_cookie(_: web.Request) -> web.StreamResponse:
        response = web.Response()
        response.set_cookie("a", "b")
        return response

    site.answer = set_cookie
    for _ in range(2):
        await post(posting, site.root)
    assert "Cookie" not in site.asked[1].headers


@pytest.mark.parametrize("status", [200, 400])
async def test_a_huge_answer_is_not_read_to_its_end(
    status: int, site: Site, posting: Posting
) -> None:
    sent = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        for _ in range(1_000):
            await response.write(b" " * 65_536)
            sent += 65_536
        return response

    site.answer = pour
    with pytest.raises(AnswerTooLong):
        await post(posting, site.root)
    assert sent < 40 * MAX_ANSWER_BYTES


async def test_the_longest_answer_is_read(site: Site, posting: Posting) -> None:
    async def fill(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b" " * MAX_ANSWER_BYTES)

    site.answer = fill
    assert len((await post(posting, site.root)).body) == MAX_ANSWER_BYTES


@pytest.mark.parametrize("is_repeatable", [False, True])
async def test_only_what_is_repeatable_is_posted_again_when_the_connection_breaks(
    is_repeatable: bool, site: Site, posting: Posting
) -> None:
    async def break_once(request: web.Request) -> web.StreamResponse:
        if len(site.asked) == 1:
            assert request.transport is not None
            request.transport.abort()
        return await echo(request)

    site.answer = break_once
    if is_repeatable:
        assert (await post(posting, site.root, is_repeatable=True)).status == 200
    else:
        with pytest.raises(PostFailed):
            await post(posting, site.root)
    assert len(site.asked) == 1 + is_repeatable


async def test_it_is_posted_twice_at_most(site: Site, posting: Posting) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    site.answer = break_off
    with pytest.raises(PostFailed):
        await post(posting, site.root, is_repeatable=True)
    assert len(site.asked) == 2


async def test_after_the_end_nothing_is_posted(site: Site, posting: Posting) -> None:
    await post(posting, site.root)
    await posting.aclose()
    with pytest.raises(PostFailed, match="stopping"):
        await post(posting, site.root)
    assert len(site.asked) == 1


async def test_whoever_waits_at_the_end_gets_no_answer(site: Site, posting: Posting) -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    site.answer = hang
    waiting = asyncio.create_task(post(posting, site.root, is_repeatable=True))
    await eventually(lambda: site.asked, PATIENCE_SECONDS, "it is asked")
    await posting.aclose()
    with pytest.raises(PostFailed):
        await waiting


async def test_a_service_that_is_down_fails_at_once(posting: Posting) -> None:
    with pytest.raises(PostFailed, match="ClientConnectorError"):
        await post(posting, f"http://{HOST}:{unused_port()}")


async def test_connecting_has_a_timeout_of_its_own() -> None:
    posting = Posting(connect_seconds=0.1)
    with full_port() as port, pytest.raises(PostFailed, match="connecting timed out"):
        await post(posting, f"http://{HOST}:{port}")
    await posting.aclose()


@pytest.mark.parametrize(
    "babble",
    [
        b'{"allowed": true}\r\n\r\n',
        b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"\xff" * 100,
        b"",
    ],
    ids=lambda babble: repr(babble[:24]),
)
async def test_what_is_not_http_is_no_answer(babble: bytes, posting: Posting) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(babble)
        writer.close()

    async with await asyncio.start_server(accept, HOST, 0) as server:
        with pytest.raises(PostFailed):
            await post(posting, f"http://{HOST}:{server.sockets[0].getsockname()[1]}/")


async def test_none_waits_for_the_connection_of_another(site: Site, posting: Posting) -> None:
    """The time of each would run meanwhile: aiohttp's own pool has 100 connections."""
    all_asked = asyncio.Event()

    async def answer_together(request: web.Request) -> web.StreamResponse:
        if len(site.asked) == 150:
            all_asked.set()
        await all_asked.wait()
        return await echo(request)

    site.answer = answer_together
    answers = await asyncio.gather(*(post(posting, site.root) for _ in range(150)))
    assert {one.status for one in answers} == {200}
