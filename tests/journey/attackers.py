"""Clients that mean harm, over sockets of their own; what becomes of them is said by the tests.

Bounded, and to this machine only.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

from tests.conformance.wire import HOST, SOCKET_IO, Wire, request, upgrade_headers, websocket
from tests.processes import Gateway
from tests.websocket_frames import TEXT, client_frame

POLLING = "/socket.io/?EIO=4&transport=polling"


@asynccontextmanager
async def member(pod: Gateway, user: str) -> AsyncIterator[Wire]:
    """A WebSocket in the namespace."""
    async with websocket(pod.ws_port, SOCKET_IO) as wire:
        await wire.message()
        assert (await ask(wire, f'40/chats,{{"userId":"{user}"}}')).startswith("40/chats,")
        yield wire


@asynccontextmanager
async def members(pod: Gateway, users: list[str]) -> AsyncIterator[list[Wire]]:
    """Many of them."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(member(pod, user)) for user in users]


async def ask(wire: Wire, packet: str) -> str:
    """Send a packet and give the next one that comes."""
    await wire.send(packet)
    answer = await wire.packet()
    assert isinstance(answer, str)
    return answer


async def trickle(wire: Wire, begun: bytes, ended: asyncio.Future[bytes]) -> None:
    """Send a beginning, and then a byte now and then for as long as the server bears it."""
    await wire.write(begun)
    while not ended.done():
        try:
            await wire.write(b"x")
        except ConnectionError:
            return
        await asyncio.wait([ended], timeout=0.2)


async def flood_until_closed(wire: Wire, packet: str) -> None:
    """Send a packet over and over until the server has closed."""
    packets = client_frame(TEXT, packet.encode()) * 100
    closed = asyncio.create_task(wire.closed())
    while not closed.done():
        try:
            await wire.write(packets)
        except ConnectionError:
            break
        await asyncio.wait([closed], timeout=0.01)
    await closed


async def write_all(wire: Wire, data: bytes) -> None:
    """Write until it is all sent, or the server has closed."""
    with suppress(ConnectionError):
        await wire.write(data)


async def write_for_ever(wire: Wire, begin: bytes, frames: bytes) -> None:
    """Write a beginning and then the same frames over and over, until the server has hung up."""
    with suppress(ConnectionError):
        await wire.write(begin)
        while True:
            await wire.write(frames)
            await asyncio.sleep(0)


SLOW_UPGRADE = request(SOCKET_IO, upgrade_headers())[:-4] + b"\r\nX-Slow: "


def slow_post(sid: str) -> bytes:
    """The head of a request whose body does not come."""
    headers = [("Content-Length", "100000")]
    return request(f"{POLLING}&sid={sid}", headers, method="POST") + b"4"


@contextmanager
def open_files(count: int) -> Iterator[bool]:
    """Let this process, and those it starts, have so many files open; False where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    may = soft >= count or hard in (-1, resource.RLIM_INFINITY) or hard >= count
    if may and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield may
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def half_open(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connections on which nothing is ever said."""
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sockets.append(socket.create_connection((HOST, port)))
        yield sockets
    finally:
        for one in sockets:
            one.close()
