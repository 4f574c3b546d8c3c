"""Sessions in Redis, so that any pod can resume a session of another one.

Every write names the owner, one connection of one pod: a connection whose session belongs to a
newer one can no longer write it. Writes and reads are gathered, and use a connection of their own.
The form of a session in Redis: `record`. How a connection becomes its owner: `acquisition`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis

from constellation_ws.log.places import Place
from constellation_ws.log.positions import Ticket
from constellation_ws.log.session_mark import SessionMark
from constellation_ws.recovery import record as session_record
from constellation_ws.recovery.acquisition import Acquisitions
from constellation_ws.redis_io.names import DEFAULT, Names
from constellation_ws.redis_io.script_calls import Call, Script, ScriptCalls
from constellation_ws.runtime.spawning import Spawn

logger = structlog.get_logger(__name__)

_CHUNK = 250
"""Sessions that are written together, which is one write to the socket."""
_CHUNK_BYTES = 1 << 20
_REDIS_SECONDS = 5.0
"""How long Redis may take to answer before an exchange counts as failed."""
_RETRY_SECONDS = 0.5
_FENCED, _GONE = 0, 2

_SAVE = """
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner ~= ARGV[1] and owner ~= false then return 0 end
if owner == false and ARGV[3] == '0' then return 2 end
-- First, since a full Redis refuses a script only as long as it has written nothing.
redis.call('HSET', KEYS[1], 'owner', ARGV[1])
if ARGV[3] == '1' then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'user', ARGV[4], 'record', ARGV[5])
local last = 6 + tonumber(ARGV[6])
for i = 7, last, 1000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, i, math.min(i + 999, last)))
end
for i = last + 1, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
_MARK = """
local found = redis.call('HMGET', KEYS[1], 'epoch', ARGV[1])
if not found[1] or tonumber(found[2] or '0') < tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
"""KEYS: the log's state. ARGV: the field of the mark, the number that Redis must have, the new one.

Where Redis has a lower one the mark stays as it is, so that a look finds it: `log/session_mark`."""
_DROP = "if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then redis.call('DEL', KEYS[1]) end"


@dataclass(slots=True)
class _Write:
    """A session that is to be written, and who waits for that."""

    ticket: Ticket
    lifetime_milliseconds: int
    """0 deletes it."""
    done: asyncio.Future[None]


class SessionStore:
    """Reads and writes sessions. `run` must run in one task for as long as the process lives.

    While Redis is unavailable the latest state of each session is retained; there is at most one
    pending write per session.
    """

    def __init__(
        self, redis: Redis, spawn: Spawn, mark: SessionMark, names: Names = DEFAULT
    ) -> None:
        self._mark = mark
        self._state = names.state
        self._key = names.session
        self._save, self._drop, self._write_mark = Script(_SAVE), Script(_DROP), Script(_MARK)
        self._writes: dict[str, _Write] = {}
        self._sending: list[_Write] = []
        self._has_work = asyncio.Event()
        self._acquisitions = Acquisitions(names, self._has_work)
        self.acquire = self._acquisitions.acquire
        scripts = (self._save, self._drop, self._write_mark, *self._acquisitions.scripts)
        self._calls = ScriptCalls(redis, spawn, scripts, _REDIS_SECONDS)
        self.is_failing = False
        """Whether the last write failed or was refused: waiting for another one is useless now."""

    def save(self, ticket: Ticket, lifetime_seconds: float) -> asyncio.Future[None]:
        """Write soon what of a session is not written yet; the future is done when it is.

        It is cancelled if another connection of this pod acquires the session meanwhile.
        """
        return self._write(ticket, max(1, int(lifetime_seconds * 1000)))

    def drop(self, ticket: Ticket) -> asyncio.Future[None]:
        """Delete a session soon."""
        return self._write(ticket, 0)

    def is_writing(self, ticket: Ticket) -> bool:
        """Return whether a write of a session is under way."""
        return any(write.ticket is ticket for write in self._sending)

    def withdraw(self, ticket: Ticket) -> bool:
        """Stop writing a session, for another pod does. False while a write of it is under way."""
        if self.is_writing(ticket):
            return False
        write = self._writes.get(ticket.pid)
        if write is not None and write.ticket is ticket:  # else a newer connection's
            del self._writes[ticket.pid]
            write.done.cancel()
        return True

    def discard(self, pid: str, owner: str) -> None:
        """Delete soon a session that was acquired and cannot be resumed."""
        nobody = Ticket(pid, owner, "", "", (), epoch="", begin=(0, 0), has_offsets=False)
        self.drop(nobody)

    def _write(self, ticket: Ticket, lifetime: int) -> asyncio.Future[None]:
        earlier = self._writes.get(ticket.pid)
        if earlier is not None and earlier.ticket is ticket:
            earlier.lifetime_milliseconds = lifetime
            return earlier.done
        if earlier is not None:
            earlier.done.cancel()
        done = asyncio.get_running_loop().create_future()
        self._writes[ticket.pid] = _Write(ticket, lifetime, done)
        self._has_work.set()
        return done

    async def run(
        self, delivered: Callable[[], Place], on_fenced: Callable[[str, str], None]
    ) -> None:
        """Read and write what is asked for, for ever.

        `delivered` returns the place up to which rooms follow the log; `on_fenced` is called with
        the (sid, owner) of a connection whose session now belongs to another one.
        """
        self._calls.connect()
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            while self._writes or self._acquisitions:
                await self._acquisitions.carry_out(self._calls)
                if self._writes and not await self._flush(delivered, on_fenced):
                    await self._pause()

    async def flush(self) -> None:
        """Wait until all that is to be written now is written."""
        waiting = [write.done for write in (*self._sending, *self._writes.values())]
        if waiting:
            await asyncio.wait(waiting)

    async def _pause(self) -> None:
        """Wait before the next attempt, unless a session is waited for: Redis may only be full."""
        try:
            async with asyncio.timeout(_RETRY_SECONDS):
                self._has_work.clear()
                while not self._acquisitions:
                    await self._has_work.wait()
                    self._has_work.clear()
        except TimeoutError:
            self._has_work.set()

    async def _flush(
        self, delivered: Callable[[], Place], on_fenced: Callable[[str, str], None]
    ) -> bool:
        """Write a chunk; False if Redis refused some of it, which is retained."""
        chunk = self._next_chunk(delivered())
        self._sending = [write for write, _ in chunk]
        results = await self._exchange(chunk)
        self._sending = []
        failed: Exception | None = None
        for (write, fields), result in zip(chunk, results, strict=True):
            if isinstance(result, Exception) or (fields is not None and result == _GONE):
                self._keep(write, fields)
                failed = result if isinstance(result, Exception) else failed
                continue
            if fields is not None and result == _FENCED:
                on_fenced(write.ticket.sid, write.ticket.owner)
            write.ticket.stored(fields is not None and result != _FENCED)
            if not write.done.done():
                write.done.set_result(None)
        if failed is not None and not self.is_failing:
            logger.warning("sessions cannot be written now, trying again", error=str(failed))
        self.is_failing = failed is not None
        return failed is None

    async def _exchange(
        self, chunk: list[tuple[_Write, session_record.Fields | None]]
    ) -> list[Any]:
        """Write sessions, and behind them the mark; give Redis' replies, or why there are none."""
        calls = [self._call(*one) for one in chunk]
        if not any(_is_news(fields) for _, fields in chunk):
            return await self._calls.carry_out(calls)
        mark, number = self._mark, self._mark.next()
        calls.append(self._write_mark.call(self._state, mark.field, mark.confirmed, number))
        *results, is_marked = await self._calls.carry_out(calls)
        if is_marked == 1 and not any(isinstance(one, Exception) for one in results):
            mark.confirm(number)
        return results

    def _next_chunk(self, delivered: Place) -> list[tuple[_Write, session_record.Fields | None]]:
        """Remove and return what is to be written next, bounded in number and bytes."""
        chunk: list[tuple[_Write, session_record.Fields | None]] = []
        size = 0
        for pid in list(itertools.islice(self._writes, _CHUNK)):
            write = self._writes.pop(pid)
            fields = None
            if write.lifetime_milliseconds:
                fields = session_record.write(write.ticket, delivered)
                size += fields.size
            chunk.append((write, fields))
            if size > _CHUNK_BYTES:
                break
        return chunk

    def _keep(self, write: _Write, fields: session_record.Fields | None) -> None:
        """Put back what was not written. Next time the whole session is written."""
        write.ticket.stored(False)
        newer = self._writes.setdefault(write.ticket.pid, write)
        if newer is write:
            return
        if newer.ticket is write.ticket and not write.done.done():
            newer.done.add_done_callback(lambda done: _follow(write.done, done))
        elif not write.done.done():
            write.done.cancel()  # another connection owns the session by now

    def _call(self, write: _Write, fields: session_record.Fields | None) -> Call:
        ticket = write.ticket
        key = self._key(ticket.pid)
        if fields is None:
            return self._drop.call(key, ticket.owner)
        return self._save.call(
            key,
            ticket.owner,
            write.lifetime_milliseconds,
            int(fields.is_full),
            ticket.user,
            fields.record,
            len(fields.rooms),
            *fields.rooms,
            *fields.gone,
            payload_bytes=fields.size,
        )


def _is_news(fields: session_record.Fields | None) -> bool:
    """Return whether a client would miss something, or get too much, if this were lost again.

    What a refresh brings only saves work when the session is resumed.
    """
    return fields is not None and bool(fields.is_full or fields.rooms or fields.gone)


def _follow(earlier: asyncio.Future[None], newer: asyncio.Future[None]) -> None:
    """Complete an earlier write when a newer one of the same session is done."""
    if earlier.done():
        return
    if newer.cancelled():
        earlier.cancel()
    else:
        earlier.set_result(None)
