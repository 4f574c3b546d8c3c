"""Addresses that `listen` takes. Connecting needs a gateway."""

import pytest

from constellation_ws.cli.client import InvalidUrl, check_url


@pytest.mark.parametrize(
    "url", ["http://localhost:7000", "https://chat.example.com", "ws://[::1]:1/chats", "wss://a"]
)
def test_a_gateway_may_be_named_as_browsers_name_it(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize("url", ["localhost:7000", "redis://localhost", "http://", "", "http:///a"])
def test_anything_else_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(InvalidUrl, match=r"^.*http://localhost:7000\.$"):
        check_url(url)
