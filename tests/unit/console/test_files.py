"""The files for browsers: nothing inline or from elsewhere, and the bundle is the official one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from constellation_ws.console import files
from constellation_ws.console.files import Files
from constellation_ws.console.pages import CONSOLE, CONSOLE_MORE, PAGE
from tests.processes import REPOSITORY

ASSETS = Path(files.__file__).with_name("assets")
OWN = sorted(path for path in ASSETS.glob("*.*") if path.name not in {"socket.io.min.js"})
MAKES_MARKUP = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function"
UPSTREAM = REPOSITORY / "tests" / "js" / "node_modules" / "socket.io-client"


def test_every_file_is_served_and_every_file_that_is_named_is_there() -> None:
    served = {*PAGE, *CONSOLE, *CONSOLE_MORE, "page.html", "console.html"}
    assert {path.name for path in ASSETS.iterdir()} == served | {"LICENSE.socket.io-client"}
    for path in OWN:
        if path.suffix in (".html", ".js"):
            text = path.read_text(encoding="utf-8")
            named = re.findall(r'(?:href|src)="(?!https?:|#|/")(?:/page/)?([\w.]+)"', text)
            named += re.findall(r'from "\./([\w.]+)"', text)
            assert set(named) <= served, path.name


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_is_inline_or_from_elsewhere_or_made_of_strings(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", text)
    if path.suffix == ".js":
        assert not re.search(MAKES_MARKUP, text)
    assert not re.search(r'(?:src|href)="https?:|@import|url\(https?:', text)


@pytest.mark.skipif(not UPSTREAM.exists(), reason="make setup brings socket.io-client")
def test_the_bundle_is_the_official_one_but_for_its_source_map() -> None:
    official = (UPSTREAM / "dist" / "socket.io.min.js").read_text(encoding="utf-8")
    vendored = (ASSETS / "socket.io.min.js").read_text(encoding="utf-8")
    assert vendored == re.sub(r"//# sourceMappingURL=.*\n", "", official)
    licence = ASSETS / "LICENSE.socket.io-client"
    assert licence.read_bytes() == (UPSTREAM / "LICENSE").read_bytes()


async def sent(name: str, *headers: tuple[bytes, bytes], method: str = "GET") -> list[Any]:
    messages = list[Any]()

    async def send(message: Any) -> None:
        messages.append(message)

    await Files(["dom.js"], "page.html").send(name, {"method": method, "headers": headers}, send)
    return messages


async def test_a_file_has_a_policy_and_is_not_sent_twice() -> None:
    start, body = await sent("")
    headers = dict(start["headers"])
    assert headers[b"content-type"] == b"text/html; charset=utf-8"
    assert b"default-src 'none'" in headers[b"content-security-policy"]
    assert b"unsafe" not in headers[b"content-security-policy"]
    assert int(headers[b"content-length"]) == len(body["body"]) > 0

    start, body = await sent("", (b"if-none-match", headers[b"etag"]))
    assert (start["status"], body["body"]) == (304, b"")

    start, body = await sent("dom.js", method="HEAD")
    assert (start["status"], body["body"]) == (200, b"")
    assert dict(start["headers"])[b"content-type"] == b"text/javascript; charset=utf-8"
