"""Who may call the console's JSON API. Requests that pages of other sites cause are refused.

With a key, its holder may. Without one a proxy in front has asked who it is, or the gateway is a
developer's own and listens on this machine alone. There a browser sends what any page makes it
send: so each request needs a header that pages of other sites may not set, and a developer's own
gateway must be called by a name of this machine, which a page of another name cannot do by pointing
its name here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from enum import Enum

import structlog

from constellation_ws.api.app import Scope, Send
from constellation_ws.api.bodies import Receive
from constellation_ws.api.keys import Keys
from constellation_ws.api.problems import problem
from constellation_ws.api.reading import read_token
from constellation_ws.observability.probes import AsgiApp
from constellation_ws.services.refusals import RequestRefused

Headers = Iterable[tuple[bytes, bytes]]

HEADER = b"x-constellation-console"
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "[::1]"})
_OWN_PAGES = frozenset({b"same-origin", b"none"})
_LOG_SECONDS = 10.0

logger = structlog.get_logger(__name__)


class Lock(Enum):
    """What keeps others out."""

    KEY = "key"
    PROXY = "proxy"
    LOCAL = "local"


def is_this_machine(headers: Headers) -> bool:
    """Return whether a request names a host that can only be this machine."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1:
        return False
    host = hosts[0].decode("latin-1").lower()
    name, _, port = host.rpartition(":")
    return (name if port.isdigit() else host) in _THIS_MACHINE


def refusal(headers: Headers, lock: Lock, keys: Keys) -> RequestRefused | None:
    """Decide whether a request is refused, by its headers."""
    given = dict(headers)
    if lock is Lock.LOCAL and not is_this_machine(headers):
        return RequestRefused("forbidden", "call it by localhost or 127.0.0.1")
    if HEADER not in given or given.get(b"sec-fetch-site", b"none") not in _OWN_PAGES:
        return RequestRefused("forbidden", "send X-Constellation-Console, from the console's page")
    if lock is not Lock.KEY:
        return None
    try:
        is_known = keys.find(read_token(headers)) is not None
    except RequestRefused as missing:
        return missing
    return None if is_known else RequestRefused("unauthorized", "this is not the console's key")


class RefusalLog:
    """Tells operators of somebody who tries, now and then."""

    def __init__(self) -> None:
        self._logged_at = -_LOG_SECONDS

    def note(self, code: str, address: str) -> None:
        """Log a refusal, unless one was logged just now."""
        now = time.monotonic()
        if now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            logger.warning("console request refused", code=code, address=address)


class Door:
    """Admits requests to the API."""

    def __init__(self, api: AsgiApp, lock: Lock, keys: Keys, own_key: str) -> None:
        """`own_key` is one of the keys: it is used for those who need none of their own."""
        self._api = api
        self._lock = lock
        self._keys = keys
        self._authorization = (b"authorization", b"Bearer " + own_key.encode())
        self._log = RefusalLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = scope["headers"]
        refused = refusal(headers, self._lock, self._keys)
        if refused is None:
            if self._lock is not Lock.KEY:
                kept = [one for one in headers if one[0] != b"authorization"]
                scope = {**scope, "headers": [*kept, self._authorization]}
            await self._api(scope, receive, send)
            return
        self._log.note(refused.code, (scope.get("client") or ("", 0))[0])
        answer = problem(refused)
        fields = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
        fields.append((b"cache-control", b"no-store"))
        status = int(answer.status)
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": answer.body})
