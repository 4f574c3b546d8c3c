"""One frame -> many sockets, without waiting for any: the only module that puts events on sockets.

What one read from Redis brings is written together: frames for one socket leave in one call, since
a system call costs more than everything else here. Between its lines nobody else runs. Who reads
too slowly is found by the transport, which calls back; nothing is checked per write.
"""

from __future__ import annotations

from collections.abc import Collection

from service.frames import Frame
from service.rooms import Member, Outlet

_Run = tuple[list[Frame], Collection[Member]]
"""Frames in a row for the same audience."""


class Fanout:
    """Collects what a batch brings and writes it on `flush`.

    An audience is walked on `flush`: whoever changes who is in a room flushes first.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def add(self, frame: Frame, audience: Collection[Member]) -> None:
        """Take one frame for an audience, behind all that was added before."""
        if self._runs and self._runs[-1][1] is audience:
            self._runs[-1][0].append(frame)
        else:
            self._runs.append(([frame], audience))

    def flush(self) -> None:
        """Write all that was added, to each socket in the order in which it was added."""
        runs, self._runs = self._runs, []
        if len(runs) == 1:
            _write_run(*runs[0])
        elif runs:
            _write_runs(runs)


def _write_run(frames: list[Frame], audience: Collection[Member]) -> None:
    """Write the same bytes to everyone."""
    data = _websocket(frames)
    polling: list[str] = []
    for member in audience:
        write = member.socket.write
        if write is not None:
            write(data)
        elif not member.socket.closed:
            polling = polling or _polling(frames)
            _queue(member.socket, polling)


def _write_runs(runs: list[_Run]) -> None:
    """Collect per socket first, then write: a socket may be in several audiences."""
    touched: list[Outlet] = []
    for frames, audience in runs:
        data = _websocket(frames)
        polling: list[str] = []
        for member in audience:
            outlet = member.socket
            pending = outlet.pending
            if outlet.write is None:
                if not outlet.closed:
                    polling = polling or _polling(frames)
                    _queue(outlet, polling)
            elif pending is None:
                outlet.pending = data
                touched.append(outlet)
            elif isinstance(pending, bytes):
                outlet.pending = [pending, data]
            else:
                pending.append(data)
    _write_collected(touched)


def _write_collected(touched: list[Outlet]) -> None:
    """Join each mixture once: sockets that share rooms share most of what they get."""
    joined: dict[tuple[int, ...], bytes] = {}
    for outlet in touched:
        pending, outlet.pending = outlet.pending, None
        if isinstance(pending, list):
            mixture = tuple(map(id, pending))
            data = joined.get(mixture)
            if data is None:
                data = joined[mixture] = b"".join(pending)
        else:
            assert pending is not None, "collected above"
            data = pending
        if outlet.write is not None:
            outlet.write(data)


def _websocket(frames: list[Frame]) -> bytes:
    if len(frames) == 1:
        return frames[0].websocket()
    return b"".join([frame.websocket() for frame in frames])


def _polling(frames: list[Frame]) -> list[str]:
    return [packet for frame in frames for packet in frame.polling()]


def _queue(outlet: Outlet, packets: list[str]) -> None:
    for packet in packets:
        outlet.queue(packet)
