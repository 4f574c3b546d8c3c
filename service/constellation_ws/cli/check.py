"""`check`: is what the gateway needs there? Questions to Redis, and their answers as findings.

The questions are put by doing: permissions that are only read from ACL rules say nothing about a
read-only replica or a full memory. Nothing that a gateway would deliver or count is sent.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from redis import Redis
from redis.exceptions import AskError, RedisError

from constellation_ws.cli import trials
from constellation_ws.cli.findings import Finding, Verdict
from constellation_ws.cli.redis_connection import Reach, RedisFailed
from constellation_ws.cli.trials import Call
from constellation_ws.interface.table import Interface
from constellation_ws.messages import commands
from constellation_ws.recording.width import TooFewPartitions
from constellation_ws.redis_io.faults import explain
from constellation_ws.redis_io.names import Names
from constellation_ws.runtime.open_files import Shares
from constellation_ws.settings.variables import UnknownVariable


def inspect(
    redis: Redis,
    address: str,
    channels: Iterable[str],
    names: Names,
    emitters: Iterable[str],
    *,
    keeps_log: bool,
    announces: bool,
) -> Iterator[Finding]:
    """Find out whether Redis is there and lets a gateway do what it does.

    `address` is shown and must hold no secret; `emitters` are patterns of channels. `announces`
    says whether a backend, or a client, learns who comes online and who goes offline.
    """
    started = time.perf_counter()
    try:
        redis.ping()
    except (RedisError, OSError) as error:
        yield Finding("redis", Verdict.FAILED, f"{address} cannot be used: {explain(error)}")
        return
    taken_ms = (time.perf_counter() - started) * 1_000
    yield Finding("redis", Verdict.OK, f"{address} answered in {taken_ms:.1f} ms")
    yield _identify(redis)
    if "+cluster://" in address:
        yield _permission("cluster", trials.cluster(redis, names))
        if keeps_log:
            yield _permission("meeting", trials.meeting(redis, names))
    shared = (*channels, names.commands, names.ticks)
    yield from _inspect_pubsub(redis, shared, names, emitters)
    yield _may_publish(redis, (*shared, names.presence_channel) if announces else shared)
    yield _permission("presence", trials.presence(redis, names))
    if announces:
        yield _permission("presence events", trials.presence_events(redis, names))
    yield _permission("peers", trials.peers(redis, names))
    yield from _inspect_log(redis, names) if keeps_log else _inspect_direct_entries(redis, names)


def _inspect_pubsub(
    redis: Redis, channels: Iterable[str], names: Names, emitters: Iterable[str]
) -> Iterator[Finding]:
    subscribed = (*channels, commands.EMITTER_CHANNEL)
    yield _permission("subscribe", trials.subscriptions(redis, subscribed, names))
    if by_pattern := trials.pattern_subscriptions(redis, emitters):
        yield _permission("emitters", by_pattern)
    yield _permission("publish", trials.own_publications(redis, names))


def inspect_variables(
    unknown: Iterable[UnknownVariable], padded: Iterable[str], without_effect: Iterable[str] = ()
) -> Finding:
    """Name which variables are no settings or have no effect, and secrets amid white space."""
    secrets = (f"{name} begins or ends with white space, part of the secret" for name in padded)
    faults = "; ".join([*map(str, unknown), *secrets, *without_effect])
    verdict = Verdict.WARNING if faults else Verdict.OK
    return Finding("settings", verdict, faults or "all variables are known")


def inspect_certificates(invalid: Iterable[str]) -> Finding:
    """Name which certificates have expired, or are not valid yet; their files are readable."""
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


def inspect_partitions(redis: Redis, names: Names, reach: Reach, count: int) -> Iterator[Finding]:
    """Find out the same of the further partitions of the log, and whether more are in use.

    A gateway that follows `count` of more does not start.
    """
    used = _partitions_in_use(redis, names)
    if used > count:
        yield Finding("partitions", Verdict.FAILED, str(TooFewPartitions(count, used)))
    for number in range(1, count):
        others, subject = names.of_partition(number), f"log {number}"
        try:
            with reach(redis, others) as other:
                yield _permission(subject, trials.log(other, others))
        except RedisFailed as error:
            yield Finding(subject, Verdict.FAILED, error.reason)


def _partitions_in_use(redis: Any, names: Names) -> int:
    try:
        return int(redis.hget(names.state, "partitions") or 1)
    except RedisError:
        return 1  # what Redis refuses is a finding of its own


def inspect_interface(interface: Interface) -> Iterator[Finding]:
    """Tell what the interface table has; it was read without a fault."""
    names = ", ".join(row.name for row in interface.namespaces)
    counts = f"{len(interface.requests)} requests, {len(interface.backends)} backends"
    yield Finding("interface", Verdict.OK, f"{names}: {counts}")
    channels = sorted(row.channel for row in interface.routes)
    yield Finding("routes", Verdict.OK, f"{len(channels)} channels: {', '.join(channels)}")


def has_failed(findings: Iterable[Finding]) -> bool:
    """Return whether a gateway could not work."""
    return worst(findings) is Verdict.FAILED


def worst(findings: Iterable[Finding]) -> Verdict:
    """Judge all findings as one."""
    found = {finding.verdict for finding in findings}
    grave = (Verdict.FAILED, Verdict.WARNING)
    return next((one for one in grave if one in found), Verdict.OK)


def _inspect_log(redis: Redis, names: Names) -> Iterator[Finding]:
    yield _permission("log", trials.log(redis, names))
    yield _permission("sessions", trials.sessions(redis, names))
    yield _persistence(redis)


def _inspect_direct_entries(redis: Redis, names: Names) -> Iterator[Finding]:
    yield _permission("log", trials.direct(redis, names))


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
    """Say what a restart of Redis would cost; many a user may not ask, which is no fault."""
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


def _permission(subject: str, calls: Mapping[str, Call]) -> Finding:
    """Try each and name those that Redis does not let us do, with its reason."""
    refused: dict[str, list[str]] = {}
    for name, call in calls.items():
        if error := _refusal(call):
            refused.setdefault(error, []).append(name)
    if refused:
        detail = "; ".join(f"{' '.join(names)}: {error}" for error, names in refused.items())
        return Finding(subject, Verdict.FAILED, detail)
    return Finding(subject, Verdict.OK, f"permitted: {' '.join(calls)}")


def _refusal(call: Call) -> str:
    """Give the reason of a refusal, and nothing where there is none."""
    try:
        call()
    except AskError as error:  # MOVED too, which redis-py's text does not say
        return explain(error)
    except RedisError as error:
        return str(error) or type(error).__name__
    return ""


def _may_publish(redis: Redis, channels: Iterable[str]) -> Finding:
    """Check channels that gateways subscribe to: Redis checks what it queues, then discards it.

    Only the TCP port and commands between pods publish there, so an unanswered question warns.
    """
    subject = "publish events"
    try:
        refused = [
            channel for channel in channels if trials.is_refused_in_transaction(redis, channel)
        ]
    except RedisError as error:
        return Finding(subject, Verdict.WARNING, f"not checked, MULTI failed: {error}")
    if refused:
        return Finding(subject, Verdict.FAILED, f"not permitted: {' '.join(refused)}")
    return Finding(subject, Verdict.OK, f"permitted: {' '.join(channels)}")
