"""What is at which path, and for whom."""

from __future__ import annotations

from typing import Any

import pytest

from constellation_ws.console.pages import ConsolePages, FirstLook, ThisMachineOnly
from constellation_ws.observability.probes import AsgiApp

HTML = (b"accept", b"text/html,*/*")


def answering(text: str) -> AsgiApp:
    """What says who answers."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})

    return app


REST, API = answering("rest"), answering("api")
PAGE = FirstLook(REST, b'{"interface":1}')


async def get(
    app: AsgiApp, path: str, *headers: tuple[bytes, bytes], method: str = "GET"
) -> tuple[int, str, dict[bytes, bytes]]:
    sent = list[Any]()

    async def send(message: Any) -> None:
        sent.append(message)

    at: dict[str, Any] = {"type": "http", "path": path, "query_string": b""}
    scope = {**at, "method": method, "headers": list(headers)}
    await app(scope, lambda: None, send)  # type: ignore[arg-type, return-value]
    return sent[0]["status"], sent[1]["body"].decode(), dict(sent[0]["headers"])


async def test_a_browser_gets_the_page_and_others_what_was_there() -> None:
    assert "<title>Constellation WS</title>" in (await get(PAGE, "/", HTML))[1]
    for request in (("/",), ("/health", HTML), ("/page/", HTML), ("/page/../x",)):
        assert (await get(PAGE, *request))[1] == "rest"
    assert (await get(PAGE, "/", HTML, method="POST"))[1] == "rest"
    assert (await get(PAGE, "/page/interface.json"))[1] == '{"interface":1}'
    assert "Guillermo Rauch" in (await get(PAGE, "/page/socket.io.min.js"))[1]


@pytest.mark.parametrize(("is_home", "at_root"), [(True, 307), (False, 200)])
async def test_the_console_is_below_its_path(is_home: bool, at_root: int) -> None:
    console = ConsolePages(REST, API, is_home=is_home)
    assert (await get(console, "/"))[0] == at_root
    status, _, headers = await get(console, "/console")
    assert (status, headers[b"location"]) == (307, b"/console/")
    assert "Console · Constellation WS" in (await get(console, "/console/"))[1]
    assert "export" in (await get(console, "/console/charts.js"))[1]
    for path in ("/console/api", "/console/api/pods", "/console/api/../x"):
        assert (await get(console, path))[1] == "api"
    for path in ("/metrics", "/console/nothing", "/console/page.js", "/consoles"):
        assert (await get(console, path))[1] == "rest"


async def test_a_developers_gateway_has_no_pages_for_who_calls_it_by_another_name() -> None:
    app = ThisMachineOnly(PAGE, REST)
    assert "<title>" in (await get(app, "/", HTML, (b"host", b"localhost:7000")))[1]
    assert (await get(app, "/", HTML, (b"host", b"evil.example:7000")))[1] == "rest"
