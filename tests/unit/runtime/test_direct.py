"""Writing to many sockets in one call, past their transports."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from constellation_ws.runtime import direct

pytestmark = pytest.mark.skipif(not direct.IS_COMPILED, reason="_sending was not compiled here")
MORE_THAN_FITS = b"x" * 10_000_000


class Target:
    """One end of a pair of sockets, with a transport that only takes notes."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self.descriptor = ours.fileno()
        self.theirs = theirs
        self.left: list[bytes] = []
        self.write: Callable[[bytes], None] | None = self.left.append

    def received(self) -> bytes:
        """What has arrived so far."""
        return self.theirs.recv(2 * len(MORE_THAN_FITS))

    def received_all(self) -> bytes:
        """What has arrived, to the last byte."""
        received = b""
        while True:
            try:
                received += self.received()
            except BlockingIOError:
                return received


@pytest.fixture
def targets() -> Iterator[list[Target]]:
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(3)]
        for pair in pairs:
            for one in pair:
                one.setblocking(False)
                stack.enter_context(one)
        yield [Target(*pair) for pair in pairs]


def test_all_get_the_same(targets: list[Target]) -> None:
    direct.send(targets, b"hello")

    assert [target.received() for target in targets] == [b"hello"] * 3
    assert not any(target.left for target in targets)


def test_each_gets_its_own(targets: list[Target]) -> None:
    direct.send(targets, [b"a", b"", b"c"])

    assert [targets[0].received(), targets[2].received()] == [b"a", b"c"]
    with pytest.raises(BlockingIOError):
        targets[1].received()


def test_what_the_kernel_does_not_take_goes_to_the_transport(targets: list[Target]) -> None:
    first, full, last = targets
    direct.send([full], MORE_THAN_FITS)
    (rest,) = full.left
    assert 0 < len(rest) < len(MORE_THAN_FITS)
    assert len(full.received_all()) + len(rest) == len(MORE_THAN_FITS)

    direct.send(targets, MORE_THAN_FITS[:100])
    assert [len(first.received()), len(last.received())] == [100, 100]


def test_a_socket_that_is_full_leaves_all_to_its_transport(targets: list[Target]) -> None:
    full = targets[1]
    direct.send([full], MORE_THAN_FITS)
    full.left.clear()
    direct.send(targets, [b"a", b"b", b"c"])

    assert full.left == [b"b"]
    assert [targets[0].received(), targets[2].received()] == [b"a", b"c"]


def test_a_socket_that_has_failed_is_left_to_its_transport(targets: list[Target]) -> None:
    targets[1].theirs.close()
    direct.send(targets, b"hello")

    assert targets[1].left == [b"hello"]
    assert [targets[0].received(), targets[2].received()] == [b"hello"] * 2


def test_who_is_closed_meanwhile_gets_no_rest(targets: list[Target]) -> None:
    targets[1].theirs.close()
    targets[1].write = None  # as if an earlier one had closed it
    direct.send(targets, b"hello")

    assert targets[1].left == []


@pytest.mark.parametrize(
    ("descriptors", "data", "error"),
    [
        ([1], [b"a", b"b"], ValueError),
        (["1"], b"a", TypeError),
        ([1], "a", TypeError),
        ([1], ["a"], TypeError),
        ((1,), b"a", TypeError),
    ],
)
def test_what_is_no_descriptor_and_no_bytes_is_refused(
    descriptors: list[int], data: bytes, error: type[Exception]
) -> None:
    sending = pytest.importorskip("constellation_ws.runtime._sending")
    with pytest.raises(error):
        sending.send_many(descriptors, data)


async def test_a_transport_has_a_descriptor_unless_it_encrypts_or_has_no_socket(
    targets: list[Target],
) -> None:
    class Transport(asyncio.Transport):
        pass

    with socket.socket() as one:
        assert direct.descriptor_of(Transport({"socket": one})) == one.fileno()
        assert direct.descriptor_of(Transport({"socket": one, "sslcontext": object()})) == -1
    assert direct.descriptor_of(Transport()) == -1
