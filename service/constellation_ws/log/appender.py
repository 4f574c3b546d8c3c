"""The recorder's connection: appends, renewals of its lease, ticks and trimming, in order.

All of it uses one connection, so a recorder that cannot append does not keep its lease. The reply
to an append has the log's entries since: its own, and those of others between them. The recording
pod delivers from these replies, so its XREAD does not have to wake it a second time. Nearly always
there are no entries of others, and the reply has only IDs.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import hiredis
from redis.asyncio import Redis

from constellation_ws.log.append_scripts import (
    APPEND,
    APPEND_PACKED,
    DAMAGED,
    LOST_LEASE,
    MOST_ENTRIES,
    NOT_PACKED,
    TRIM,
)
from constellation_ws.log.comparison import Comparison
from constellation_ws.log.ids import LogId, format_id
from constellation_ws.log.layout import Logged
from constellation_ws.log.packing import ids_up_to, pack
from constellation_ws.log.pubsub_positions import Received
from constellation_ws.redis_io.link import Link, open_link
from constellation_ws.redis_io.names import Names
from constellation_ws.redis_io.script_calls import digest_of

_LEAST_PACKED = 2
"""Messages. One alone costs as much as a plain entry, which people can read."""


class LostLease(ConnectionError):
    """Another pod is the recorder now; nothing was appended."""


class Unanswered(ConnectionError):
    """Redis has not answered an append in time: it may or may not have been executed."""


class Refused(ConnectionError):
    """Redis refused to append; `str()` is its error."""


class LogDamaged(ConnectionError):
    """Entries were removed by something other than the recorder; `str()` is the reason."""


class AnswerReceiver(Protocol):
    """The pod's view of the log, as far as the recorder needs it."""

    delivered: LogId
    comparison: Comparison

    def deliver_appended(self, entries: list[Logged]) -> None:
        """Deliver what this pod has appended, unless it has read it already."""

    def deliver_reply(self, pairs: list[Any]) -> None:
        """Deliver the entries in a reply to the recorder, unless this pod has read them already."""

    def note_alive(self, asked_at: float) -> None:
        """Note that Redis has answered what was sent at this monotonic time."""


Answered = Callable[[Any], None]
OnRecorded = Callable[[int], None]
"""Called once Redis has confirmed an append, with the number of entries that it became."""


class Appender:
    """Sends commands without waiting for replies. Used by one recording.

    Redis executes a connection's commands in order, so after one that fails all others fail too.
    """

    def __init__(self, link: Link, names: Names, lease_id: str, receiver: AnswerReceiver) -> None:
        self._link = link
        self._names = names
        keys_and_lease = 2, names.log, names.state, lease_id
        self._append_words = ("EVALSHA", digest_of(APPEND), *keys_and_lease)
        self._pack_words = ("EVALSHA", digest_of(APPEND_PACKED), *keys_and_lease)
        self._trim_words = ("EVALSHA", digest_of(TRIM), *keys_and_lease)
        self._receiver = receiver
        self._sent: deque[tuple[float, Answered]] = deque()
        self._is_whole = False
        """Whether all entries were there since this recording began, as far as Redis can tell."""
        self.unanswered = 0
        """Appends that were sent and not confirmed."""
        self.may_pack = False
        """Whether what is appended together becomes one entry."""
        for script in (APPEND, APPEND_PACKED, TRIM):  # this node may not have them
            self._send(["SCRIPT", "LOAD", script], _ignore)

    @property
    def waiting_seconds(self) -> float:
        """How long the oldest command has been waiting for its reply."""
        return time.monotonic() - self._sent[0][0] if self._sent else 0.0

    def permit_packing(self, may_pack: bool) -> None:
        """Note whether all pods can read packed entries."""
        self.may_pack = may_pack

    def append(self, received: Sequence[Received], on_recorded: OnRecorded) -> None:
        """Append messages, as one entry if that is permitted."""
        self.unanswered += 1
        if self.may_pack and len(received) >= _LEAST_PACKED:
            self._append_packed(received, on_recorded)
        else:
            self._append_plain(received, on_recorded)

    def _append_plain(self, received: Sequence[Received], on_recorded: OnRecorded) -> None:
        words: list[str | bytes | int] = [*self._append_words, self._seen(), "", ""]
        for one in received:
            words += (one.channel, one.payload, one.position)

        def confirm(reply: Any) -> None:
            self.unanswered -= 1
            _check(reply)
            if reply and isinstance(reply[0], bytes):
                self._receiver.deliver_appended(_logged(reply, received))
            else:
                self._receiver.deliver_reply(reply)
            on_recorded(len(received))

        self._send(words, confirm)

    def _append_packed(self, received: Sequence[Received], on_recorded: OnRecorded) -> None:
        count = len(received)
        words = (*self._pack_words, self._seen(), count, pack(received), received[-1].position)

        def confirm(reply: Any) -> None:
            if reply == NOT_PACKED:  # a pod that cannot read packed entries has ended the epoch
                self.may_pack = False
                self._append_plain(received, on_recorded)
                return
            self.unanswered -= 1
            _check(reply)
            if isinstance(reply, bytes):
                self._receiver.deliver_appended(_logged(ids_up_to(reply, count), received))
            else:
                self._receiver.deliver_reply(reply)
            on_recorded(1)

        self._send(words, confirm)

    async def renewed(self, lease_seconds: float, recorded_position: bytes) -> bool:
        """Renew the lease; return whether this pod had delivered all that the log holds.

        Delivers what it had not. Raises what `disconnected` raises.
        """
        level: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def confirm(reply: Any) -> None:
            self._deliver(reply)
            if not level.done():
                level.set_result(not reply)

        self._renew(lease_seconds, recorded_position, confirm)
        return await self._link.answer(level)

    def renew(self, lease_seconds: float, recorded_position: bytes) -> None:
        """Renew the lease without waiting for the reply.

        All before `recorded_position` is recorded.
        """
        self._renew(lease_seconds, recorded_position, self._deliver)

    def _deliver(self, reply: Any) -> None:
        _check(reply)
        self._receiver.deliver_reply(reply)

    def _renew(self, lease_seconds: float, recorded_position: bytes, answered: Answered) -> None:
        until = time.monotonic() + lease_seconds

        def confirm(reply: Any) -> None:
            answered(reply)
            # Not before this pod has read all that others have recorded, and none was removed.
            if self._is_whole and len(reply) < MOST_ENTRIES:
                self._receiver.comparison.note_lease(until)

        milliseconds = int(lease_seconds * 1000)
        self._send([*self._append_words, self._seen(), milliseconds, recorded_position], confirm)

    def tick(self, name: bytes) -> None:
        """Publish a tick: messages that are published after it get positions from it."""
        self._send(["PUBLISH", self._names.ticks, name], _ignore)

    def trim(self, window_seconds: float, max_messages: int) -> None:
        """Remove what is older than the window or above the number."""
        window_ms = int(window_seconds * 1000)
        self._send([*self._trim_words, window_ms, max_messages], self._note_trimmed)

    def _note_trimmed(self, reply: Any) -> None:
        if reply == b"lost":
            raise LostLease("another pod records")
        if reply:
            raise LogDamaged(bytes(reply).decode())
        self._is_whole = True

    def receive(self, parser: hiredis.Reader) -> None:
        """Handle Redis' replies. Raises LostLease, LogDamaged or Refused."""
        while (reply := parser.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise Refused(str(reply))
            asked_at, answered = self._sent.popleft()
            self._receiver.note_alive(asked_at)
            answered(reply)

    async def disconnected(self) -> None:
        """Wait until appending has failed. Raises what `receive` raises, or what FAULTS names."""
        await self._link.disconnected()

    def _seen(self) -> bytes:
        return format_id(self._receiver.delivered)

    def _send(self, words: Sequence[str | bytes | int], answered: Answered) -> None:
        self._sent.append((time.monotonic(), answered))
        self._link.send(*words)


@asynccontextmanager
async def open_appender(
    redis: Redis, names: Names, lease_id: str, receiver: AnswerReceiver
) -> AsyncIterator[Appender]:
    """Hold a connection that appends while this lease is held. Raises what FAULTS names."""
    receive: Callable[[hiredis.Reader], None]
    # Nothing is received before something is sent.
    async with open_link(
        redis,
        lambda parser: receive(parser),  # noqa: PLW0108
        names.log,
        names.state,
    ) as link:
        appender = Appender(link, names, lease_id, receiver)
        receive = appender.receive
        yield appender


def _logged(ids: Sequence[bytes], received: Sequence[Received]) -> list[Logged]:
    """Return messages as they are in the log now."""
    pairs = zip(ids, received, strict=True)
    return [(log_id, one.channel, one.payload) for log_id, one in pairs]


def _check(reply: Any) -> None:
    if reply == LOST_LEASE:
        raise LostLease("another pod records")
    if reply == DAMAGED:
        raise LogDamaged("removed")


def _ignore(reply: Any) -> None:
    """Nothing depends on this reply."""
