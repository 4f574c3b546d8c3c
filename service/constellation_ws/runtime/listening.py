"""Sockets that listen: one meaning of an address for every port of the process.

`::` is every address of the machine, of both families where it has both; `0.0.0.0` is IPv4 alone.
What is said on a port is not known here.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

EVERY_ADDRESS = "::"
EVERY_IPV4_ADDRESS = "0.0.0.0"
WILDCARDS = (EVERY_IPV4_ADDRESS, EVERY_ADDRESS)
"""Addresses that can be listened on, and that nobody can connect to."""
_NO_SUCH_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
"""What a machine without IPv6 answers: kernels differ in which call fails."""


def bracketed(host: str) -> str:
    """Write a host as it stands before a port: an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host


class PortUnavailable(OSError):
    """The port cannot be listened on; `str()` is a sentence that names the settings."""

    def __init__(self, host: str, port: int, variables: str, error: OSError) -> None:
        """`variables` are the names of those that say where to listen."""
        reason = error.strerror or error
        super().__init__(f"Cannot listen on {bracketed(host)}:{port} ({variables}): {reason}.")


def address_towards(host: str, port: int) -> str:
    """Find the address of this machine from which it reaches another one. Sends nothing.

    This machine itself where that cannot be found.
    """
    with contextlib.suppress(OSError, UnicodeError):  # the latter where no host has such a name
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        for family, kind, protocol, _, address in found:
            with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as one:
                one.connect(address)
                return str(one.getsockname()[0])
    return "127.0.0.1"


@contextlib.contextmanager
def listen(host: str, port: int, variables: str) -> Iterator[list[socket.socket]]:
    """Hold the sockets of an address; several where a name has several. Port 0 takes a free one.

    They are bound and do not listen yet: whoever serves does that. Raises PortUnavailable.
    """
    with contextlib.ExitStack() as held:
        yield [held.enter_context(one) for one in bound(host, port, variables)]


def bound(host: str, port: int, variables: str) -> list[socket.socket]:
    """Return the sockets themselves, to be closed by the caller. Raises PortUnavailable."""
    try:
        if host == EVERY_ADDRESS:
            return [_bound_to_all(port)]
        return _bound_to_each(host, port)
    except OSError as error:
        raise PortUnavailable(host, port, variables, error) from error


def _bound_to_all(port: int) -> socket.socket:
    try:
        return _bound(socket.AF_INET6, (EVERY_ADDRESS, port), takes_ipv4=True)
    except OSError as error:
        if error.errno not in _NO_SUCH_FAMILY:
            raise
    return _bound(socket.AF_INET, (EVERY_IPV4_ADDRESS, port))


def _bound_to_each(host: str, port: int) -> list[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets, fault = list[socket.socket](), OSError(errno.EADDRNOTAVAIL, "no address")
    try:
        for family, *_, address in dict.fromkeys(found):
            try:
                sockets.append(_bound(family, (address[0], port, *address[2:])))
            except OSError as error:
                if error.errno not in _NO_SUCH_FAMILY:
                    raise
                fault = error
            else:
                port = int(sockets[0].getsockname()[1])
    except OSError:
        for one in sockets:
            one.close()
        raise
    if not sockets:
        raise fault
    return sockets


def _bound(family: int, address: tuple[object, ...], *, takes_ipv4: bool = False) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not takes_ipv4)
        listener.bind(address)
    except BaseException:
        listener.close()
        raise
    return listener
