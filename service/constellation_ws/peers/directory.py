"""The pods of the deployment, their addresses, and the keys that they share, registered in Redis.

Only Redis' clock is used, as for presence. While Redis is not reachable, what is known stays in
use: whether a pod still runs shows when it is connected to.
"""

from __future__ import annotations

import asyncio
import math
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis

from constellation_ws.peers.proof import KEY_BYTES
from constellation_ws.peers.wire import VERSION
from constellation_ws.redis_io.faults import FAULTS
from constellation_ws.redis_io.names import Names

logger = structlog.get_logger(__name__)

LIFETIME_SECONDS = 15
"""How long a pod stays registered after its last refresh."""
REFRESH_SECONDS = 1.0
"""How often a pod refreshes its entry and reads the others. It gets clients only once it has been
registered for longer than this."""
KEY_SECONDS = 3600
"""How long one key is used to sign. It is shared an hour before that, and accepted an hour
after."""
_READ_PAUSE_SECONDS = 0.1
"""Minimum time between two reads for unknown pods, as clients can make up instances."""
_REPLY_SECONDS = 2.0
_REFRESH = """
-- KEYS: the entries, and the keys of the period before, of this one, and of the next one.
local time = redis.call('TIME')
local period = math.floor(time[1] / ARGV[5])
if period ~= tonumber(ARGV[1]) then return {period, {}} end
if ARGV[2] ~= '' then
  redis.call('ZADD', KEYS[1], string.format('%d.%06d', time[1] + ARGV[3], time[2]), ARGV[2])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d.%06d', time[1], time[2]))
redis.call('SET', KEYS[3], ARGV[6], 'NX', 'EX', ARGV[4])
redis.call('SET', KEYS[4], ARGV[7], 'NX', 'EX', ARGV[4])
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf')
return {period, found, redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3]),
        redis.call('GET', KEYS[4])}
"""
"""One command a second in place of eight: every pod of a deployment sends it all the time."""
_PORT = re.compile(r"[0-9]{1,5}")
"""`str.isdigit` is also true for `²`, which `int` does not accept."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another pod."""

    instance: str
    host: str
    port: int


class Directory:
    """This pod's entry, and the entries of the others. `run` must run in one task."""

    def __init__(self, redis: Redis, names: Names, instance: str) -> None:
        self._redis = redis
        self._refresh: Any = redis.register_script(_REFRESH)
        self._names = names
        self._instance = instance
        self._own = ""
        self._peers: dict[str, Peer] = {}
        self._keys: dict[int, bytes] = {}
        self._period = 0
        self._look = asyncio.Lock()
        self._read_at = -math.inf
        """When the last read began, by the loop's clock."""
        self._is_away = False
        self._shown = 0
        """How often this pod has refreshed its entry."""

    @property
    def peers(self) -> list[Peer]:
        """The other pods."""
        return list(self._peers.values())

    @property
    def is_shown(self) -> bool:
        """Whether all other pods have had the time to read this pod's entry."""
        return self._shown > 1

    @property
    def keys(self) -> list[bytes]:
        """All keys that are accepted now. The first one is used to sign."""
        before, now, after = self._in_order()
        return [self._keys[one] for one in (now, before, after) if one in self._keys]

    def announce(self, host: str, port: int) -> None:
        """Set the address that is registered for this pod."""
        self._own = f"{self._instance} {VERSION} {host} {port}"

    async def find(self, instance: str) -> Peer | None:
        """Return the pod of an instance; None if there is none, or it is this one."""
        if instance == self._instance:
            return None
        if instance not in self._peers:
            await self.refresh()
        return self._peers.get(instance)

    async def refresh(self) -> None:
        """Read the entries now, unless that was done a moment ago or is being done."""
        asked_at = asyncio.get_running_loop().time()
        async with self._look:
            # Also skipped if another caller has read them while this one waited.
            if asked_at - self._read_at > _READ_PAUSE_SECONDS:
                await self._exchange()

    async def run(self, report_alive: Callable[[], None]) -> None:
        """Register this pod and read the others, without end; `report_alive` after each time."""
        while True:
            async with self._look:
                await self._exchange()
            report_alive()
            await asyncio.sleep(REFRESH_SECONDS)

    async def leave(self) -> None:
        """Remove this pod's entry. Tried once: it expires by itself."""
        own, self._own = self._own, ""
        if not own:
            return
        try:
            async with asyncio.timeout(_REPLY_SECONDS):
                await self._redis.zrem(self._names.peers, own)
        except (TimeoutError, *FAULTS) as error:
            logger.debug("the peer entry could not be removed", error=str(error))

    async def _exchange(self) -> None:
        self._read_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(_REPLY_SECONDS):
                await self._refresh_and_read()
        except (TimeoutError, *FAULTS) as error:
            if not self._is_away:
                logger.warning(
                    "other pods cannot be looked up; those that are known stay in use",
                    error=str(error) or "Redis does not answer",
                )
            self._is_away = True
        else:
            self._is_away = False

    async def _refresh_and_read(self) -> None:
        before, now, after = self._in_order()
        keys = [self._names.peers, *map(self._names.peer_key, (before, now, after))]
        fresh = [secrets.token_bytes(KEY_BYTES) for _ in (now, after)]
        words = [now, self._own, LIFETIME_SECONDS, 3 * KEY_SECONDS, KEY_SECONDS, *fresh]
        period, found, *kept = await self._refresh(keys=keys, args=words)
        if period != self._period:
            self._period = period
            await self._refresh_and_read()
            return
        self._peers = {peer.instance: peer for peer in map(read_entry, found) if peer is not None}
        self._peers.pop(self._instance, None)
        periods = zip((before, now, after), kept, strict=True)
        self._keys = {one: bytes(key) for one, key in periods if key is not None}
        self._shown += bool(self._own)

    def _in_order(self) -> tuple[int, int, int]:
        return self._period - 1, self._period, self._period + 1


def read_entry(entry: bytes) -> Peer | None:
    """Parse a pod's entry; None if it is invalid, or of another protocol version."""
    words = entry.decode(errors="replace").split(" ")
    if len(words) != 4 or words[1] != str(VERSION) or not _PORT.fullmatch(words[3]):
        return None
    port = int(words[3])
    return Peer(words[0], words[2], port) if 0 < port < 65_536 else None
