"""The ports, the address for other pods, and the origins that may connect."""

import pytest

from tests.unit.settings.test_settings import faults, read


def test_an_origin_that_no_page_has_is_named_with_the_reason() -> None:
    (line,) = faults(CONSTELLATION_CORS_ORIGINS="https://a.example,https://b.example/")

    assert line.startswith("CONSTELLATION_CORS_ORIGINS is 'https://a.example,https://b.example/'")
    assert "'https://b.example/' cannot be allowed: " in line


@pytest.mark.parametrize(
    ("text", "port"), [("7757", 7757), ("0", 0), ("off", None), ("OFF", None), ("65535", 65_535)]
)
def test_the_peer_port_is_a_port_or_off(text: str, port: int | None) -> None:
    assert read(CONSTELLATION_PEER_PORT=text).listening.peer_port == port


@pytest.mark.parametrize("text", ["on", "-1", "65536", "7757.5", "none", "off,", "tcp://10.0.0.1"])
def test_a_peer_port_that_is_none_is_named(text: str) -> None:
    (fault,) = faults(CONSTELLATION_PEER_PORT=text)
    assert "CONSTELLATION_PEER_PORT" in fault
    assert f"'{text}'" in fault
    assert "a port number, or `off`" in fault


def test_the_peer_port_is_on_unless_it_is_switched_off() -> None:
    assert read().listening.peer_port == 7757
    assert read(CONSTELLATION_PEER_PORT="").listening.peer_port == 7757


@pytest.mark.parametrize("address", ["10.0.0.7:7757", "http://pod", "a b", "pod/1", "[fd00::1]"])
def test_an_address_for_other_pods_that_is_none_is_named(address: str) -> None:
    (fault,) = faults(CONSTELLATION_PEER_ADDRESS=address)
    assert "CONSTELLATION_PEER_ADDRESS" in fault
    assert "without a port" in fault
