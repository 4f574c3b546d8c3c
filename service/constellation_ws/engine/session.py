"""One Engine.IO session: its state, what waits for its client, and how bytes are sent to it.

A session may change its transport: it begins on long-polling or on a WebSocket and may be upgraded
from the one to the other. `server` decides when it is opened, pinged and closed.
"""

from __future__ import annotations

from asyncio import Future
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from itertools import accumulate, takewhile
from typing import Any, Protocol

import engineio
import msgspec
from engineio import packet as eio

from constellation_ws.engine.carrier import WebSocket
from constellation_ws.engine.limits import EngineLimits
from constellation_ws.engine.slow import SlowConsumers, Strain
from constellation_ws.messages.frames import Frame
from constellation_ws.runtime.direct import NOT_DIRECT
from constellation_ws.websocket import binary_frame, text_frame

_SERVER_DISCONNECT = engineio.AsyncServer.reason.SERVER_DISCONNECT
CLOSE = "1"
"""The packet that ends a session."""
NOOP = "6"
"""The packet that ends a poll and means nothing else."""


class UpgradeProbe(Enum):
    """State of the upgrade of a session that polls to a WebSocket."""

    NONE = auto()
    SILENT = auto()
    """The WebSocket is open. Polls still wait: some proxies open one and pass nothing on."""
    ANSWERED = auto()
    """Its probe was answered. Polls end at once: the client waits for that before it upgrades."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """What is retained of the HTTP request that opened a session."""

    query: str
    address: str
    headers: tuple[tuple[bytes, bytes], ...]
    """Only those that authentication needs, as memory is used for each client."""


class SessionHost(Protocol):
    """What a session needs of the engine that holds it."""

    limits: EngineLimits
    slow: SlowConsumers[EngineSession]

    def close(self, session: EngineSession, reason: str) -> None:
        """Close a session after all that was sent to it."""


class MovedSession(msgspec.Struct, frozen=True, array_like=True):
    """A session as one pod sends it to another: on a WebSocket, between two messages."""

    sid: str
    query: str
    address: str
    headers: list[tuple[bytes, bytes]]
    packets_received: int
    awaits_pong: bool
    age_seconds: float = 0.0
    """For how long it is open; a pod of the release before does not say it."""


class EngineSession:
    """A client's Engine.IO session; it replaces python-engineio's `AsyncSocket`.

    python-engineio and python-socketio require the names `closed`, `connected`, `upgraded`,
    `session`, `send` and `close`.
    """

    __slots__ = (
        "awaits_pong",
        "closed",
        "descriptor",
        "engine",
        "inbox",
        "opened_at",
        "outbox",
        "outbox_bytes",
        "packets_received",
        "pending",
        "poll",
        "post",
        "session",
        "sid",
        "site",
        "slot",
        "strain",
        "upgrade_probe",
        "websocket",
        "write",
    )

    def __init__(self, engine: SessionHost, sid: str, opened_at: float = 0.0) -> None:
        self.engine = engine
        self.sid = sid
        self.opened_at = opened_at
        """By the monotonic clock of this pod, wherever it was opened."""
        self.closed = False
        self.websocket: WebSocket | None = None
        self.write: Callable[[bytes], None] | None = None
        """The WebSocket's raw write; None while polling and once closed. For `fanout`."""
        self.descriptor = NOT_DIRECT
        """Of the WebSocket, while nothing waits in its transport; otherwise -1. For `direct`."""
        self.pending: bytes | list[bytes] | None = None
        """What `fanout` has collected for this session and not written yet."""
        self.outbox: list[str] | None = None
        """Packets that wait for the next poll, in polling's encoding; None if there are none."""
        self.outbox_bytes = 0
        self.poll: Future[None] | None = None
        """The poll that waits for packets."""
        self.post: Future[None] | None = None
        """The request that brings packets; done when the next one may come."""
        self.upgrade_probe = UpgradeProbe.NONE
        self.inbox: deque[Any] | None = None
        """What the client sent while an earlier message of its is being handled."""
        self.packets_received = 0
        """Packets and control frames since the last heartbeat."""
        self.site: str | None = None
        """What counts as its IP address for a limit; None if there is no limit per address."""
        self.awaits_pong = False
        self.slot = -1
        """Its slot in the timer wheel; -1 if it is in none."""
        self.strain: Strain | None = None
        """Set while more is buffered than may be for long. For `slow`."""
        self.session: dict[str, Any] | None = None
        """python-socketio's own per-session data."""

    @property
    def upgraded(self) -> bool:
        """Whether a WebSocket carries the session, from the start or since an upgrade."""
        return self.websocket is not None

    @property
    def connected(self) -> bool:
        """Whether the session is open, in python-engineio's word."""
        return not self.closed

    @property
    def is_flushed(self) -> bool:
        """Whether nothing is buffered here for the client any more."""
        if self.pending is not None:
            return False
        return not self.outbox if self.websocket is None else self.websocket.is_flushed()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are buffered here for the client; on long-polling, characters."""
        return self.outbox_bytes if self.websocket is None else self.websocket.waiting_bytes()

    def open_payload(self) -> bytes:
        """Return the payload of the open packet."""
        limits = self.engine.limits
        return msgspec.json.encode(
            {
                "sid": self.sid,
                "upgrades": [] if self.upgraded else ["websocket"],
                "pingInterval": round(limits.ping_interval_seconds * 1000),
                "pingTimeout": round(limits.ping_timeout_seconds * 1000),
                "maxPayload": limits.max_payload_bytes,
            }
        )

    def write_pending(self) -> None:
        """Write what `fanout` has collected, so that what is sent next comes behind it."""
        pending, self.pending = self.pending, None
        if pending is not None and self.write is not None:
            self.write(pending if isinstance(pending, bytes) else b"".join(pending))

    def send_message(self, data: str | bytes) -> None:
        """Send one Engine.IO message; ignored if the session is closed."""
        if isinstance(data, str):
            self.send_text(data.encode())
            return
        if self.pending is not None:
            self.write_pending()
        if self.write is not None:
            self.write(binary_frame(data))
        else:
            self.queue("b" + b64encode(data).decode())

    def send_text(self, text: bytes) -> None:
        """Send a text message, given in UTF-8; ignored if the session is closed."""
        if self.pending is not None:
            self.write_pending()
        if self.write is not None:
            self.write(text_frame(b"4" + text))
        else:
            self.queue("4" + text.decode())

    def send_after(self, missed: list[Frame], packet: str) -> None:
        """Send a text packet behind events with their offsets, all in one write."""
        if self.pending is not None:
            self.write_pending()
        if self.write is not None:
            frames = [frame.websocket(with_offset=True) for frame in missed]
            self.write(b"".join([*frames, text_frame(b"4" + packet.encode())]))
            return
        for frame in missed:
            for one in frame.polling(with_offset=True):
                self.queue(one)
        self.queue("4" + packet)

    def send_control(self, packet_type: str) -> None:
        """Send an Engine.IO packet without data, such as a ping."""
        if self.pending is not None:
            self.write_pending()
        if self.write is not None:
            self.write(text_frame(packet_type.encode()))
        else:
            self.queue(packet_type)

    def queue(self, packet: str) -> None:
        """Queue a packet for the next poll. A session for which too much is queued is aborted."""
        if self.closed or self.websocket is not None:
            return
        if self.outbox is None:
            self.outbox = [packet]
        else:
            self.outbox.append(packet)
        self.outbox_bytes += len(packet)
        if self.outbox_bytes > self.engine.limits.max_write_buffer_bytes:
            self.engine.slow.note(self, len(packet))
        self.wake_poll()

    def wake_poll(self) -> None:
        """Have the poll that waits respond."""
        if self.poll is not None and not self.poll.done():
            self.poll.set_result(None)

    def resume_reading(self) -> None:
        """Accept more from the client: most of what it has sent is handled."""
        if self.websocket is not None:
            self.websocket.resume_reading()
        if self.post is not None and not self.post.done():
            self.post.set_result(None)

    def pop_outbox(self, max_bytes: int | None = None) -> list[str]:
        """Remove and return queued packets: all, or up to `max_bytes`, but one at least."""
        packets = self.outbox or []
        count = len(packets)
        if max_bytes is not None and self.outbox_bytes > max_bytes:
            sizes = accumulate(map(len, packets))
            count = max(1, sum(1 for _ in takewhile(lambda size: size <= max_bytes, sizes)))
        taken, self.outbox = packets[:count], packets[count:] or None
        self.outbox_bytes -= sum(map(len, taken))
        if self.outbox_bytes <= self.engine.limits.max_write_buffer_bytes:
            self.engine.slow.release(self)
        return taken

    def put_back(self, packet: str) -> None:
        """Queue a packet again, before all others."""
        self.outbox = [packet, *(self.outbox or [])]
        self.outbox_bytes += len(packet)

    async def send(self, packet: eio.Packet) -> None:
        """Send a packet of python-engineio."""
        if packet.packet_type == eio.MESSAGE:
            self.send_message(packet.data)
        else:
            self.send_control(str(packet.packet_type))

    async def close(
        self, wait: bool = True, abort: bool = False, reason: str | None = None
    ) -> None:
        """Close on behalf of python-engineio, whose interface this is."""
        self.engine.close(self, reason or _SERVER_DISCONNECT)
