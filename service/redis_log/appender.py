"""The recorder's way into the log: appends that only the holder of the lease can make.

An append answers with what the log holds since: its own entries, and those of others between them.
The pod that records delivers from these answers, and need not be woken a second time by its XREAD.
Nearly always there is nothing of others, and the IDs alone come back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from service.history import Logged, LogId, format_id
from service.recording import Heard
from service.redis_link import Link
from service.redis_log.layout import KEY, LEASE_KEY, PAGE, read_entries

APPEND = f"""
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local ids = {{}}
for i = 3, #ARGV, 3 do
  ids[#ids + 1] = redis.call(
    'XADD', KEYS[1], '*', 'channel', ARGV[i], 'data', ARGV[i + 1], 'at', ARGV[i + 2])
end
if (last and last[1] or '0-0') == ARGV[2] then return ids end
return redis.call('XRANGE', KEYS[1], '(' .. ARGV[2], '+', 'COUNT', {PAGE})
"""
_LEASE_IS_LOST = 0


class LostLease(ConnectionError):
    """Another pod is the recorder now; what was to be appended was not."""


class Appender:
    """The recorder's own connection: appends are sent without waiting for one another.

    Redis carries out a connection's commands in order, so the first that fails is followed only by
    such that fail too.
    """

    def __init__(
        self,
        script: str,
        token: str,
        delivered: Callable[[], LogId],
        on_logged: Callable[[list[Logged]], None],
    ) -> None:
        """`on_logged` is told what the log holds since `delivered`, as it was at the append."""
        self._words = ("EVALSHA", script, 2, KEY, LEASE_KEY, token)
        self._delivered = delivered
        self._on_logged = on_logged
        self._link: Link | None = None
        self._sent: deque[Sequence[Heard]] = deque()
        self.on_answer: Callable[[], None] = lambda: None
        """Told when some were confirmed."""

    @property
    def unanswered(self) -> int:
        """How many appends were sent and not confirmed."""
        return len(self._sent)

    def attach(self, link: Link) -> None:
        """Send over this connection from now on."""
        self._link = link

    def append(self, heard: Sequence[Heard]) -> None:
        """Send some of the stream to the log."""
        assert self._link is not None, "attached when it was opened"
        words: list[str | bytes | int] = [*self._words, format_id(self._delivered())]
        for one in heard:
            words += (one.channel, one.payload, one.position)
        self._link.send(*words)
        self._sent.append(heard)

    def hear(self, parser: hiredis.Reader) -> None:
        """Take Redis's answers. Raises LostLease, or ConnectionError where Redis objects."""
        while (reply := parser.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise ConnectionError(f"Redis refused to append to the log: {reply}")
            if reply == _LEASE_IS_LOST:
                raise LostLease
            self._on_logged(_logged(reply, self._sent.popleft()))
        self.on_answer()

    async def lost(self) -> None:
        """Wait until appending has failed. Raises LostLease, or what FAULTS names."""
        assert self._link is not None, "attached when it was opened"
        await self._link.lost()


def _logged(reply: list[Any], sent: Sequence[Heard]) -> list[Logged]:
    """Put the IDs to what was sent, where it is all that the log holds since."""
    if reply and isinstance(reply[0], bytes):
        pairs = zip(reply, sent, strict=True)
        return [(log_id, one.channel, one.payload) for log_id, one in pairs]
    return read_entries(reply)
