"""What is at which path: the page, the console, its JSON API, and behind them what was there."""

from __future__ import annotations

from http import HTTPStatus

from constellation_ws.api.app import Scope, Send
from constellation_ws.api.bodies import Receive
from constellation_ws.console.door import is_this_machine
from constellation_ws.console.files import Files
from constellation_ws.console.operations import PREFIX
from constellation_ws.observability.probes import AsgiApp

SHARED = ("style.css", "dom.js", "icon.svg")
PAGE = (*SHARED, "page.css", "page.js", "forms.js", "snippets.js", "socket.io.min.js")
CONSOLE = (*SHARED, "console.css", "console.js", "api.js", "charts.js", "pods.js", "people.js")
CONSOLE_MORE = ("tail.js", "publishing.js", "forms.js")
_READ = ("GET", "HEAD")


class FirstLook:
    """The page at `/`, for people with a browser; others get what `rest` answers."""

    def __init__(self, rest: AsgiApp, interface: bytes) -> None:
        """`interface` describes the interface as JSON."""
        self._rest = rest
        self._files = Files(PAGE, "page.html")
        self._interface = interface

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path, is_read = scope["path"], scope["method"] in _READ
        if is_read and path == "/" and _wants_html(scope):
            await self._files.send("", scope, send)
        elif is_read and path == "/page/interface.json":
            await _send_json(self._interface, send)
        elif is_read and path[:6] == "/page/" != path and path[6:] in self._files:
            await self._files.send(path[6:], scope, send)
        else:
            await self._rest(scope, receive, send)


class ConsolePages:
    """The console at `/console/`."""

    def __init__(self, rest: AsgiApp, api: AsgiApp, *, is_home: bool) -> None:
        """With `is_home` it is where `/` leads to."""
        self._rest = rest
        self._api = api
        self._files = Files((*CONSOLE, *CONSOLE_MORE), "console.html")
        self._doors = ("/console", "/") if is_home else ("/console",)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path, is_read = scope["path"], scope["method"] in _READ
        if path == PREFIX[:-1] or path.startswith(PREFIX):
            await self._api(scope, receive, send)
        elif is_read and path in self._doors:
            await _answer(HTTPStatus.TEMPORARY_REDIRECT, b"", send, (b"location", b"/console/"))
        elif is_read and path.startswith("/console/") and path[9:] in self._files:
            await self._files.send(path[9:], scope, send)
        else:
            await self._rest(scope, receive, send)


class ThisMachineOnly:
    """Keeps those out who call a developer's own gateway by another name than this machine's."""

    def __init__(self, pages: AsgiApp, rest: AsgiApp) -> None:
        """`rest` has what anybody may read."""
        self._pages = pages
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_known = is_this_machine(scope["headers"])
        await (self._pages if is_known else self._rest)(scope, receive, send)


def _wants_html(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


async def _send_json(body: bytes, send: Send) -> None:
    await _answer(HTTPStatus.OK, body, send, (b"content-type", b"application/json"))


async def _answer(
    status: HTTPStatus, body: bytes, send: Send, header: tuple[bytes, bytes] | None = None
) -> None:
    kind = header or (b"content-type", b"text/plain; charset=utf-8")
    headers = [kind, (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
