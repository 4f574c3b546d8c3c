"""Sockets that listen: an address means the same at each port, and a fault names its setting."""

from __future__ import annotations

import contextlib
import errno
import socket
from contextlib import closing

import pytest

from constellation_ws.runtime.listening import PortUnavailable, address_towards, bracketed, listen

HOST = "127.0.0.1"
NAMES = "CONSTELLATION_WS_HOST, WS_PORT"
IPV6 = "::1"


def families_reached(port: int) -> set[str]:
    return {host for host in (HOST, IPV6) if _answers(host, port)}


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("::", {HOST, IPV6}),
        ("0.0.0.0", {HOST}),
        (HOST, {HOST}),
        (IPV6, {IPV6}),
    ],
)
def test_an_address_has_one_meaning(host: str, reached: set[str]) -> None:
    with listen(host, 0, NAMES) as listeners:
        for listener in listeners:
            listener.listen()
        assert families_reached(listeners[0].getsockname()[1]) == reached


def test_a_name_is_every_address_it_has_and_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(_: str, port: int, **__: object) -> list[tuple[object, ...]]:
        v4 = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, port))
        v6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (IPV6, port, 0, 0))
        return [v6, v4, v6]

    with monkeypatch.context() as patched, contextlib.ExitStack() as held:
        patched.setattr(socket, "getaddrinfo", both)
        listeners = held.enter_context(listen("localhost", 0, NAMES))
        patched.undo()
        for listener in listeners:
            listener.listen()
        assert len({listener.getsockname()[1] for listener in listeners}) == 1
        assert families_reached(listeners[0].getsockname()[1]) == {HOST, IPV6}


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_machine_without_ipv6_listens_on_ipv4(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.socket

    def without_ipv6(family: int, kind: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(number, "no IPv6 here")
        return real(family, kind)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    with listen("::", 0, NAMES) as (listener,):
        assert listener.family == socket.AF_INET


def test_a_port_that_is_taken_is_named_with_its_variable() -> None:
    with closing(socket.create_server((HOST, 0))) as taken:
        port = taken.getsockname()[1]
        for host in (HOST, "::"):
            with pytest.raises(PortUnavailable) as caught, listen(host, port, NAMES):
                raise AssertionError("two cannot have it")
            shown = "[::]" if host == "::" else host
            assert str(caught.value).startswith(f"Cannot listen on {shown}:{port} ({NAMES}): ")


def test_a_host_that_is_no_address_of_ours_is_named() -> None:
    for host in ("192.0.2.1", "nowhere.invalid", "2001:db8::1"):
        with pytest.raises(PortUnavailable, match="Cannot listen on"), listen(host, 0, NAMES):
            raise AssertionError("it is not ours")


def test_a_port_is_free_again_once_it_is_let_go() -> None:
    with listen(HOST, 0, NAMES) as (listener,):
        port = listener.getsockname()[1]
    with listen(HOST, port, NAMES) as (listener,):
        assert listener.getsockname()[1] == port


@pytest.mark.parametrize(("host", "address"), [(HOST, HOST), ("localhost", None), (IPV6, IPV6)])
def test_the_own_address_is_the_one_from_which_the_other_is_reached(
    host: str, address: str | None
) -> None:
    found = address_towards(host, 6379)
    assert found == address or (address is None and found in (HOST, IPV6))


def test_the_own_address_is_found_without_a_listener_and_without_a_packet() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        other.bind((HOST, 0))
        other.setblocking(False)
        assert address_towards(HOST, other.getsockname()[1]) == HOST
        with pytest.raises(BlockingIOError):
            other.recv(1)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64, ""])
def test_towards_no_host_the_own_address_is_this_machine(host: str) -> None:
    """Redis cannot be reached either, which is said where it is tried."""
    assert address_towards(host, 6379) in (HOST, IPV6)


def test_an_ipv6_address_stands_in_brackets_before_a_port() -> None:
    assert [bracketed(host) for host in (IPV6, HOST, "pod-1")] == ["[::1]", HOST, "pod-1"]
