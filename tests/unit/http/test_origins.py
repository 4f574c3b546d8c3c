"""Which pages may connect: what browsers and WebViews send, against what operators write."""

from __future__ import annotations

import pytest

from constellation_ws.http.origins import BadOrigin, Origins, normalized

HOST = (b"host", b"gateway.example.net")
FORWARDED = b"x-forwarded-proto"


def is_allowed(allowed: tuple[str, ...], origin: str, *headers: tuple[bytes, bytes]) -> bool:
    refused = Origins(allowed).refused([HOST, *headers, (b"origin", origin.encode())])
    assert refused in (None, origin)
    return refused is None


@pytest.mark.parametrize(
    ("allowed", "origin", "may"),
    [
        (("*",), "https://anywhere.example", True),
        (("https://a.example", "*"), "null", True),
        (("https://a.example",), "https://a.example", True),
        (("https://a.example",), "http://a.example", False),
        (("https://a.example",), "https://sub.a.example", False),
        (("https://a.example",), "https://a.example.evil.test", False),
        (("https://a.example",), "https://aXexample", False),
        (("https://a.example",), "", False),
        ((), "https://a.example", False),
        # Ports: the one that a scheme implies is never sent, and often written.
        (("https://a.example:443",), "https://a.example", True),
        (("http://a.example:80",), "http://a.example", True),
        (("https://a.example",), "https://a.example:443", True),
        (("https://a.example:80",), "https://a.example", False),
        (("http://localhost:3000",), "http://localhost:3000", True),
        (("http://localhost:3000",), "http://localhost:3001", False),
        (("http://localhost",), "http://localhost:3000", False),
        (("http://[::1]:3000",), "http://[::1]:3000", True),
        # Case: browsers send lower case.
        (("HTTPS://App.Example.org",), "https://app.example.org", True),
        (("https://bücher.example",), "https://xn--bcher-kva.example", True),
        # Wildcards stand for one label.
        (("https://*.example.org",), "https://app.example.org", True),
        (("https://*.example.org",), "https://example.org", False),
        (("https://*.example.org",), "https://a.b.example.org", False),
        (("https://*.example.org",), "https://.example.org", False),
        (("https://*.example.org",), "http://app.example.org", False),
        (("https://*.example.org",), "https://app.example.org:8443", False),
        (("https://*.example.org",), "https://appXexample.org", False),
        (("https://*.example.org",), "https://evil.test/.example.org", False),
        (("https://*.example.org",), "https://app.example.org.evil.test", False),
        (("https://*.example.org:443",), "https://app.example.org", True),
        (("https://*.example.org:8443",), "https://app.example.org:8443", True),
        (("https://*.*.example.org",), "https://a.b.example.org", True),
        (("https://app.*.example.org",), "https://app.eu.example.org", True),
        # Pages without an origin, and apps.
        (("https://a.example",), "null", False),
        (("https://a.example", "null"), "null", True),
        (("file://",), "file://", True),
        (("https://a.example",), "file://", False),
        (("capacitor://localhost",), "capacitor://localhost", True),
        (("ionic://localhost", "app://-"), "app://-", True),
        (("chrome-extension://abcdefghijklmnop",), "chrome-extension://abcdefghijklmnop", True),
        (("capacitor://localhost",), "ionic://localhost", False),
    ],
)
def test_an_origin_must_be_one_of_the_list(
    allowed: tuple[str, ...], origin: str, *, may: bool
) -> None:
    assert is_allowed(allowed, origin) is may


def test_programs_that_are_no_browser_send_no_origin_and_may_connect() -> None:
    assert Origins(()).refused([HOST]) is None


@pytest.mark.parametrize(
    ("host", "origin", "may"),
    [
        ("gateway.example.net", "https://gateway.example.net", True),
        ("gateway.example.net", "http://gateway.example.net", True),
        ("Gateway.Example.net", "https://gateway.example.net", True),
        ("gateway.example.net:443", "https://gateway.example.net", True),
        ("localhost:7000", "http://localhost:7000", True),
        ("localhost:7000", "http://localhost:3000", False),
        ("localhost:7000", "http://localhost", False),
        ("[::1]:7000", "http://[::1]:7000", True),
        ("gateway.example.net", "https://other.example.net", False),
        ("gateway.example.net", "capacitor://gateway.example.net", False),
        ("", "https://", False),
    ],
)
def test_a_page_of_the_host_that_is_asked_may_connect(host: str, origin: str, *, may: bool) -> None:
    headers = [(b"host", host.encode()), (b"origin", origin.encode())]
    assert (Origins(("https://a.example",)).refused(headers) is None) is may


def test_a_page_that_came_in_plain_is_not_of_a_host_behind_tls() -> None:
    plain, secure = "http://gateway.example.net", "https://gateway.example.net"
    assert not is_allowed((), plain, (FORWARDED, b"https"))
    assert not is_allowed((), plain, (FORWARDED, b"HTTPS, http"))
    assert is_allowed((), secure, (FORWARDED, b"https"))
    assert is_allowed((), plain, (FORWARDED, b"http"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://a.example/", "without path or slash"),
        ("https://a.example/path", "without path or slash"),
        ("a.example", "without path or slash"),
        ("https://user@a.example", "without path or slash"),
        ("https://a.example?x", "without path or slash"),
        ("", "without path or slash"),
        ("https://", "has no host"),
        ("file://:80", "has no host"),
        ("https://a.example:70000", "port is above 65535"),
        ("https://app-*.example.org", "a whole label"),
        ("https://a..example.org", "is not a name"),
        ("https://*", "to the left of a domain"),
        ("https://*.org", "to the left of a domain"),
        ("https://example.*", "to the left of a domain"),
    ],
)
def test_what_no_page_has_for_an_origin_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(BadOrigin, match=reason):
        normalized(text)


@pytest.mark.parametrize("origin", ["https://[::1", "https://a b", "\x00", "https://" + "a" * 900])
def test_what_clients_send_never_raises(origin: str) -> None:
    assert not is_allowed(("https://*.example.org", "https://a.example"), origin)


@pytest.mark.parametrize("host", ["é" * 70 + ".com", "é..com", "\u00ad.com"])
def test_a_host_that_no_name_can_be_made_of_is_no_origin(host: str) -> None:
    with pytest.raises(BadOrigin):
        normalized(f"https://{host}")
    assert Origins(["https://a.com"]).refused([(b"origin", f"https://{host}".encode())]) is not None


def test_a_port_has_16_bits() -> None:
    assert normalized("https://a.com:65535") == "https://a.com:65535"
    with pytest.raises(BadOrigin, match="65535"):
        normalized("https://a.com:65536")
