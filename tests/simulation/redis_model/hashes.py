"""Commands on hashes."""

from __future__ import annotations

from tests.simulation.redis_model.keyspace import Keyspace
from tests.simulation.redis_model.replies import Refusal, Reply


def hset(data: Keyspace, words: list[bytes]) -> Reply:
    if len(words) % 2:
        raise Refusal("ERR wrong number of arguments for 'hset' command")
    fields = data.open(words[1], dict)
    before = len(fields)
    fields.update(zip(words[2::2], words[3::2], strict=True))
    return len(fields) - before


def hget(data: Keyspace, words: list[bytes]) -> Reply:
    return (data.find(words[1], dict) or {}).get(words[2])


def hmget(data: Keyspace, words: list[bytes]) -> Reply:
    fields = data.find(words[1], dict) or {}
    return [fields.get(name) for name in words[2:]]


def hgetall(data: Keyspace, words: list[bytes]) -> Reply:
    return dict(data.find(words[1], dict) or {})


def hscan(data: Keyspace, words: list[bytes]) -> Reply:
    """Give all at once, as Redis does for a hash that is not large."""
    fields = data.find(words[1], dict) or {}
    return [b"0", [word for pair in fields.items() for word in pair]]


def hdel(data: Keyspace, words: list[bytes]) -> Reply:
    fields = data.find(words[1], dict)
    if fields is None:
        return 0
    gone = sum(fields.pop(name, None) is not None for name in words[2:])
    data.drop_if_empty(words[1], fields)
    return gone
