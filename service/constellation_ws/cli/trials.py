"""What `check` lets Redis do to find out whether a gateway may: each by its command's name.

Keys are ones of our own that are gone at the end.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from hashlib import sha1
from typing import Any

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from constellation_ws.redis_io.names import Names

Call = Callable[[], object]
_TRIAL_SECONDS = 5


def cluster(redis: Any, names: Names) -> Mapping[str, Call]:
    """What is asked of a Cluster to find our keys, and to follow them."""
    return {
        "CLUSTER SLOTS": lambda: redis.execute_command("CLUSTER", "SLOTS"),
        "CLUSTER NODES": lambda: redis.execute_command("CLUSTER", "NODES"),
        "EXISTS": lambda: redis.exists(names.log),
        "ASKING": lambda: redis.execute_command("ASKING"),
    }


def meeting(redis: Redis, names: Names) -> Mapping[str, Call]:
    """What pods do to agree on one node to subscribe on."""
    key = f"{names.meeting}:{trial_name()}"
    return {
        "SET": lambda: redis.set(key, "", ex=_TRIAL_SECONDS),
        "GET": lambda: redis.get(key),
    }


def subscriptions(redis: Redis, shared: Iterable[str], names: Names) -> Mapping[str, Call]:
    own = {make("*"): make(trial_name()) for make in (names.heartbeat, names.reply)}
    named = {**{channel: channel for channel in shared}, **own}
    return {name: partial(_subscribe, redis, channel) for name, channel in named.items()}


def pattern_subscriptions(redis: Redis, patterns: Iterable[str]) -> Mapping[str, Call]:
    """Subscribe to what Socket.IO emitters publish: an ACL has to name each pattern as it is."""
    return {f"PSUBSCRIBE {one}": partial(_subscribe_by_pattern, redis, one) for one in patterns}


def own_publications(redis: Redis, names: Names) -> Mapping[str, Call]:
    return {
        make("*"): partial(redis.publish, make(trial_name()), b"")
        for make in (names.heartbeat, names.reply)
    }


def trial_name() -> str:
    return f"check-{secrets.token_hex(6)}"


def _subscribe(redis: Any, channel: str) -> None:
    with redis.pubsub() as subscription:
        subscription.subscribe(channel)
        subscription.get_message(timeout=_TRIAL_SECONDS)


def _subscribe_by_pattern(redis: Any, pattern: str) -> None:
    with redis.pubsub() as subscription:
        subscription.psubscribe(pattern)
        subscription.get_message(timeout=_TRIAL_SECONDS)


def _unsubscribe(redis: Any, command: str) -> None:
    with redis.pubsub() as subscription:
        subscription.execute_command(command)
        subscription.parse_response(block=False, timeout=_TRIAL_SECONDS)


def presence(redis: Redis, names: Names) -> Mapping[str, Call]:
    """What presence does, on a key that is empty and gone at the end."""
    key = names.users(trial_name())
    return {
        "TIME": redis.time,
        "ZADD": lambda: redis.zadd(key, {"check": 0}),
        "EXPIRE": lambda: redis.expire(key, _TRIAL_SECONDS),
        "ZSCORE": lambda: redis.zscore(key, "check"),
        "ZCARD": lambda: redis.zcard(key),
        "ZRANGEBYLEX": lambda: redis.zrangebylex(key, "-", "+"),
        "ZRANGEBYSCORE": lambda: redis.zrangebyscore(names.pods, "-inf", "+inf", 0, 1),
        "ZREMRANGEBYSCORE": lambda: redis.zremrangebyscore(key, 1, 1),
        "ZREM": lambda: redis.zrem(key, "check"),
    }


def presence_events(redis: Redis, names: Names) -> Mapping[str, Call]:
    """What it takes to announce who is online, on keys of our own that are gone at the end."""
    name = trial_name()
    stream, state = f"{names.presence_events}:{name}", f"{names.presence_state}:{name}"
    entry: Any = {"data": "{}"}
    return {
        f"XADD {names.presence_events}": lambda: _append_nothing(redis, names.presence_events),
        "HSET": lambda: redis.hset(state, "looked", "0"),
        "HGET": lambda: redis.hget(state, "looked"),
        "HMGET": lambda: redis.hmget(state, ["looked"]),
        "HGETALL": lambda: redis.hgetall(state),
        "HSCAN": lambda: redis.hscan(state),
        "HDEL": lambda: redis.hdel(state, "looked"),  # its last field: the key is gone
        "XADD": lambda: redis.xadd(stream, entry),
        "EXPIRE": lambda: redis.expire(stream, _TRIAL_SECONDS),
        "XRANGE": lambda: redis.xrange(stream, count=1),
        **_scripts(redis, "return redis.call('EXPIRE', KEYS[1], 1)", stream),
    }


def peers(redis: Redis, names: Names) -> Mapping[str, Call]:
    """What pods do to share a key; they register as presence does."""
    key = f"{names.peers}:{trial_name()}"
    return {
        "SET": lambda: redis.set(key, "", nx=True, px=1),  # gone when it is asked for
        "GET": lambda: redis.get(key),
    }


def log(redis: Redis, names: Names) -> Mapping[str, Call]:
    """What the log and its recorder's lease do, on keys of our own that are gone at the end."""
    key, state = (f"{names.log_slot}:{trial_name()}" for _ in range(2))
    entry: Any = {"channel": "check", "data": "{}"}
    return {
        f"XADD {names.log}": lambda: _append_nothing(redis, names.log),
        "HSET": lambda: redis.hset(state, "holder", "check"),
        "HGET": lambda: redis.hget(state, "holder"),
        "HMGET": lambda: redis.hmget(state, ["holder"]),
        "XADD": lambda: redis.xadd(key, entry),
        "EXPIRE": lambda: redis.expire(key, _TRIAL_SECONDS),  # where it cannot be deleted below
        "XREAD": lambda: redis.xread({key: "0"}, count=1),
        "XRANGE": lambda: redis.xrange(key, count=1),
        "XREVRANGE": lambda: redis.xrevrange(key, count=1),
        "XINFO STREAM": lambda: redis.xinfo_stream(key),
        "INFO": lambda: redis.info("server"),
        "XTRIM": lambda: redis.xtrim(key, maxlen=1),
        "TIME": redis.time,
        "UNSUBSCRIBE": partial(_unsubscribe, redis, "UNSUBSCRIBE"),
        "PUNSUBSCRIBE": partial(_unsubscribe, redis, "PUNSUBSCRIBE"),
        **_scripts(redis, "return redis.call('DEL', KEYS[1])", key),
        "DEL": partial(_run_script, redis, "return redis.call('DEL', KEYS[1])", state),
    }


def direct(redis: Redis, names: Names) -> Mapping[str, Call]:
    """What a gateway without a log does with entries that producers write to it all the same."""
    key = f"{names.slot}:{trial_name()}"
    return {
        f"XREVRANGE {names.log}": lambda: redis.xrevrange(names.log, count=1),
        "XREAD": lambda: redis.xread({key: "0"}, count=1),
        "XTRIM": partial(
            _run_script, redis, "return redis.call('XTRIM', KEYS[1], 'MINID', 1)", key
        ),
        "HMGET": partial(_run_script, redis, "return redis.call('HMGET', KEYS[1], 'holder')", key),
        "TIME": redis.time,
    }


def sessions(redis: Redis, names: Names) -> Mapping[str, Call]:
    """What sessions do, all of it in scripts as there."""
    key = names.session(trial_name())
    calls = {
        "HSET": "'HSET', KEYS[1], 'owner', 'check'",
        "PEXPIRE": f"'PEXPIRE', KEYS[1], {_TRIAL_SECONDS * 1_000}",
        "HGET": "'HGET', KEYS[1], 'owner'",
        "HMGET": "'HMGET', KEYS[1], 'owner'",
        "HGETALL": "'HGETALL', KEYS[1]",
        "HDEL": "'HDEL', KEYS[1], 'nothing'",
        "DEL": "'DEL', KEYS[1]",
    }
    return {
        name: partial(_run_script, redis, f"return redis.call({call})", key)
        for name, call in calls.items()
    }


def _scripts(redis: Any, source: str, key: str) -> Mapping[str, Call]:
    """The three steps by which a client brings a script to Redis."""
    digest = sha1(source.encode(), usedforsecurity=False).hexdigest()
    return {
        "SCRIPT LOAD": lambda: redis.script_load(source),
        "SCRIPT EXISTS": lambda: redis.script_exists(digest),
        "EVALSHA": lambda: redis.evalsha(digest, 1, key),
    }


def _run_script(redis: Any, source: str, key: str) -> None:
    redis.register_script(source)(keys=[key])


def is_refused_in_transaction(redis: Any, channel: str) -> bool:
    with redis.client() as connection:
        connection.execute_command("MULTI")
        try:
            connection.execute_command("PUBLISH", channel, b"")
        except NoPermissionError:
            return True
        finally:
            connection.execute_command("DISCARD")
        return False


def _append_nothing(redis: Any, stream: str) -> None:
    """Let Redis judge an append to a stream itself that it cannot execute: the ID is none."""
    try:
        redis.execute_command("XADD", stream, "no-id", "channel", "check")
    except NoPermissionError:
        raise
    except ResponseError:
        return
