"""Commands on keys of any kind, on strings, and on the server as a whole."""

from __future__ import annotations

from tests.simulation.redis_model.keyspace import Keyspace, integer
from tests.simulation.redis_model.replies import OK, PONG, SYNTAX, Refusal, Reply


def get(data: Keyspace, words: list[bytes]) -> Reply:
    return data.find(words[1], bytes)


def set_(data: Keyspace, words: list[bytes]) -> Reply:
    key, value, options = words[1], words[2], iter(words[3:])
    milliseconds: int | None = None
    is_new_only = False
    for option in options:
        match option.upper():
            case b"NX":
                is_new_only = True
            case b"EX":
                milliseconds = integer(next(options)) * 1000
            case b"PX":
                milliseconds = integer(next(options))
            case _:
                raise Refusal(SYNTAX)
    if is_new_only and data.exists(key):
        return None
    data.delete(key)
    data.values[key] = value
    if milliseconds is not None:
        data.expires[key] = data.now_ms + milliseconds
    return OK


def delete(data: Keyspace, words: list[bytes]) -> Reply:
    return sum(data.exists(key) and data.delete(key) for key in words[1:])


def exists(data: Keyspace, words: list[bytes]) -> Reply:
    return sum(data.exists(key) for key in words[1:])


def expire(data: Keyspace, words: list[bytes]) -> Reply:
    return _expire(data, words[1], integer(words[2]) * 1000)


def pexpire(data: Keyspace, words: list[bytes]) -> Reply:
    return _expire(data, words[1], integer(words[2]))


def _expire(data: Keyspace, key: bytes, milliseconds: int) -> int:
    if not data.exists(key):
        return 0
    if milliseconds <= 0:
        data.delete(key)
    else:
        data.expires[key] = data.now_ms + milliseconds
    return 1


def pttl(data: Keyspace, words: list[bytes]) -> Reply:
    if not data.exists(words[1]):
        return -2
    until = data.expires.get(words[1])
    return -1 if until is None else until - data.now_ms


def dbsize(data: Keyspace, words: list[bytes]) -> Reply:
    return data.count()


def flushall(data: Keyspace, words: list[bytes]) -> Reply:
    data.clear()
    return OK


def time(data: Keyspace, words: list[bytes]) -> Reply:
    microseconds = int(data.clock() * 1_000_000)
    seconds, rest = divmod(microseconds, 1_000_000)
    return [b"%d" % seconds, b"%d" % rest]


def info(data: Keyspace, words: list[bytes]) -> Reply:
    return b"# Server\r\nrun_id:%b\r\n" % data.run_id.encode()


def ping(data: Keyspace, words: list[bytes]) -> Reply:
    return words[1] if len(words) > 1 else PONG
