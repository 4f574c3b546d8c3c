"""One request to the HTTP API, from its head to its answer. An ASGI application.

What is done is `operations`', what may be sent back `problems`'.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from constellation_ws.api.bodies import Gone, Holding, InHand, Receive
from constellation_ws.api.keys import ApiKey, Keys
from constellation_ws.api.operations import Call, Operation
from constellation_ws.api.paths import BadPath, Paths
from constellation_ws.api.problems import ApiResponse, MethodRefused, problem, success
from constellation_ws.api.reading import (
    check_media_type,
    read_body,
    read_parameters,
    read_retry_key,
    read_token,
)
from constellation_ws.messages.admission import Allowance, Rate
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.services.once import RetryKey, fingerprint
from constellation_ws.services.refusals import RequestRefused

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

REQUEST_SECONDS = 5.0
"""How long a request may take, once it was read."""
UNKNOWN_ROUTE = "unknown"
"""The metrics' label for requests that no operation is for: callers must not make labels."""
_NO_STORE = (b"cache-control", b"no-store")
_CLOSE = (b"connection", b"close")

logger = structlog.get_logger(__name__)


class ApiMetrics(Protocol):
    """What is reported. Called on the event loop; must not wait or raise."""

    def request(self, route: str, outcome: str, seconds: float) -> None:
        """One request; `route` is a method and a template, `outcome` is ok or a code."""


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """How much is accepted."""

    max_body_bytes: int
    requests: Rate
    """Of one key."""


class _Target(NamedTuple):
    """What a request is for."""

    route: str
    """A method and a template."""
    asked: Operation | msgspec.Raw
    """A document is given to anybody."""
    in_path: Mapping[str, str]


class Api:
    """The application."""

    def __init__(
        self,
        operations: Iterable[Operation],
        documents: Mapping[str, bytes],
        keys: Keys,
        limits: ApiLimits,
        metrics: ApiMetrics,
        spawn: Spawn,
        is_draining: Callable[[], bool],
    ) -> None:
        """`documents` are JSON that is given to anybody, by path."""
        methods: dict[str, dict[str, _Target]] = {}
        for path, document in documents.items():
            methods[path] = {"GET": _Target(f"GET {path}", msgspec.Raw(document), {})}
        for row in operations:
            target = _Target(f"{row.method} {row.template}", row, {})
            methods.setdefault(row.template, {})[row.method] = target
        self._hint = "".join(f"; {path} describes what there is" for path in documents)
        self._paths = Paths(methods)
        self._keys = keys
        self._limits = limits
        self._metrics = metrics
        self._spawn = spawn
        self._is_draining = is_draining
        self._in_hand = InHand()
        now = time.monotonic()
        self._allowances = {key.name: Allowance(limits.requests, now) for key in keys}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        route, answer = await self._respond(scope, receive)
        self._metrics.request(route, answer.outcome, time.perf_counter() - started)
        length = (b"content-length", b"%d" % len(answer.body))
        # The next request is to reach a pod that stays.
        more = (_CLOSE,) if self._is_draining() else ()
        headers = [*answer.headers, length, _NO_STORE, *more]
        status = int(answer.status)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def span_details(self, scope: Scope) -> tuple[str, dict[str, str]]:
        """Name a request's span by its route: an id in the name would make a name for each user."""
        try:
            route = self._find(scope).route
        except RequestRefused:
            return str(scope["method"]), {}
        return route, {"http.route": route.partition(" ")[2]}

    async def _respond(self, scope: Scope, receive: Receive) -> tuple[str, ApiResponse]:
        route = UNKNOWN_ROUTE
        try:
            target = self._find(scope)
            route = target.route
            if isinstance(target.asked, msgspec.Raw):
                return route, success(HTTPStatus.OK, target.asked)
            return route, await self._serve(target.asked, target.in_path, scope, receive)
        except RequestRefused as refusal:
            return route, problem(refusal)
        except Gone:
            return route, ApiResponse(HTTPStatus.BAD_REQUEST, (), b"", "gone")  # nobody reads it
        except Exception:
            logger.exception("api request failed", route=route)
            return route, problem(RequestRefused("internal_error", "an error of the gateway"))

    def _find(self, scope: Scope) -> _Target:
        """Find what a request is for. Raises RequestRefused."""
        try:
            found = self._paths.find(scope["raw_path"])
        except BadPath as error:
            raise RequestRefused("invalid_request", str(error)) from error
        if found is None:
            raise RequestRefused("not_found", f"there is nothing at this path{self._hint}")
        methods, in_path = found
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if method not in methods:
            names = [*methods, *(["HEAD"] if "GET" in methods else [])]
            raise MethodRefused(", ".join(names))
        return methods[method]._replace(in_path=in_path)

    async def _serve(
        self, operation: Operation, in_path: Mapping[str, str], scope: Scope, receive: Receive
    ) -> ApiResponse:
        headers = scope["headers"]
        key = self._admit(operation, headers)
        with self._in_hand.one() as holding:
            at = read_parameters(in_path, scope["query_string"], operation.parameters)
            body, retry_key = None, None
            if operation.body is not None:
                raw = await self._read_body(headers, holding, receive)
                body = read_body(raw, operation.body)
                if operation.may_repeat:
                    retry_key = _retry_key(key, scope, raw)
            done = await self._in_time(operation.handle(Call(at, body, retry_key)))
        return success(operation.status, done)

    def _admit(self, operation: Operation, headers: Iterable[tuple[bytes, bytes]]) -> ApiKey:
        """Find out who calls, and whether they may. Raises RequestRefused."""
        key = self._keys.find(read_token(headers))
        if key is None:
            raise RequestRefused("unauthorized", "this key is not one of CONSTELLATION_API_KEYS")
        if operation.scope not in key.scopes:
            sentence = f"this key lacks the scope {operation.scope}, which this request requires"
            raise RequestRefused("forbidden", sentence)
        limit = self._limits.requests
        if not self._allowances[key.name].consume(limit, time.monotonic()):
            sentence = (
                f"more than {limit.per_second:,} requests per second with this key; slow down"
            )
            raise RequestRefused("rate_limited", sentence)
        return key

    async def _read_body(
        self, headers: Iterable[tuple[bytes, bytes]], holding: Holding, receive: Receive
    ) -> bytes:
        check_media_type(headers)
        return await holding.read(receive, self._limits.max_body_bytes)

    async def _in_time(self, work: Awaitable[msgspec.Struct]) -> msgspec.Struct:
        """Wait for an operation. Raises RequestRefused where it takes too long.

        In a task of its own, and not within `asyncio.timeout`: redis-py sends inside `wait_for`,
        which on Python 3.11 may swallow the cancellation.
        """
        done: asyncio.Future[msgspec.Struct] = asyncio.get_running_loop().create_future()
        task = self._spawn(_run(work, done))
        await asyncio.wait({done}, timeout=REQUEST_SECONDS)
        if done.done():
            return done.result()
        done.cancel()
        if isinstance(task, asyncio.Task):
            task.cancel()
        sentence = f"timed out after {REQUEST_SECONDS:.0f} s; it may still be executed"
        raise RequestRefused("unavailable", sentence)


async def _run(work: Awaitable[msgspec.Struct], done: asyncio.Future[msgspec.Struct]) -> None:
    try:
        result = await work
    except asyncio.CancelledError:
        done.cancel()  # given up; the task ends here
    except Exception as error:  # noqa: BLE001 - carried to whoever waits
        if not done.done():
            done.set_exception(error)
    else:
        if not done.done():
            done.set_result(result)


def _retry_key(key: ApiKey, scope: Scope, body: bytes) -> RetryKey | None:
    given = read_retry_key(scope["headers"])
    if given is None:
        return None
    what = fingerprint(scope["method"].encode(), scope["raw_path"], scope["query_string"], body)
    return RetryKey(key.name, given, what)
