"""One frame -> many sockets, without waiting for any: the only module that puts events on sockets.

What one read from Redis brings is written together: frames for one socket leave in one call, since
a system call costs more than everything else here. Between its lines nobody else runs. Who reads
too slowly is found by the transport, which calls back; nothing is checked per write.

What goes to thousands is written in turns of the event loop: 5,000 writes would hold it for 40 ms.
What waits for a socket stays with it, so what comes later for the same socket comes behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from constellation_ws.delivery.rooms import Member, Outlet
from constellation_ws.messages.frames import Frame
from constellation_ws.runtime import direct
from constellation_ws.runtime.turns import Turn

AT_ONCE = 512
"""Sockets that are written to before the clock is looked at."""

_Run = tuple[list[Frame], Collection[Member]]
"""Frames in a row for the same audience."""


class Fanout:
    """Collects what a batch brings and writes it on `flush`.

    An audience is walked on `flush`: whoever changes who is in a room flushes first.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._begun_with_one: list[Outlet] = []
        self._begun_with_more: list[Outlet] = []
        """Sockets for which something is collected, by how many frames were the first of it."""
        self._is_behind = False
        """Whether sockets wait for another turn."""
        self.writes = 0
        """WebSockets written to, each once per flush. Counted in bulk, like the next."""
        self.coalesced_writes = 0
        """Of these, writes that carried more than one frame."""

    def add(self, frame: Frame, audience: Collection[Member]) -> None:
        """Take one frame for an audience, behind all that was added before."""
        if self._runs and self._runs[-1][1] is audience:
            self._runs[-1][0].append(frame)
        else:
            self._runs.append(([frame], audience))

    def flush(self) -> None:
        """Write all that was added, to each socket in the order in which it was added.

        Where that takes longer than a turn, the rest is written in the next ones.
        """
        runs, self._runs = self._runs, []
        if len(runs) == 1 and not self._is_behind and len(runs[0][1]) <= AT_ONCE:
            writes = _write_run(*runs[0])
            self.writes += writes
            if len(runs[0][0]) > 1:
                self.coalesced_writes += writes
        elif runs:
            for frames, audience in runs:
                begun = self._begun_with_one if len(frames) == 1 else self._begun_with_more
                _collect(frames, audience, begun)
            if not self._is_behind:
                self._write_collected()

    def _write_collected(self) -> None:
        """Write what is collected, as far as this turn goes."""
        turn = Turn()
        while begun := self._begun_with_one or self._begun_with_more:
            some = begun[-AT_ONCE:]
            del begun[-AT_ONCE:]
            writes, mixed = _write_joined(some)
            self.writes += writes
            self.coalesced_writes += mixed if begun is self._begun_with_one else writes
            if turn.is_over and (self._begun_with_one or self._begun_with_more):
                self._is_behind = True
                asyncio.get_running_loop().call_soon(self._write_collected)
                return
        self._is_behind = False


class _Forms:
    """Frames in the forms that an audience needs, each made on first need."""

    __slots__ = ("_frames", "_polling", "_websocket")

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = frames
        self._websocket: list[bytes | None] = [None, None]
        self._polling: list[list[str] | None] = [None, None]

    def websocket(self, with_offset: bool) -> bytes:
        data = self._websocket[with_offset]
        if data is None:
            parts = [frame.websocket(with_offset) for frame in self._frames]
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            self._websocket[with_offset] = data
        return data

    def polling(self, with_offset: bool) -> list[str]:
        packets = self._polling[with_offset]
        if packets is None:
            packets = [one for f in self._frames for one in f.polling(with_offset)]
            self._polling[with_offset] = packets
        return packets


def _forms(frames: list[Frame], audience: Collection[Member]) -> _Forms | Frame:
    """Give what makes the forms; where one frame goes to one member there is nothing to keep."""
    return frames[0] if len(frames) == len(audience) == 1 else _Forms(frames)


def _write_run(frames: list[Frame], audience: Collection[Member]) -> int:
    """Write the same bytes to everyone; say how many were written to."""
    forms, unwritten = _forms(frames, audience), 0
    plain, logged = list[Outlet](), list[Outlet]()
    for member in audience:
        outlet = member.outlet
        if outlet.descriptor >= 0:
            (logged if member.has_offsets else plain).append(outlet)
        elif outlet.write is not None:
            outlet.write(forms.websocket(member.has_offsets))
        else:
            unwritten += 1
            if not outlet.closed:
                _queue(outlet, forms.polling(member.has_offsets))
    if plain:
        direct.send(plain, forms.websocket(False))
    if logged:
        direct.send(logged, forms.websocket(True))
    return len(audience) - unwritten


def _collect(frames: list[Frame], audience: Collection[Member], begun: list[Outlet]) -> None:
    """Leave with each socket what it gets, behind what waits there; name those that had nothing."""
    forms = _forms(frames, audience)
    for member in audience:
        outlet = member.outlet
        pending = outlet.pending
        if outlet.write is None:
            if not outlet.closed:
                _queue(outlet, forms.polling(member.has_offsets))
        elif pending is None:
            outlet.pending = forms.websocket(member.has_offsets)
            begun.append(outlet)
        elif isinstance(pending, bytes):
            outlet.pending = [pending, forms.websocket(member.has_offsets)]
        else:
            pending.append(forms.websocket(member.has_offsets))


def _write_joined(touched: list[Outlet]) -> tuple[int, int]:
    """Join each mixture once: sockets that share rooms share most of what they get.

    Say how many were written to, and how many of them got a mixture.
    """
    joined: dict[tuple[int, ...], bytes] = {}
    mixed = gone = 0
    outlets, written = list[Outlet](), list[bytes]()
    for outlet in touched:
        pending, outlet.pending = outlet.pending, None
        if isinstance(pending, list):
            mixed += 1
            mixture = tuple(map(id, pending))
            data = joined.get(mixture)
            if data is None:
                data = joined[mixture] = b"".join(pending)
        elif pending is None:
            continue  # written since, ahead of something that had to come behind it
        else:
            data = pending
        if outlet.descriptor >= 0:
            outlets.append(outlet)
            written.append(data)
        elif outlet.write is not None:
            outlet.write(data)
        else:
            gone += 1
    if outlets:
        direct.send(outlets, written)
    return len(touched) - gone, mixed


def _queue(outlet: Outlet, packets: list[str]) -> None:
    for packet in packets:
        outlet.queue(packet)
