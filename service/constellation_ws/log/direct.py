"""What is written to the log directly, for a deployment that keeps none (`live`).

Producers that XADD, and pods of before a switch from `durable`, write there and were told that it
is accepted. It is delivered like what is published. What a recorder has appended has been published
as well, so it is passed over.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import hiredis
import structlog
from redis.asyncio import Redis

from constellation_ws.log.layout import PAGE, read_entries, tail_pairs
from constellation_ws.log.scripts import TRIM_UNRECORDED
from constellation_ws.redis_io.link import FAULTS, Link, backoff_seconds, open_link
from constellation_ws.redis_io.names import Names

logger = structlog.get_logger(__name__)

_BLOCK_MILLISECONDS = 1_000
_SILENCE_SECONDS = 5.0
_TRIM_SECONDS = 10.0
_REFUSED_SECONDS = 60.0
"""How long to wait where Redis does not let this user read the log: nobody may write to it either,
most likely."""

Published = tuple[bytes, bytes]


class DirectEntries:
    """Follows the log. `run` must run in one task for as long as the process lives."""

    def __init__(self, redis: Redis, names: Names, window_seconds: float) -> None:
        """Entries are removed once they are older than the window, unless a recorder does that."""
        self._redis = redis
        self._names = names
        self._window_seconds = window_seconds
        self._trim: Any = redis.register_script(TRIM_UNRECORDED)
        self._trimmed_at = 0.0
        self._after: bytes | None = None
        self._take: Callable[[list[Published]], None] | None = None
        self._link: Link | None = None
        self._refused = ""
        self._heard_at = 0.0

    async def run(self, take: Callable[[list[Published]], None]) -> None:
        """Hand every batch to `take`, for ever."""
        self._take = take
        attempt = 0
        while True:
            try:
                await self._begin()
                attempt = 0
                await self._follow()
            except FAULTS as error:
                logger.debug("the log cannot be followed, trying again", error=str(error))
            if self._refused:
                logger.warning(
                    "entries written directly to the log are not delivered", reason=self._refused
                )
                self._refused = ""
                await asyncio.sleep(_REFUSED_SECONDS)
            attempt += 1
            await asyncio.sleep(backoff_seconds(attempt, random.random()))

    async def _begin(self) -> None:
        """Begin at the end of the log, the first time. Raises what FAULTS names."""
        if self._after is None:
            last: Any = await self._redis.xrevrange(self._names.log, count=1)
            self._after = last[0][0] if last else b"0-0"

    async def _follow(self) -> None:
        """Read until the connection is lost, and let the old go now and then."""
        async with open_link(self._redis, self._on_replies, self._names.log) as self._link:
            self._heard_at = time.monotonic()
            self._ask()
            while True:
                try:
                    async with asyncio.timeout(_SILENCE_SECONDS):
                        await self._link.lost()
                except TimeoutError:
                    if time.monotonic() - self._heard_at > _SILENCE_SECONDS:
                        raise ConnectionError("no answer to XREAD") from None
                    await self._trim_now()

    async def _trim_now(self) -> None:
        now = time.monotonic()
        if now - self._trimmed_at >= _TRIM_SECONDS:
            self._trimmed_at = now
            keys = [self._names.log, self._names.state]
            await self._trim(keys=keys, args=[int(self._window_seconds * 1000)])

    def _ask(self) -> None:
        assert self._link is not None, "asked while the link is open"
        assert self._after is not None, "set before"
        self._link.send(
            "XREAD", "COUNT", PAGE, "BLOCK", _BLOCK_MILLISECONDS, "STREAMS", self._names.log,
            self._after,
        )  # fmt: skip

    def _on_replies(self, parser: hiredis.Reader) -> None:
        self._heard_at = time.monotonic()
        while (reply := parser.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                if str(reply).startswith("NOPERM"):  # else it may be elsewhere by now
                    self._refused = str(reply)
                raise ConnectionError(str(reply))
            pairs = tail_pairs(reply)
            if pairs:
                self._after = pairs[-1][0]
            self._ask()
            direct = [pair for pair in pairs if b"at" not in pair[1][::2]]
            if direct:
                assert self._take is not None, "runs"
                self._take([(channel, data) for _, channel, data in read_entries(direct)])
