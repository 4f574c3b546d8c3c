"""Sessions that may be resumed, in Redis, so that any pod can resume what another one held.

One hash per session, `{constellation:events}:session:<pid>`. Every write names the owner, one
connection of one pod: who has lost a session to a newer connection can write it no more.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis

from service.redis_link import FAULTS, RedisUnavailable
from service.redis_names import DEFAULT, Names

log = structlog.get_logger(__name__)

_CHUNK = 500
_RETRY_SECONDS = 0.5
_IDLE_SECONDS = 5.0

_SAVE = """
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner ~= ARGV[1] and owner ~= false then return 0 end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'user', ARGV[3], 'record', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
_TAKE = """
local found = redis.call('HMGET', KEYS[1], 'user', 'owner', 'record')
if found[1] ~= ARGV[1] or found[3] == false then return false end
redis.call('HSET', KEYS[1], 'owner', ARGV[2])
return {found[2], found[3]}
"""
_DROP = "if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class SessionRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a session is made of."""

    user: str
    sid: str
    rooms: list[str]
    position: str
    """Log ID: all up to it has reached the client, or was before its time."""
    rooms_at: str
    """Log ID up to which the rooms follow what the log says of them."""
    is_exact: bool
    """Whether nothing after the position has reached it either."""
    joined: dict[str, str] = {}
    """Rooms that it has joined after the position, and the log ID after which it was in them."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A session that now belongs to a new connection."""

    record: SessionRecord
    former_owner: str


@dataclass(slots=True)
class _Write:
    """The latest that is to be written of one session, and who waits for it."""

    owner: str
    record: SessionRecord | None
    """None deletes."""
    lifetime_milliseconds: int
    done: asyncio.Future[None]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SessionRecord).decode


class SessionStore:
    """Reads and writes sessions; writes are gathered while one is under way.

    `run` must run in one task for as long as the process lives. While Redis is away the latest
    write of each session is kept and tried again.
    """

    def __init__(self, redis: Redis, names: Names = DEFAULT) -> None:
        self._redis = redis
        self._key = names.session
        self._save: Any = redis.register_script(_SAVE)
        self._take: Any = redis.register_script(_TAKE)
        self._drop: Any = redis.register_script(_DROP)
        self._writes: dict[str, _Write] = {}
        self._sending: dict[str, _Write] = {}
        self._has_writes = asyncio.Event()
        self.on_fenced: Callable[[str, str], None] = lambda sid, owner: None
        """Told the (sid, owner) of a connection whose session belongs to another one by now."""

    def save(
        self, pid: str, owner: str, record: SessionRecord, lifetime_seconds: float
    ) -> asyncio.Future[None]:
        """Write a session soon; the future is done when it is written.

        One that Redis has let go meanwhile is written anew: its connection is there.
        """
        return self._write(pid, owner, record, lifetime_seconds)

    def drop(self, pid: str, owner: str) -> asyncio.Future[None]:
        """Delete a session soon."""
        return self._write(pid, owner, None, 0)

    def _write(
        self, pid: str, owner: str, record: SessionRecord | None, lifetime: float
    ) -> asyncio.Future[None]:
        earlier = self._writes.get(pid)
        if earlier is not None and earlier.owner == owner:
            earlier.record, earlier.lifetime_milliseconds = record, int(lifetime * 1000)
            return earlier.done
        done = asyncio.get_running_loop().create_future()
        if earlier is not None:
            earlier.done.cancel()  # another connection of this pod owns the session now
        self._writes[pid] = _Write(owner, record, int(lifetime * 1000), done)
        self._has_writes.set()
        return done

    async def take(self, pid: str, user: str, owner: str) -> Taken | None:
        """Give a session to a new connection of its user; None where there is none such.

        Raises RedisUnavailable.
        """
        try:
            found: Any = await self._take(keys=[self._key(pid)], args=[user, owner])
        except FAULTS as error:
            raise RedisUnavailable("sessions cannot be read: Redis is away") from error
        if not found:
            return None
        return Taken(_decode(found[1]), bytes(found[0]).decode())

    async def run(self, tell: Callable[[], None]) -> None:
        """Write what is to be written, for ever; `tell` at least every few seconds."""
        while True:
            tell()
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._has_writes.wait()
            except TimeoutError:
                continue
            self._has_writes.clear()
            while self._writes:
                if not await self._flush():
                    await asyncio.sleep(_RETRY_SECONDS)
                tell()

    async def flush(self) -> None:
        """Wait until all that is to be written now is written."""
        waiting = [write.done for write in (*self._sending.values(), *self._writes.values())]
        if waiting:
            await asyncio.wait(waiting)

    async def _flush(self) -> bool:
        """Write a chunk; False where Redis did not take it, and it stays to be written."""
        pids = list(itertools.islice(self._writes, _CHUNK))
        chunk = self._sending = {pid: self._writes.pop(pid) for pid in pids}
        try:
            results = await self._send(chunk)
        except FAULTS as error:
            log.debug("sessions could not be written", error=str(error))
            self._keep(chunk)
            return False
        for write, result in zip(chunk.values(), results, strict=True):
            if result == 0 and write.record is not None:
                self.on_fenced(write.record.sid, write.owner)
            if not write.done.done():
                write.done.set_result(None)
        return True

    def _keep(self, chunk: dict[str, _Write]) -> None:
        """Put back what could not be written; what was asked for meanwhile is newer."""
        for pid, write in chunk.items():
            newer = self._writes.setdefault(pid, write)
            if newer is not write and not newer.done.done():
                newer.done.add_done_callback(functools.partial(_follow, write.done))

    async def _send(self, chunk: dict[str, _Write]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for pid, write in chunk.items():
                if write.record is None:
                    await self._drop(keys=[self._key(pid)], args=[write.owner], client=pipe)
                else:
                    words = [
                        write.owner,
                        write.lifetime_milliseconds,
                        write.record.user,
                        _encode(write.record),
                    ]
                    await self._save(keys=[self._key(pid)], args=words, client=pipe)
            return list(await pipe.execute())


def _follow(earlier: asyncio.Future[None], newer: asyncio.Future[None]) -> None:
    """Tell who waits for an earlier write when a newer one of the same session is done."""
    if not earlier.done():
        earlier.set_result(None)
