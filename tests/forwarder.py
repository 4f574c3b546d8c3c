"""A TCP forwarder: the ingress in front of the pods, or the wire to Redis that goes dead.

Lives here: moving bytes from one socket to another, and ceasing to. Of protocols it knows only what
an ingress with sticky sessions must: an Engine.IO session id, where a connection begins with one.
"""

import asyncio
import gc
import re
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.processes import HOST, close_writer
from tests.waiting import PATIENCE_SECONDS, eventually

CHUNK_BYTES = 65_536
# In the request line of a client that has a session, and in the answer that gives it one.
_SID_ASKED = re.compile(rb"^[A-Z]+ \S*[?&]sid=([^&\s]+)")
_SID_GIVEN = re.compile(rb'"sid":"([^"]+)"')


class _Wire:
    """One connection that is carried."""

    def __init__(self) -> None:
        self.thawed = asyncio.Event()
        self.thawed.set()
        self.is_stalled = False


class Forwarder:
    """New sessions go to `target` as it is at that moment; old ones stay where they are."""

    def __init__(self, target: int) -> None:
        """`target` is a port of this machine."""
        self.target = target
        self.port = 0
        self._homes: dict[bytes, int] = {}
        self._wires: set[_Wire] = set()
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.held = b""
        """Connections that send this from now on carry nothing more, in either direction."""

    def stall(self) -> None:
        """Let connections of now go on reading from the target, and pass none of it on.

        As a proxy does that has buffers and whose client is in a tunnel: the target learns nothing.
        """
        for wire in self._wires:
            wire.is_stalled = True

    def freeze(self) -> None:
        """Connections of now stay open, and carry nothing any more; new ones work."""
        for wire in self._wires:
            wire.thawed.clear()

    def cut(self) -> None:
        """Cut the network: nothing gets through until `mend`, and nobody is notified."""
        self._whole.clear()
        self.freeze()

    def mend(self) -> None:
        """End the cut: what was held back goes on."""
        self._whole.set()
        for wire in self._wires:
            wire.thawed.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
        self._writers.add(writer)
        try:
            await self._connect(reader, writer)
        except OSError:
            pass  # the pod is gone, or the client: closed below, as a forwarder should
        finally:
            await close_writer(writer)
            self._writers.discard(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(CHUNK_BYTES)
        await self._whole.wait()
        asked = _SID_ASKED.match(first)
        target = self._homes.get(asked[1], self.target) if asked else self.target
        back, forth = await asyncio.open_connection(HOST, target)
        forth.write(first)
        wire = _Wire()
        self._wires.add(wire)
        self._writers.add(forth)
        try:
            await asyncio.gather(
                self._carry(reader, forth, wire), self._carry(back, writer, wire, target)
            )
        finally:
            self._wires.discard(wire)
            self._writers.discard(forth)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        wire: _Wire,
        home: int | None = None,
    ) -> None:
        """Carry one direction; `home` is the pod that it comes from, where it comes from one."""
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                if home is None and self.held and self.held in chunk:
                    wire.thawed.clear()
                await wire.thawed.wait()
                if home is not None and wire.is_stalled:
                    continue
                given = _SID_GIVEN.search(chunk)
                if given and home is not None:
                    self._homes.setdefault(given[1], home)
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass  # one end was reset: the other is closed below
        await close_writer(writer)

    def break_all(self) -> bool:
        """Break every connection of now; say whether there was none left to break."""
        self._whole.set()
        for wire in self._wires:
            wire.thawed.set()
        for writer in self._writers:
            writer.transport.abort()
        return not self._writers


@asynccontextmanager
async def forwarder(target: int) -> AsyncIterator[Forwarder]:
    """A forwarder that listens on a free port of this machine."""
    forwarding = Forwarder(target)
    server = await asyncio.start_server(forwarding.serve, HOST, 0, backlog=1024)
    forwarding.port = server.sockets[0].getsockname()[1]
    try:
        yield forwarding
    finally:
        server.close()
        # More than once: a connection may have been accepted and not yet been served.
        await eventually(
            forwarding.break_all, within=PATIENCE_SECONDS, what="no connection is forwarded"
        )
        await server.wait_closed()
        _bury_lost_sockets()


def _bury_lost_sockets() -> None:
    """Collect the sockets that asyncio accepted and lost: a busy server does when it is closed.

    Left alone, they would complain in whatever test is running when the collector comes by.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
