"""The IP address of a client, from the connection or from a trusted proxy.

Lives here: reading `X-Forwarded-For`, and what counts as one address for a limit. Not here: limits.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable
from typing import TypeAlias

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]
"""Names in lower case."""
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_FORWARDED_FOR = b"x-forwarded-for"
_MAX_HOPS = 32
"""Entries of a header that are read at most; no deployment has as many proxies."""
_IPV6_SITE_BITS = 64
_MAPPED = "::ffff:"
"""Prefix of an IPv4 address on a socket of both families (RFC 4291 section 2.5.5.2)."""


class Proxies:
    """The trusted proxies. Each appends the address that called it to the header."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(map(ipaddress.ip_network, networks))

    def client_of(self, peer: str, headers: Headers) -> str:
        """Return the address of the client behind the trusted proxies, or else the peer's.

        The header is read from the right, and up to the first address that is not trusted. What a
        client has written itself is further left and never reached. An entry that is not an
        address ends the search: the address right of it is returned.
        """
        # One copy of it: where no proxy is trusted, all clients may have that of the balancer.
        peer = sys.intern(peer.removeprefix(_MAPPED))
        if not self._networks or not self._is_trusted(_read(peer)):
            return peer
        nearest = peer
        for hop in _hops(headers):
            address = _read(hop)
            if address is None:
                break
            nearest = str(address)
            if not self._is_trusted(address):
                break
        return nearest

    def _is_trusted(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def peer_of(peername: object) -> tuple[str, int] | None:
    """Return address and port from what a transport calls `peername`; None for a Unix socket.

    uvicorn's `get_remote_addr` asks the transport's socket, which retains its answer: 170 bytes for
    each connection with uvloop.
    """
    return (peername[0], peername[1]) if isinstance(peername, tuple) else None


def site_of(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 network of an IPv6 one."""
    read = _read(address)
    if isinstance(read, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((read, _IPV6_SITE_BITS), strict=False))
    return address if read is None else str(read)


def _hops(headers: Headers) -> list[str]:
    """Return the entries from the right; several headers count as one, in their order."""
    values = [value.decode("latin-1") for name, value in headers if name == _FORWARDED_FOR]
    entries = ",".join(values).rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]
    return [entry.strip() for entry in reversed(entries)]


def _read(text: str) -> _Address | None:
    """Read an address, also as `[::1]:80` and `10.0.0.1:80`, which some proxies write."""
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
