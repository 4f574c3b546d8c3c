"""All commands by name, with what Redis checks before it executes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.redis_model import hashes, keys, sorted_sets, streams
from tests.simulation.redis_model.keyspace import Keyspace
from tests.simulation.redis_model.replies import Reply

Execute = Callable[[Keyspace, list[bytes]], Reply]


@dataclass(frozen=True, slots=True)
class Command:
    """One command."""

    execute: Execute
    least_words: int
    """With the command's name."""
    writes: bool = False
    needs_memory: bool = False
    """Whether a full Redis refuses it."""


def _grows(execute: Execute, least_words: int) -> Command:
    return Command(execute, least_words, writes=True, needs_memory=True)


def _writes(execute: Execute, least_words: int) -> Command:
    return Command(execute, least_words, writes=True)


COMMANDS: dict[bytes, Command] = {
    b"GET": Command(keys.get, 2),
    b"SET": _grows(keys.set_, 3),
    b"DEL": _writes(keys.delete, 2),
    b"EXISTS": Command(keys.exists, 2),
    b"EXPIRE": _writes(keys.expire, 3),
    b"PEXPIRE": _writes(keys.pexpire, 3),
    b"PTTL": Command(keys.pttl, 2),
    b"DBSIZE": Command(keys.dbsize, 1),
    b"FLUSHALL": _writes(keys.flushall, 1),
    b"TIME": Command(keys.time, 1),
    b"INFO": Command(keys.info, 1),
    b"PING": Command(keys.ping, 1),
    b"HSET": _grows(hashes.hset, 4),
    b"HGET": Command(hashes.hget, 3),
    b"HMGET": Command(hashes.hmget, 3),
    b"HGETALL": Command(hashes.hgetall, 2),
    b"HSCAN": Command(hashes.hscan, 3),
    b"HDEL": _writes(hashes.hdel, 3),
    b"ZADD": _grows(sorted_sets.zadd, 4),
    b"ZREM": _writes(sorted_sets.zrem, 3),
    b"ZSCORE": Command(sorted_sets.zscore, 3),
    b"ZCARD": Command(sorted_sets.zcard, 2),
    b"ZRANGEBYSCORE": Command(sorted_sets.zrangebyscore, 4),
    b"ZRANGEBYLEX": Command(sorted_sets.zrangebylex, 4),
    b"ZREMRANGEBYSCORE": _writes(sorted_sets.zremrangebyscore, 4),
    b"XADD": _grows(streams.xadd, 5),
    b"XLEN": Command(streams.xlen, 2),
    b"XRANGE": Command(streams.xrange, 4),
    b"XREVRANGE": Command(streams.xrevrange, 4),
    b"XREAD": Command(streams.xread, 4),
    b"XTRIM": _writes(streams.xtrim, 4),
    b"XDEL": _writes(streams.xdel, 3),
    b"XINFO": Command(streams.xinfo, 3),
}
