"""Whose address counts, when proxies and clients both write it."""

import pytest

from constellation_ws.http.addresses import Proxies, peer_of, site_of

PROXIES = Proxies(["10.0.0.0/8", "fd00::/8", "192.0.2.1"])


def client(peer: str, *forwarded: str, proxies: Proxies = PROXIES) -> str:
    headers = [
        (b"host", b"x"),
        *((b"x-forwarded-for", one.encode()) for one in forwarded),
        (b"forwarded-for", b"203.0.113.66"),
        (b"x-real-ip", b"203.0.113.66"),
    ]
    return proxies.client_of(peer, headers)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        pytest.param("203.0.113.9", [], "203.0.113.9", id="nobody in between"),
        pytest.param("203.0.113.9", ["1.2.3.4"], "203.0.113.9", id="from who is not trusted"),
        pytest.param("10.1.1.1", ["203.0.113.9"], "203.0.113.9", id="one proxy"),
        pytest.param("10.1.1.1", ["203.0.113.9, 10.2.2.2"], "203.0.113.9", id="two proxies"),
        pytest.param("10.1.1.1", ["203.0.113.9", "10.2.2.2"], "203.0.113.9", id="two headers"),
        pytest.param("10.1.1.1", ["1.2.3.4, 203.0.113.9"], "203.0.113.9", id="a forged entry"),
        pytest.param(
            "10.1.1.1", ["10.9.9.9, 203.0.113.9"], "203.0.113.9", id="a forged trusted entry"
        ),
        pytest.param("10.1.1.1", [], "10.1.1.1", id="no header"),
        pytest.param("10.1.1.1", [""], "10.1.1.1", id="an empty header"),
        pytest.param("10.1.1.1", ["10.3.3.3"], "10.3.3.3", id="a client that is trusted"),
        pytest.param("10.1.1.1", ["203.0.113.9, unknown"], "10.1.1.1", id="no address"),
        pytest.param(
            "10.1.1.1", ["203.0.113.9, x, 10.2.2.2"], "10.2.2.2", id="no address further on"
        ),
        pytest.param("10.1.1.1", ["203.0.113.9:4711"], "203.0.113.9", id="with a port"),
        pytest.param("fd00::1", ["[2001:db8::5]:4711"], "2001:db8::5", id="IPv6 with a port"),
        pytest.param("::ffff:10.1.1.1", ["203.0.113.9"], "203.0.113.9", id="IPv4 in IPv6"),
        pytest.param("192.0.2.1", ["203.0.113.9"], "203.0.113.9", id="a proxy by its address"),
        pytest.param("", ["203.0.113.9"], "", id="a peer without an address"),
        pytest.param("10.1.1.1", ["\xff\xfe, 203.0.113.9"], "203.0.113.9", id="strange bytes"),
    ],
)
def test_the_address_is_that_of_the_nearest_hop_that_is_not_trusted(
    peer: str, forwarded: list[str], address: str
) -> None:
    assert client(peer, *forwarded) == address


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert client("10.1.1.1", "203.0.113.9", proxies=Proxies([])) == "10.1.1.1"


def test_a_header_full_of_trusted_hops_is_not_read_for_ever() -> None:
    assert client("10.1.1.1", "203.0.113.9," + "10.2.2.2," * 10_000 + "10.3.3.3") == "10.2.2.2"


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_one_site_of_ipv6_counts_as_one_address(address: str, site: str) -> None:
    assert site_of(address) == site


@pytest.mark.parametrize(
    ("peername", "peer"),
    [
        pytest.param(("192.0.2.1", 4711), ("192.0.2.1", 4711), id="IPv4"),
        pytest.param(("2001:db8::5", 4711, 0, 0), ("2001:db8::5", 4711), id="IPv6"),
        pytest.param("", None, id="a Unix socket"),
        pytest.param(None, None, id="closed before it was asked"),
    ],
)
def test_who_is_at_the_other_end(peername: object, peer: tuple[str, int] | None) -> None:
    assert peer_of(peername) == peer
