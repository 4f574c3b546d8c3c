"""One frame -> many sockets, without waiting for any: the only module that puts bytes on sockets.

Between its lines nobody else runs.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from engineio import packet as eio

from service.frames import Frame
from service.rooms import Member, Stage


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """What became of one frame."""

    written: int
    slow: tuple[Member, ...]
    """Members for whom too much waits already; the frame was not queued for them."""


class Fanout:
    """Writes frames to the queues of Engine.IO sockets.

    The queue is bounded here: a member with `max_queued_packets` waiting is reported as slow
    and gets nothing more, since a hole in its stream would go unnoticed.
    """

    def __init__(self, max_queued_packets: int) -> None:
        self._max_queued_packets = max_queued_packets

    def write(self, frame: Frame, audience: Collection[Member]) -> Delivery:
        """Queue the frame for each member of the audience."""
        packets = _packets(frame)
        written, slow = 0, []
        for member in audience:
            socket = member.socket
            if socket.closed or member.stage is not Stage.CONNECTED:
                continue
            if socket.queue.qsize() >= self._max_queued_packets:
                slow.append(member)
                continue
            for websocket, polling in packets:
                socket.queue.put_nowait(websocket if socket.upgraded else polling)
            written += 1
        return Delivery(written, tuple(slow))


def _packets(frame: Frame) -> list[tuple[eio.Packet, eio.Packet]]:
    """Make each Engine.IO packet twice: it caches the first encoding that it is asked for."""
    bodies: list[str | bytes] = [frame.packet.decode(), *frame.attachments]
    return [(eio.Packet(eio.MESSAGE, b), eio.Packet(eio.MESSAGE, b)) for b in bodies]
