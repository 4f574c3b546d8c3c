"""Addresses and paths of backends."""

from __future__ import annotations

import pytest

from constellation_ws.interface import addresses


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("orders-api:4000", ("orders-api", 4000)),
        ("orders.shop.svc.cluster.local:1", ("orders.shop.svc.cluster.local", 1)),
        ("10.0.0.7:65535", ("10.0.0.7", 65_535)),
        ("[fd00::7]:4000", ("fd00::7", 4000)),
    ],
)
def test_a_host_and_a_port_are_taken_apart(text: str, address: tuple[str, int]) -> None:
    assert addresses.split_nest(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "orders-api",
        "orders-api:",
        ":4000",
        "orders-api:0",
        "orders-api:65536",
        "orders-api:4000/path",
        "tcp://orders-api:4000",
        "user:password@orders-api:4000",
        "fd00::7:4000",
        "orders api:4000",
        "orders-api:4000\n",
        "orders-{x}:4000",
    ],
)
def test_everything_else_is_no_address(text: str) -> None:
    assert addresses.split_nest(text) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://orders",
        "https://orders:8443/gateway/v1",
        "http://[fd00::7]:80/",
        "https://a.b/x%20y",
    ],
)
def test_a_url_of_a_backend(url: str) -> None:
    assert list(addresses.url_faults(url)) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("orders", "must be a URL"),
        ("//orders", "must be a URL"),
        ("ftp://orders", "must be a URL"),
        ("file:///etc/passwd", "must be a URL"),
        ("https://", "must be a URL"),
        ("https://orders:0", "must be a URL"),
        ("https://orders:70000", "must be a URL"),
        ("https://[fd00", "must be a URL"),
        ("https://orders/a b", "must be a URL"),
        ("https://orders/\n", "must be a URL"),
        ("https://orders/{id}", "must be a URL"),
        ("https://orders\\@evil", "must be a URL"),
        ("https://user:hunter2@orders", "no credentials"),
        ("https://@orders", "no credentials"),
        ("https://orders?key=hunter2", "neither a query"),
        ("https://orders?", "neither a query"),
        ("https://orders#x", "neither a query"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_the_url(url: str, says: str) -> None:
    (fault,) = addresses.url_faults(url)
    assert says in fault
    assert "hunter2" not in fault


@pytest.mark.parametrize("path", ["/place", "/v1/orders/", "/a%20b"])
def test_a_path_that_can_be_appended(path: str) -> None:
    assert addresses.is_path(path)


@pytest.mark.parametrize(
    "path", ["/../admin", "/a/%2e%2e/b", "/a?b=1", "/a#b", "/{id}", "/a b", "/a\r\nHost: x", "/é"]
)
def test_a_path_that_would_lead_elsewhere(path: str) -> None:
    assert not addresses.is_path(path)
