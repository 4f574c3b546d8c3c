"""A TCP server that speaks NestJS' framing, and answers as a test tells it: late, wrongly, never.

Real NestJS services have their own tests; this one does what those would not.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

from tests.processes import HOST

Packet = dict[str, Any]
Answer = Callable[[Packet], bytes | None]


class FakeNest:
    """Keeps what it is asked, and who has connected."""

    def __init__(self, answer: Answer) -> None:
        self.port = 0
        self.asked: list[Packet] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.answer = answer
        """Gives the bytes to send, or None."""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"#")
                packet = json.loads(await reader.readexactly(int(head[:-1])))
                self.asked.append(packet)
                said = self.answer(packet)
                if said is not None:
                    writer.write(said)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def fake_nest(answer: Answer, port: int = 0) -> AsyncIterator[FakeNest]:
    """A listening one."""
    one = FakeNest(answer)
    async with await asyncio.start_server(one.accept, HOST, port) as listening:
        one.port = listening.sockets[0].getsockname()[1]
        yield one
        for writer in one.writers:
            writer.close()


@contextmanager
def full_port() -> Iterator[int]:
    """A port where connecting takes for ever: nobody accepts, and the backlog is full."""
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.socket())
        listening.bind((HOST, 0))
        listening.listen(0)
        for _ in range(4):
            one = sockets.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
