"""HTTP long-polling: Engine.IO's transport for clients that have no WebSocket, or not yet.

An ASGI application for one path. It opens sessions, and passes the other requests to `polls`, or to
the pod that holds the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from constellation_ws.engine.admission import Admission
from constellation_ws.engine.elsewhere import Elsewhere
from constellation_ws.engine.polls import (
    TEXT,
    AsgiMessage,
    Headers,
    Polls,
    Receive,
    UnreadableBody,
)
from constellation_ws.engine.server import Engine
from constellation_ws.http.query import check_query, read_query
from constellation_ws.http.refusals import (
    BAD_METHOD,
    UNKNOWN_SESSION,
)
from constellation_ws.http.responses import HttpResponse

Scope = AsgiMessage
Send = Callable[[AsgiMessage], Awaitable[None]]

_NO_STORE = (b"cache-control", b"no-store")
_CLOSE = (b"connection", b"close")


class LongPolling:
    """Answers the HTTP requests of one Engine.IO path."""

    def __init__(
        self, engine: Engine, admission: Admission, polls: Polls, elsewhere: Elsewhere
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._polls = polls
        self._elsewhere = elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: Headers = scope["headers"]
        if (refusal := self._admission.check_origin(headers)) is not None:
            status, more, body, _ = self._polls.refuse(refusal)
        else:
            status, more, body, _ = await self._respond(scope, headers, receive)
            more += _cors(scope["method"], headers)
        length = (b"content-length", b"%d" % len(body))
        all_headers = [length, *more, _NO_STORE]
        start = {"type": "http.response.start", "status": int(status), "headers": all_headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _respond(self, scope: Scope, headers: Headers, receive: Receive) -> HttpResponse:
        method = scope["method"]
        if method == "OPTIONS":
            return HttpResponse(HTTPStatus.NO_CONTENT, [], b"")
        query_string = scope["query_string"].decode("latin-1")
        query = read_query(query_string)
        if (refusal := check_query(query, "polling")) is not None:
            return self._polls.refuse(refusal)
        if "sid" not in query:
            peer = (scope.get("client") or ("",))[0]
            address = self._admission.proxies.client_of(peer, headers)
            return self._open(method, query_string, address, headers)
        sid = query["sid"]
        if self._engine.owner_of(sid) is not None and method in ("GET", "POST"):
            return await self._forward(method, sid, receive)
        return await self._polls.serve(method, sid, receive)

    async def _forward(self, method: str, sid: str, receive: Receive) -> HttpResponse:
        """Forward a request to the pod that holds the session."""
        body = b""
        if method == "POST":
            try:
                body = await self._polls.read_body(receive)
            except UnreadableBody as unreadable:
                return self._polls.refuse(unreadable.refusal)
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watch = self._engine.spawn(_watch_client(receive, gone)) if method == "GET" else None
        try:
            response = await self._elsewhere.forward(method, sid, body, gone)
        finally:
            if isinstance(watch, asyncio.Task):
                watch.cancel()
        if response is None:
            return self._polls.refuse(UNKNOWN_SESSION)
        if self._admission.is_closed_to_new:
            # The next request should reach a pod that stays.
            return response._replace(headers=[*response.headers, _CLOSE])
        return response

    def _open(self, method: str, query: str, address: str, headers: Headers) -> HttpResponse:
        refusal = BAD_METHOD if method != "GET" else self._admission.admit(address)
        if refusal is not None:
            return self._polls.refuse(refusal)
        session = self._engine.open(query, address, headers)
        return HttpResponse(HTTPStatus.OK, [TEXT], b"0" + session.open_payload())


async def _watch_client(receive: Receive, gone: asyncio.Future[None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if not gone.done():
        gone.set_result(None)


def _cors(method: str, headers: Headers) -> Headers:
    """Allow the page that requests; `check_origin` has accepted its origin."""
    asked = dict(headers)
    origin = asked.get(b"origin")
    if origin is None:
        return []
    allowed = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"origin"),
    ]
    if method == "OPTIONS":
        allowed.append((b"access-control-allow-methods", b"GET, POST, OPTIONS"))
        wanted = asked.get(b"access-control-request-headers")
        if wanted is not None:
            allowed.append((b"access-control-allow-headers", wanted))
    return allowed
