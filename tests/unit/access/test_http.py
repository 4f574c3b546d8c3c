"""Asking a real HTTP server: what is sent, and what of all that may come back is an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from constellation_ws.access.answers import MAX_ANSWER_BYTES, ApiAnswer, NoAnswer
from constellation_ws.access.http import HttpApi
from constellation_ws.messages.events import ChatId, UserId
from tests.http_site import Site, http_site
from tests.processes import HOST, unused_port
from tests.waiting import PATIENCE_SECONDS

BOB, CHAT = UserId("боб"), ChatId("c")


async def say_yes(_: web.Request) -> web.StreamResponse:
    return web.json_response({"allowed": True})


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with http_site(say_yes) as one:
        yield one


@pytest.fixture
async def api(site: Site) -> AsyncIterator[HttpApi]:
    one = HttpApi(f"{site.root}/access", "secret", PATIENCE_SECONDS)
    yield one
    await one.aclose()


async def ask(api: HttpApi) -> bool:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return (await api.ask(BOB, CHAT)).allowed


async def test_the_question_is_a_post_with_both_ids_and_the_token(site: Site, api: HttpApi) -> None:
    assert await ask(api) is True
    (request,) = site.asked
    assert (request.method, request.path) == ("POST", "/access")
    assert await request.json() == {"userId": BOB, "chatId": CHAT}
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["Accept-Encoding"] == "identity"


async def test_without_a_token_nothing_is_sent_of_one(site: Site) -> None:
    api = HttpApi(f"{site.root}/access", "", PATIENCE_SECONDS)
    assert await ask(api) is True
    await api.aclose()
    assert "Authorization" not in site.asked[0].headers


@pytest.mark.parametrize("status", [403, 404])
async def test_a_status_may_say_no(status: int, site: Site, api: HttpApi) -> None:
    async def deny(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="<html>")

    site.answer = deny
    assert await ask(api) is False


async def test_a_redirect_is_not_followed_and_no_answer(site: Site, api: HttpApi) -> None:
    async def redirect(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/elsewhere")

    site.answer = redirect
    with pytest.raises(NoAnswer, match="302"):
        await ask(api)
    assert len(site.asked) == 1


@pytest.mark.parametrize("status", [200, 403])
async def test_a_huge_answer_is_not_read_to_its_end(status: int, site: Site, api: HttpApi) -> None:
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
    with pytest.raises(NoAnswer, match="longer than"):
        await ask(api)
    assert sent < 40 * MAX_ANSWER_BYTES


async def test_a_small_answer_that_would_unpack_to_a_huge_one_is_not_unpacked(
    site: Site, api: HttpApi
) -> None:
    async def pack(_: web.Request) -> web.StreamResponse:
        response = web.json_response({"allowed": True})
        response.enable_compression(web.ContentCoding.gzip)
        return response

    site.answer = pack
    with pytest.raises(NoAnswer):
        await ask(api)


async def test_an_api_that_is_down_is_no_answer_and_is_asked_again_when_it_is_up() -> None:
    api = HttpApi(f"http://{HOST}:{unused_port()}/", "", PATIENCE_SECONDS)
    with pytest.raises(NoAnswer, match="call to the API failed"):
        await ask(api)
    await api.aclose()


async def test_a_kept_connection_that_the_api_has_closed_costs_no_answer(
    site: Site, api: HttpApi
) -> None:
    async def say_yes_and_close(request: web.Request) -> web.StreamResponse:
        response = await say_yes(request)
        assert request.transport is not None
        if len(site.asked) == 2:
            request.transport.abort()  # the second one is cut before it is answered
        return response

    site.answer = say_yes_and_close
    assert await ask(api) is True
    assert await ask(api) is True
    assert len(site.asked) == 3


async def test_an_answer_that_breaks_off_is_none(site: Site, api: HttpApi) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "17"})
        await response.prepare(request)
        await response.write(b'{"allowed": true')
        assert request.transport is not None
        request.transport.close()
        return response

    site.answer = break_off
    with pytest.raises(NoAnswer):
        await ask(api)


async def test_an_answer_that_is_not_http_is_none() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'{"allowed": true}\r\n\r\n')
        writer.close()

    server = await asyncio.start_server(babble, HOST, 0)
    api = HttpApi(f"http://{HOST}:{server.sockets[0].getsockname()[1]}/", "", PATIENCE_SECONDS)
    async with server:
        with pytest.raises(NoAnswer):
            await ask(api)
        await api.aclose()


async def test_an_api_that_does_not_answer_in_time_is_left_alone(site: Site) -> None:
    async def say_nothing(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    api = HttpApi(f"{site.root}/access", "", 0.05)
    site.answer = say_nothing
    with pytest.raises(TimeoutError):
        await ask(api)
    await api.aclose()


def stand_still() -> None:
    """Do what a stopped process does: nothing runs, and time passes."""
    time.sleep(1)


async def test_an_answer_is_not_late_because_this_process_stood_still(site: Site) -> None:
    async def pause_once(request: web.Request) -> web.StreamResponse:
        if len(site.asked) == 2:
            stand_still()
        return await say_yes(request)

    api = HttpApi(f"{site.root}/access", "", 0.3)
    assert await ask(api) is True
    site.answer = pause_once
    assert await ask(api) is True
    await api.aclose()


async def test_no_question_waits_for_the_connection_of_another(site: Site, api: HttpApi) -> None:
    """The time of each would run meanwhile: aiohttp's own pool has 100 connections."""
    all_asked = asyncio.Event()

    async def say_yes_together(request: web.Request) -> web.StreamResponse:
        if len(site.asked) == 150:
            all_asked.set()
        await all_asked.wait()
        return await say_yes(request)

    site.answer = say_yes_together
    assert set(await asyncio.gather(*(ask(api) for _ in range(150)))) == {True}


async def test_a_question_is_about_the_user_where_the_api_names_chats(
    site: Site, api: HttpApi
) -> None:
    async def name_chats(_: web.Request) -> web.StreamResponse:
        return web.json_response({"allowed": True, "chatIds": [CHAT, "d"]})

    one, other = (api.subject(BOB, chat) for chat in (CHAT, ChatId("d")))
    assert one != other
    site.answer = name_chats
    assert await api.ask(BOB, CHAT) == ApiAnswer(True, chats=frozenset([CHAT, "d"]))
    assert api.subject(BOB, CHAT) == api.subject(BOB, ChatId("d"))
    assert api.subject(BOB, CHAT) != api.subject(UserId("eve"), CHAT)
    site.answer = say_yes
    assert await api.ask(BOB, CHAT) == ApiAnswer(True)
    assert api.subject(BOB, CHAT) != api.subject(BOB, ChatId("d"))
