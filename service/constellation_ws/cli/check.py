"""`check`: is what the gateway needs there? Questions to Redis, and their answers as findings.

The questions are put by doing: permissions that are only read from ACL rules say nothing about a
read-only replica or a full memory. Nothing that a gateway would deliver or count is sent.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from hashlib import sha1
from typing import Any

from redis import Redis
from redis.exceptions import AskError, NoPermissionError, RedisError, ResponseError

from constellation_ws.messages import commands
from constellation_ws.redis_io.faults import explain
from constellation_ws.redis_io.names import Names
from constellation_ws.runtime.open_files import Shares
from constellation_ws.settings.variables import UnknownVariable

_Call = Callable[[], object]
_TRIAL_SECONDS = 5


class Verdict(Enum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One question and its answer, fit for a line of a table."""

    subject: str
    verdict: Verdict
    detail: str


def inspect(
    redis: Redis, address: str, channels: Iterable[str], names: Names, *, keeps_log: bool
) -> Iterator[Finding]:
    """Find out whether Redis is there and lets a gateway do what it does.

    `address` is shown and must hold no secret.
    """
    started = time.perf_counter()
    try:
        redis.ping()
    except (RedisError, OSError) as error:
        yield Finding("redis", Verdict.FAILED, f"{address} cannot be used: {error}")
        return
    taken_ms = (time.perf_counter() - started) * 1_000
    yield Finding("redis", Verdict.OK, f"{address} answered in {taken_ms:.1f} ms")
    yield _identify(redis)
    if "+cluster://" in address:
        yield _permission("cluster", _cluster(redis, names))
        if keeps_log:
            yield _permission("meeting", _meeting(redis, names))
    shared = (*channels, names.commands, names.ticks)
    subscribed = (*shared, commands.EMITTER_CHANNEL)
    yield _permission("subscribe", _subscriptions(redis, subscribed, names))
    yield _permission("publish", _own_publications(redis, names))
    yield _may_publish(redis, shared)
    yield _permission("presence", _presence(redis, names))
    if keeps_log:
        yield _permission("log", _log(redis, names))
        yield _permission("sessions", _sessions(redis, names))
        yield _persistence(redis)
    else:
        yield _permission("log", _direct(redis, names))


def inspect_variables(unknown: Iterable[UnknownVariable]) -> Finding:
    """Tell which variables look like settings and are none."""
    typos = "; ".join(map(str, unknown))
    verdict = Verdict.WARNING if typos else Verdict.OK
    return Finding("settings", verdict, typos or "all variables are known")


def inspect_certificates(invalid: Iterable[str]) -> Finding:
    """Tell which certificates have expired, or are not valid yet; their files are readable."""
    faults = "; ".join(invalid)
    verdict = Verdict.FAILED if faults else Verdict.OK
    return Finding("certificates", verdict, faults or "none has expired")


def inspect_files(files: Shares, max_connections: int) -> Finding:
    """Say whether the limit of open files leaves room for as many connections as are allowed."""
    if files.suffices_for(max_connections):
        detail = f"{files.limit:,} are enough for {max_connections:,} connections"
        return Finding("open files", Verdict.OK, detail)
    detail = (
        f"{files.limit:,} limit this pod to {files.sessions:,} connections, not {max_connections:,}"
        " (CONSTELLATION_MAX_CONNECTIONS): raise the hard limit (ulimit -Hn)"
    )
    return Finding("open files", Verdict.WARNING, detail)


def inspect_routes(channels: Iterable[str]) -> Finding:
    """Tell which channels the route table has; it was read without a fault."""
    names = sorted(channels)
    return Finding("routes", Verdict.OK, f"{len(names)} channels: {', '.join(names)}")


def has_failed(findings: Iterable[Finding]) -> bool:
    """Tell whether a gateway could not work."""
    return any(finding.verdict is Verdict.FAILED for finding in findings)


def to_table(rows: Iterable[tuple[str, ...]]) -> str:
    """Align columns; the last one is as long as it is."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    return "\n".join("  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows)


def _identify(redis: Redis) -> Finding:
    """Name the server and the user; a server that keeps both to itself is no fault."""
    try:
        server: Any = redis.info("server")
        user: Any = redis.acl_whoami()
    except RedisError as error:
        return Finding("version", Verdict.WARNING, f"not available: {error}")
    name = str(server.get("server_name", "redis"))
    version = server.get(f"{name}_version", server.get("redis_version"))
    return Finding("version", Verdict.OK, f"{name} {version}, user {user}")


def _persistence(redis: Redis) -> Finding:
    """Tell what a restart of Redis would cost; many a user may not ask, which is no fault."""
    subject = "persistence"
    try:
        state: Any = redis.info("persistence")
        snapshots: Any = redis.config_get("save")
    except RedisError as error:
        return Finding(
            subject, Verdict.OK, f"not available ({error}); make sure that appendonly is on"
        )
    if state.get("aof_enabled"):
        return Finding(subject, Verdict.OK, "append-only file")
    lost = (
        "entries since the last snapshot" if snapshots.get("save") else "the log and the sessions"
    )
    return Finding(subject, Verdict.WARNING, f"appendonly is off: a restart of Redis loses {lost}")


def _cluster(redis: Any, names: Names) -> Mapping[str, _Call]:
    """What is asked of a Cluster to find our keys, and to follow them."""
    return {
        "CLUSTER SLOTS": lambda: redis.execute_command("CLUSTER", "SLOTS"),
        "CLUSTER NODES": lambda: redis.execute_command("CLUSTER", "NODES"),
        "EXISTS": lambda: redis.exists(names.log),
        "ASKING": lambda: redis.execute_command("ASKING"),
    }


def _meeting(redis: Redis, names: Names) -> Mapping[str, _Call]:
    """What pods do to agree on one node to subscribe on."""
    key = f"{names.meeting}:{_trial_name()}"
    return {
        "SET": lambda: redis.set(key, "", ex=_TRIAL_SECONDS),
        "GET": lambda: redis.get(key),
    }


def _subscriptions(redis: Redis, shared: Iterable[str], names: Names) -> Mapping[str, _Call]:
    own = {make("*"): make(_trial_name()) for make in (names.heartbeat, names.reply)}
    named = {**{channel: channel for channel in shared}, **own}
    return {name: partial(_subscribe, redis, channel) for name, channel in named.items()}


def _own_publications(redis: Redis, names: Names) -> Mapping[str, _Call]:
    return {
        make("*"): partial(redis.publish, make(_trial_name()), b"")
        for make in (names.heartbeat, names.reply)
    }


def _trial_name() -> str:
    return f"check-{secrets.token_hex(6)}"


def _subscribe(redis: Any, channel: str) -> None:
    with redis.pubsub() as subscription:
        subscription.subscribe(channel)
        subscription.get_message(timeout=_TRIAL_SECONDS)


def _presence(redis: Redis, names: Names) -> Mapping[str, _Call]:
    """What presence does, on a key that is empty and gone at the end."""
    key = names.users(_trial_name())
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


def _log(redis: Redis, names: Names) -> Mapping[str, _Call]:
    """What the log and its recorder's lease do, on keys of our own that are gone at the end."""
    key, state = (f"{names.slot}:{_trial_name()}" for _ in range(2))
    entry: Any = {"channel": "check", "data": "{}"}
    return {
        f"XADD {names.log}": lambda: _append_nothing(redis, names),
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
        **_scripts(redis, "return redis.call('DEL', KEYS[1])", key),
        "DEL": partial(_run_script, redis, "return redis.call('DEL', KEYS[1])", state),
    }


def _direct(redis: Redis, names: Names) -> Mapping[str, _Call]:
    """What a gateway without a log does with entries that producers write to it all the same."""
    key = f"{names.slot}:{_trial_name()}"
    return {
        f"XREVRANGE {names.log}": lambda: redis.xrevrange(names.log, count=1),
        "XREAD": lambda: redis.xread({key: "0"}, count=1),
        "XTRIM": partial(
            _run_script, redis, "return redis.call('XTRIM', KEYS[1], 'MINID', 1)", key
        ),
        "HMGET": partial(_run_script, redis, "return redis.call('HMGET', KEYS[1], 'holder')", key),
        "TIME": redis.time,
    }


def _sessions(redis: Redis, names: Names) -> Mapping[str, _Call]:
    """What sessions do, all of it in scripts as there."""
    key = names.session(_trial_name())
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


def _scripts(redis: Any, source: str, key: str) -> Mapping[str, _Call]:
    """The three steps by which a client brings a script to Redis."""
    digest = sha1(source.encode(), usedforsecurity=False).hexdigest()
    return {
        "SCRIPT LOAD": lambda: redis.script_load(source),
        "SCRIPT EXISTS": lambda: redis.script_exists(digest),
        "EVALSHA": lambda: redis.evalsha(digest, 1, key),
    }


def _run_script(redis: Any, source: str, key: str) -> None:
    redis.register_script(source)(keys=[key])


def _permission(subject: str, trials: Mapping[str, _Call]) -> Finding:
    """Try each and name those that Redis does not let us do, with its reason."""
    refused: dict[str, list[str]] = {}
    for name, call in trials.items():
        if error := _refusal(call):
            refused.setdefault(error, []).append(name)
    if refused:
        detail = "; ".join(f"{' '.join(names)}: {error}" for error, names in refused.items())
        return Finding(subject, Verdict.FAILED, detail)
    return Finding(subject, Verdict.OK, f"permitted: {' '.join(trials)}")


def _refusal(call: _Call) -> str:
    """Give the reason of a refusal, and nothing where there is none."""
    try:
        call()
    except AskError as error:  # MOVED too, which redis-py's text does not say
        return explain(error)
    except RedisError as error:
        return str(error) or type(error).__name__
    return ""


def _may_publish(redis: Redis, channels: Iterable[str]) -> Finding:
    """Ask about channels that gateways hear: Redis judges what it queues, and then forgets it.

    Only the TCP port and commands between pods publish there, so an unanswered question warns.
    """
    subject = "publish events"
    try:
        refused = [channel for channel in channels if _is_refused_in_transaction(redis, channel)]
    except RedisError as error:
        return Finding(subject, Verdict.WARNING, f"not checked, MULTI failed: {error}")
    if refused:
        return Finding(subject, Verdict.FAILED, f"not permitted: {' '.join(refused)}")
    return Finding(subject, Verdict.OK, f"permitted: {' '.join(channels)}")


def _is_refused_in_transaction(redis: Any, channel: str) -> bool:
    with redis.client() as connection:
        connection.execute_command("MULTI")
        try:
            connection.execute_command("PUBLISH", channel, b"")
        except NoPermissionError:
            return True
        finally:
            connection.execute_command("DISCARD")
        return False


def _append_nothing(redis: Any, names: Names) -> None:
    """Let Redis judge an append to the log itself that it cannot carry out: the ID is none."""
    try:
        redis.execute_command("XADD", names.log, "no-id", "channel", "check")
    except NoPermissionError:
        raise
    except ResponseError:
        return
