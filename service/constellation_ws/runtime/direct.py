"""Writes past the transports of the event loop: many sockets in one call of `_sending`, which is C.

A socket may be written to directly as long as its transport holds no bytes that are not sent yet;
then `Target.descriptor` is its file descriptor, otherwise -1. What the kernel does not take goes to
the transport, which holds it, waits for the socket, or finds that the connection has failed. Where
`_sending` was not compiled every descriptor is -1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

try:
    from constellation_ws.runtime._sending import send_many
except ImportError:  # there was no compiler
    send_many = None  # type: ignore[assignment]

NOT_DIRECT = -1
"""In the place of a descriptor: only the transport may write."""
IS_COMPILED = send_many is not None


class Target(Protocol):
    """What can be written to in both ways."""

    descriptor: int
    write: Callable[[bytes], None] | None
    """The transport's; None once it is closed."""


def descriptor_of(transport: asyncio.Transport) -> int:
    """Return what a socket can be written to by, once its transport holds nothing; else -1.

    It is valid until the protocol's `connection_lost` has returned.
    """
    socket = transport.get_extra_info("socket")
    if not IS_COMPILED or socket is None or transport.get_extra_info("sslcontext") is not None:
        return NOT_DIRECT
    return int(socket.fileno())


def send(targets: Sequence[Target], data: bytes | list[bytes]) -> None:
    """Write the same to all of these, or to each its own; all have a descriptor."""
    assert send_many is not None, "there are no descriptors without it"
    for index, sent in send_many([target.descriptor for target in targets], data):
        write = targets[index].write
        if write is not None:  # else it was closed because of another one
            rest = data if isinstance(data, bytes) else data[index]
            write(rest[sent:] if sent else rest)
