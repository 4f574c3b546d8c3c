"""The log, followed while a run lasts: what the verdict takes for the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.redis_names import DEFAULT
from tests.chaos.publishing import Books
from tests.chaos.verdict import Sent

Entry = tuple[int, int]
"""When it was logged, in milliseconds, and its number."""


@asynccontextmanager
async def log_reader(redis_url: str) -> AsyncIterator[list[Entry]]:
    """Follow the log into a list that outlives its trimming."""
    entries: list[Entry] = []
    reading = asyncio.get_running_loop().create_task(_read_log(redis_url, entries))
    try:
        yield entries
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def _read_log(redis_url: str, entries: list[Entry]) -> None:
    last = b"0-0"
    async with Redis.from_url(redis_url) as redis:
        while True:
            try:
                found = await redis.xread({DEFAULT.log: last}, count=1000, block=500)
            except (RedisError, OSError):
                await asyncio.sleep(0.1)
                continue
            for log_id, fields in _flat(found):
                last = log_id
                number = number_in(fields[b"data"])
                if number:
                    entries.append((int(log_id.partition(b"-")[0]), number))


def _flat(found: object) -> list[tuple[bytes, dict[bytes, bytes]]]:
    if not found:
        return []
    if isinstance(found, dict):
        (pages,) = found.values()
        return [entry for page in pages for entry in page]
    assert isinstance(found, list)
    return list(found[0][1])


def number_in(data: bytes) -> int:
    """Find an event's number, in its payload or inside a command."""
    _, _, rest = data.rpartition(b'"timestamp":')
    digits = rest.strip().split(b",")[0].split(b"}")[0]
    return int(digits) if digits.strip().isdigit() else 0


def sent_of(log: Sequence[Entry], books: Books) -> list[Sent]:
    """Give what the log holds of these publishers, and whom each event is for."""
    audience = books.audience
    return [
        Sent(number, logged_ms, audience[number].users, audience[number].rooms)
        for logged_ms, number in log
        if number in audience
    ]


def is_recorded(log: Sequence[Entry], books: Books) -> bool:
    """Whether the log ends with what was accepted last, whatever was lost before."""
    logged = {number for _, number in log}
    return all(numbers[-1] in logged for numbers in books.accepted.values() if numbers)
