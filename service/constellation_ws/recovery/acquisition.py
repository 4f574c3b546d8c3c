"""How a connection becomes the owner of a stored session; Redis is asked for many at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog

from constellation_ws.recovery import record as session_record
from constellation_ws.recovery.record import SessionRecord
from constellation_ws.redis_io.link import RedisUnavailable
from constellation_ws.redis_io.names import Names
from constellation_ws.redis_io.script_calls import Script, ScriptCalls

logger = structlog.get_logger(__name__)

_CHUNK = 250
_ACQUIRE_SECONDS = 20.0
"""How long a connection waits for its session, in a storm too. A Redis that does not answer is
noticed after one exchange."""

_ACQUIRE = """
local found = redis.call('HMGET', KEYS[1], 'user', 'owner')
if found[1] ~= ARGV[1] then return false end
redis.call('HSET', KEYS[1], 'owner', ARGV[2])
return {found[2], redis.call('HGETALL', KEYS[1])}
"""
_EPOCH = "return redis.call('HGET', KEYS[1], 'epoch')"


@dataclass(frozen=True, slots=True)
class Acquired:
    """A session that now belongs to a new connection."""

    record: SessionRecord | None
    """None where it cannot be read: another release has written it, say."""
    former_owner: str
    epoch: str
    """The log's epoch in Redis at that moment: this pod may not know yet that it has ended."""


@dataclass(slots=True)
class _Request:
    """A session that a new connection wants."""

    pid: str
    user: str
    owner: str
    answer: asyncio.Future[Any]


class Acquisitions:
    """The sessions that connections of this pod wait for."""

    def __init__(self, names: Names, has_work: asyncio.Event) -> None:
        """`has_work` is set when there is something to do: then `carry_out` is to be called."""
        self._key = names.session
        self._acquire = Script(_ACQUIRE)
        self._read_epoch = Script(_EPOCH)
        self.scripts = (self._acquire, self._read_epoch)
        self._epoch_call = self._read_epoch.call(names.state)
        self._has_work = has_work
        self._requests: list[_Request] = []

    def __len__(self) -> int:
        return len(self._requests)

    async def acquire(self, pid: str, user: str, owner: str) -> Acquired | None:
        """Make a connection the owner of its user's session; None if there is no such session.

        Raises RedisUnavailable.
        """
        request = _Request(pid, user, owner, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        self._has_work.set()
        try:
            async with asyncio.timeout(_ACQUIRE_SECONDS):
                found = await request.answer
        except TimeoutError as error:
            raise RedisUnavailable("sessions cannot be read: Redis does not answer") from error
        if not found:
            return None
        (former_owner, flat), epoch = found
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        try:
            record = session_record.read(fields)
        except session_record.Unreadable as error:
            logger.warning("a session cannot be read; its client gets a new one", error=str(error))
            return Acquired(None, bytes(former_owner or b"").decode(), epoch)
        return Acquired(record, bytes(former_owner).decode(), epoch)

    async def carry_out(self, calls: ScriptCalls) -> None:
        """Acquire a chunk of the sessions that are waited for."""
        chunk, self._requests = self._requests[:_CHUNK], self._requests[_CHUNK:]
        chunk = [one for one in chunk if not one.answer.done()]
        if not chunk:
            return
        acquire, key = self._acquire.call, self._key
        asked = [acquire(key(one.pid), one.user, one.owner) for one in chunk]
        *answers, epoch = await calls.carry_out([*asked, self._epoch_call])
        if isinstance(epoch, Exception):
            answers = [epoch] * len(chunk)
        for one, answer in zip(chunk, answers, strict=True):
            if one.answer.done():
                continue
            if isinstance(answer, Exception):
                unavailable = RedisUnavailable(f"sessions cannot be read: {answer}")
                one.answer.set_exception(unavailable)
            elif answer:
                one.answer.set_result((answer, bytes(epoch or b"").decode()))
            else:
                one.answer.set_result(None)
