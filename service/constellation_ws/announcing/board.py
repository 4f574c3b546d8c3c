"""Who is online now, for clients that watch: what Redis says, and what was delivered since.

A client gets its first answer and then changes. The changes come by another way than the answer, so
one that was delivered while the answer was on its way must be part of the answer: the client would
end with what was before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from constellation_ws.announcing.record import answering
from constellation_ws.messages.events import UserId
from constellation_ws.redis_io.names import Names

_ONLINE = "online"
_SNAPSHOT = """
local shares = redis.call('HMGET', KEYS[1], unpack(ARGV))
for i, one in ipairs(shares) do shares[i] = one and 1 or 0 end
return {redis.call('HMGET', KEYS[2], 'sequence')[1] or '0', shares}
"""
"""Keys: announced, state. Arguments: users. Answers the last announcement's sequence, and of each
user whether it was announced as online by then."""


class _Announced(msgspec.Struct, frozen=True):
    """An announcement, as far as it is needed here."""

    userId: UserId
    status: str
    sequence: int


_decode = msgspec.json.Decoder(_Announced).decode


class Board:
    """Answers who is online."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._snapshot: Any = redis.register_script(_SNAPSHOT)
        self._keys = [names.announced, names.presence_state]
        self._questions = 0
        """How many wait for Redis. Without one nothing is noted."""
        self._noted: dict[UserId, _Announced] = {}

    def note(self, announcement: bytes) -> None:
        """Note an announcement that is being delivered here; an older one changes nothing."""
        if not self._questions:
            return
        try:
            one = _decode(announcement)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return  # it reaches nobody either
        earlier = self._noted.get(one.userId)
        if earlier is None or earlier.sequence < one.sequence:
            self._noted[one.userId] = one

    async def online(self, users: Sequence[UserId]) -> list[UserId]:
        """Name those who are online, as of all that was delivered here when this returns.

        Raises RedisUnavailable.
        """
        self._questions += 1
        try:
            async with answering():
                sequence, flags = await self._snapshot(keys=self._keys, args=list(users))
            known = zip(users, flags, strict=True)
            return [user for user, flag in known if self._is_online(user, flag, int(sequence))]
        finally:
            self._questions -= 1
            if not self._questions:
                self._noted.clear()

    def _is_online(self, user: UserId, flag: int, sequence: int) -> bool:
        noted = self._noted.get(user)
        if noted is not None and noted.sequence > sequence:
            return noted.status == _ONLINE
        return bool(flag)
