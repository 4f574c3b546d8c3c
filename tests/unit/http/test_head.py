"""What a request's head has to have, and the forms that it is brought into."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.http.head import check_host, origin_form, without_offer
from constellation_ws.http.refusals import BAD_HOST, NOT_HTTP


def hosts(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"accept", b"*/*"), *((b"host", value.encode()) for value in values)]


@pytest.mark.parametrize(
    ("version", "values", "is_good"),
    [
        ("1.1", ["example.com"], True),
        ("1.1", ["example.com:7000"], True),
        ("1.1", ["10.0.0.1:80"], True),
        ("1.1", ["[::1]"], True),
        ("1.1", ["[fd00::1]:80"], True),
        ("1.1", [""], True),
        ("1.1", [], False),
        ("1.1", ["a", "b"], False),
        ("1.1", ["a", "a"], False),
        ("1.1", ["a b"], False),
        ("1.1", ["a,b.example/"], False),
        ("1.1", ["a@b"], False),
        ("1.1", ["a:b"], False),
        ("1.1", ["[::1"], False),
        ("1.1", ["http://a"], False),
        ("1.1", ["é.example"], False),
        ("1.0", [], True),
        ("1.0", ["a"], True),
        ("1.0", ["a", "b"], False),
        ("1.0", ["a b"], False),
    ],
)
def test_there_is_one_host_and_it_could_be_one(
    version: str, values: list[str], is_good: bool
) -> None:
    assert check_host(version, hosts(*values)) is (None if is_good else BAD_HOST)


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://a.example/socket.io/?EIO=4&b=c", b"/socket.io/?EIO=4&b=c", b"a.example"),
        (b"https://a.example:8443/x", b"/x", b"a.example:8443"),
        (b"ws://[fd00::1]:80/x?y", b"/x?y", b"[fd00::1]:80"),
        (b"http://a.example", b"/", b"a.example"),
        (b"http://a.example?x=1", b"/?x=1", b"a.example"),
    ],
)
def test_a_url_is_split_and_its_host_is_the_one_that_counts(
    target: bytes, path: bytes, host: bytes
) -> None:
    form = origin_form(target, hosts("other.example"))
    assert form == (path, [(b"host", host), (b"accept", b"*/*")])


@pytest.mark.parametrize("target", [b"*", b"a.example:443", b"", b"socket.io", b"http:///x", b"?"])
def test_a_target_that_is_neither_path_nor_url_is_refused(target: bytes) -> None:
    assert origin_form(target, hosts("a")) is NOT_HTTP


def test_a_head_is_written_again_without_its_offer() -> None:
    headers = [
        (b"host", b"a.example"),
        (b"connection", b"Upgrade, HTTP2-Settings"),
        (b"upgrade", b"h2c"),
        (b"http2-settings", b"AAMA"),
        (b"content-length", b"5"),
        (b"upgrade", b"h2"),
    ]
    assert without_offer(b"POST", b"/x?y", "1.1", headers) == (
        b"POST /x?y HTTP/1.1\r\n"
        b"host: a.example\r\n"
        b"connection: Upgrade, HTTP2-Settings\r\n"
        b"content-length: 5\r\n"
        b"\r\n"
    )


class Heads:
    """Collects what httptools finds in requests."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.count = 0
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.count += 1


texts = st.binary(max_size=20).map(lambda text: text.strip(b" \t"))


@given(values=st.lists(texts, max_size=4), path=st.binary(max_size=10))
def test_a_head_that_is_written_again_smuggles_nothing(values: list[bytes], path: bytes) -> None:
    """Whatever the parser lets through once it reads as the same one request again."""
    first, again = Heads(), Heads()
    lines = [b"GET /%b HTTP/1.1" % path, b"host: a"]
    lines += [b"x-%d: %b" % (number, value) for number, value in enumerate(values)]
    try:
        first.parser.feed_data(b"\r\n".join([*lines, b"", b""]))
    except httptools.HttpParserError:
        return
    if first.count != 1:
        return
    again.parser.feed_data(without_offer(b"GET", first.url, "1.1", first.headers))
    assert (again.count, again.url, again.headers) == (1, first.url, first.headers)
