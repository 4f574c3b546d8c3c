"""What a session by polling shows, where the other side is made to fail in one way.

Real pods and proxies are in tests/ingress/test_doctor.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from constellation_ws.cli.doctor.polling import check_polling
from constellation_ws.cli.doctor.target import Target, connected, read_target
from constellation_ws.cli.findings import Verdict
from tests.processes import HOST

OPEN = '0{"sid":"abcdefgh1","pingInterval":25000,"pingTimeout":20000}'
UNKNOWN = '{"code":1,"message":"Session ID unknown","data":{"code":"unknown_session"}}'


@asynccontextmanager
async def answering(poll: web.Response, post: web.Response) -> AsyncIterator[Target]:
    """A server that opens sessions, with a cookie as sticky balancers set it."""

    def copied(answer: web.Response) -> web.Response:
        return web.Response(status=answer.status, text=answer.text)

    async def get(request: web.Request) -> web.Response:
        if "sid" in request.query:
            return copied(poll)
        return web.Response(text=OPEN, headers={"Set-Cookie": "pod=1"})

    async def receive(_: web.Request) -> web.Response:
        return copied(post)

    application = web.Application()
    application.add_routes([web.get("/socket.io/", get), web.post("/socket.io/", receive)])
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        url = f"http://{HOST}:{runner.addresses[0][1]}"
        yield read_target(url, "/socket.io/", "/chats", "bob")
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("poll", "post", "subject", "detail", "remedy"),
    [
        (
            web.Response(status=400, text=UNKNOWN),
            web.Response(text="ok"),
            *("polling", "(it sets a cookie, which pages of other sites", "port 7757"),
        ),
        (
            web.Response(text="1"),
            web.Response(text="ok"),
            *("identity", "auth_unavailable", "CONSTELLATION_JWT_JWKS_URL"),
        ),
        (
            web.Response(text=""),
            web.Response(status=502),
            *("polling", "POST: HTTP 502", "CONSTELLATION_KEEP_ALIVE_SECONDS"),
        ),
        (
            web.Response(text=""),
            web.Response(status=405),
            *("polling", "POST: HTTP 405: the proxy does not pass it", "GET and POST"),
        ),
        (
            web.Response(text='44/chats,{"message":"Bad.","data":{"code":"invalid_user"}}'),
            web.Response(text="ok"),
            *("identity", "invalid_user: Bad.", "--user"),
        ),
    ],
)
async def test_each_failure_has_a_cause_and_a_remedy(
    poll: web.Response, post: web.Response, subject: str, detail: str, remedy: str
) -> None:
    async with answering(poll, post) as target, connected(target) as http:
        findings = [one async for one in check_polling(http)]

    (finding,) = [one for one in findings if one.verdict is Verdict.FAILED]
    assert finding.subject == subject
    assert detail in finding.detail
    assert remedy in finding.remedy
