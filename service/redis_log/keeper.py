"""The recorder's keeping of the log: who may append, what is in it already, and what is let go."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from service.redis_log.layout import KEY, LEASE_KEY, PAGE, SENIOR_KEY, TRIMMED_KEY

_SENIORITY_MILLISECONDS = 1_500
"""How long a candidate for the lease is waited for; it shows itself every half a second."""
_TAIL_MARGIN_SECONDS = 4.0
"""How much later than another pod this one may have heard what it remembers."""

_LEASE = """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
local time = redis.call('TIME')
local since = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[3]
local name, their_since = string.match(redis.call('GET', KEYS[2]) or '', '^(.*) (%d+)$')
if name and name ~= ARGV[4] and tonumber(their_since) <= since then return 0 end
redis.call('SET', KEYS[2], string.format('%s %.0f', ARGV[4], since), 'PX', ARGV[5])
if holder ~= false then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
return 1
"""
_TRIM = """
local gone = redis.call('XREVRANGE', KEYS[1], '(' .. ARGV[1], '-', 'COUNT', 1)[1]
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1])
local mark = gone and gone[1]
if redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[2]) > 0 then
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][1]
  local ms, seq = string.match(first, '^(%d+)-(%d+)$')
  -- All before the first that is left; sequence numbers are larger than Lua's are exact.
  mark = string.format('%.0f-18446744073709551615', ms - 1)
  if seq ~= '0' then mark = string.format('%s-%.0f', ms, seq - 1) end
end
if mark then redis.call('SET', KEYS[2], mark) end
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class Keeper:
    """Asks Redis for what only one pod does, the recorder."""

    def __init__(self, redis: Redis) -> None:
        """`redis` may try again: each of these may be done twice."""
        self._redis = redis
        self._lease: Any = redis.register_script(_LEASE)
        self._release: Any = redis.register_script(_RELEASE)
        self._trim: Any = redis.register_script(_TRIM)

    async def recorded_positions(self, age_seconds: float) -> set[bytes]:
        """Give the recorder's positions in the log as far back as this age. Raises FAULTS."""
        oldest = max(0, await self._now_ms() - int((age_seconds + _TAIL_MARGIN_SECONDS) * 1000))
        start, positions = b"%d" % oldest, set[bytes]()
        while True:
            page: Any = await self._redis.xrange(KEY, start, b"+", count=PAGE)
            positions.update(fields[b"at"] for _, fields in page if b"at" in fields)
            if len(page) < PAGE:
                return positions
            start = b"(" + page[-1][0]

    async def take_lease(
        self, token: str, milliseconds: int, candidate: str, listening_seconds: float
    ) -> bool:
        """Become or stay the recorder; False while another pod is, or should be. Raises FAULTS.

        The candidate that has listened longest goes first: after a restart of Redis it has heard
        what the others have missed.
        """
        listening = int(listening_seconds * 1000)
        words = [token, milliseconds, listening, candidate, _SENIORITY_MILLISECONDS]
        return bool(await self._lease(keys=[LEASE_KEY, SENIOR_KEY], args=words))

    async def release_lease(self, token: str) -> None:
        """Stop being the recorder. Raises FAULTS."""
        await self._release(keys=[LEASE_KEY], args=[token])

    async def trim(self, window_seconds: float, max_entries: int) -> None:
        """Let go what is older than the window or too much, and leave a mark. Raises FAULTS."""
        oldest = max(0, await self._now_ms() - int(window_seconds * 1000))
        await self._trim(keys=[KEY, TRIMMED_KEY], args=[f"{oldest}-0", max_entries])

    async def _now_ms(self) -> int:
        seconds, microseconds = await self._redis.time()
        return int(seconds) * 1000 + int(microseconds) // 1000
