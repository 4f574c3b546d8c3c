"""Commands and scripts on which the model of Redis and a real one are compared."""

from __future__ import annotations

from collections.abc import Sequence

from constellation_ws.announcing import scripts as announcing
from constellation_ws.log import append_scripts as appending
from constellation_ws.log import scripts as log
from constellation_ws.peers.directory import _REFRESH
from constellation_ws.recovery.acquisition import _ACQUIRE, _EPOCH
from constellation_ws.recovery.store import _DROP, _MARK, _SAVE
from constellation_ws.services.once import APPENDING, PUBLISHING

Words = tuple[object, ...]


def _eval(script: str, keys: Sequence[str], *arguments: object) -> Words:
    return ("EVAL", script, len(keys), *keys, *arguments)


LOG, STATE, PODS, READERS, FOLLOWERS = (
    f"{{t}}:{name}" for name in ("log", "state", "pods", "readers", "followers")
)
_BOTH = (LOG, STATE)
_NUMBER = 9_000_000_000_000_000
"""Later than any clock says, so the numbers of epochs are the same wherever this is run."""
_FIRST, _SECOND = f"{_NUMBER + 1}-first", f"{_NUMBER + 2}-second"
BEGIN = _eval(log.REPLACE, _BOTH, "", "first", "new", _NUMBER)
_CLAIM = ("", "looks", 0, "", 0, "", 0)


def _ask(partitions: int) -> Words:
    lease = ("pod.1", 2000, "pod", 0, 0, "")
    return _eval(log.REQUEST_LEASE, [STATE], *lease, *_CLAIM, partitions)


_LEASE = _ask(1)


def _sit(
    pod: str, stand: str, *claim: object, lease: Sequence[object] = ("", 0, "", 0, 0, "")
) -> Words:
    """Claim one of two seats: for how many ms it listens, what it has resolved, and so on."""
    return _eval(log.REQUEST_LEASE, [STATE], *lease, pod, stand, 2, *claim, 1)


_MESSAGE = ("chat:new", '{"a":1}', "pod.1 1")


def _look(delivered: str) -> Words:
    return _eval(log.LOOK, _BOTH, delivered, "sessions pod")


def _mark(confirmed: int, number: int) -> Words:
    return _eval(_MARK, [STATE], "sessions pod", confirmed, number)


def _packed(seen: str, count: int) -> Words:
    return _eval(appending.APPEND_PACKED, _BOTH, "pod.1", seen, count, "packed", "pod.1 1")


def _permit(lease_id: str, *, wanted: str = "1", least_ms: int = 0) -> Words:
    keys = [STATE, PODS, READERS]
    return _eval(appending.PERMIT_PACKING, keys, lease_id, wanted, least_ms)


def _permit_alone(lease_id: str, least_ms: int) -> Words:
    return _eval(appending.PERMIT_PACKING, [STATE], lease_id, "1", least_ms)


def _widen(lease_id: str, partitions: int, least_ms: int = 0) -> Words:
    return _eval(log.WIDEN, [STATE, PODS, FOLLOWERS], lease_id, partitions, least_ms)


_PEERS = [f"{{t}}:{name}" for name in ("peers", "before", "now", "after")]


def _refresh(period: int, own: str, *fresh: str) -> Words:
    # So long a period that it is the first one at any time.
    return _eval(_REFRESH, _PEERS, period, own, 15, 100, 10**10, *fresh)


_FAR = 4_000_000_000
"""Seconds: a pod that lives until then."""
_PRESENCE = [f"{{t}}:{name}" for name in ("shares", "share", "announced", "state", "stream")]
_POSTING = ["{t}:posting", "{t}:stream", "{t}:state"]
_LOOK = [_PRESENCE[0], _PRESENCE[1], _PRESENCE[3], _PRESENCE[2]]
_CHANGE = ("channel", 1000, 0, "+", "u1", "connect", "+", 'Ж"2', "connect", "-", "u1", "gone")

CASES: dict[str, list[Words]] = {
    "strings": [
        ("SET", "a", "1"), ("GET", "a"), ("SET", "a", "2", "NX"),
        ("SET", "b", "3", "NX", "EX", 100),
        ("GET", "b"), ("EXISTS", "a", "a"), ("DEL", "a", "a"), ("GET", "a"), ("DBSIZE",),
        ("EXPIRE", "b", 0), ("GET", "b"), ("PEXPIRE", "none", 5), ("PTTL", "none"), ("SET", "a"),
        ("SET", "c", "1"), ("PTTL", "c"), ("HGET", "c", "x"), ("XADD", "c", "*", "a", "b"),
        ("NOSUCH", "x"), ("EXPIRE", "c", "x"), ("FLUSHALL",), ("DBSIZE",), ("PING",), ("PING", "x"),
    ],
    "hashes": [
        ("HSET", "h", "a", "1", "b", "2"), ("HSET", "h", "a", "3", "c", ""), ("HGET", "h", "a"),
        ("HGET", "h", "z"), ("HMGET", "h", "a", "z", "c"), ("HMGET", "none", "a"), ("HGETALL", "h"),
        ("HSCAN", "h", 0, "COUNT", 1), ("HSCAN", "none", 0),
        ("HGETALL", "none"), ("HDEL", "h", "a", "z"), ("HDEL", "h", "b", "c"), ("EXISTS", "h"),
        ("HSET", "h", "a"), ("HSET", "h", "a", "b", "c"),
    ],
    "sorted sets": [
        ("ZADD", "z", "1.5", "a", "2", "b", "2", "c"), ("ZADD", "z", "1800000001.293005", "a"),
        ("ZSCORE", "z", "a"), ("ZSCORE", "z", "none"), ("ZSCORE", "none", "a"), ("ZCARD", "z"),
        ("ZRANGEBYSCORE", "z", "-inf", "+inf"), ("ZRANGEBYSCORE", "z", "(2", "+inf"),
        ("ZRANGEBYSCORE", "z", "-inf", "+inf", "WITHSCORES"), ("ZRANGEBYSCORE", "z", 2, 2),
        ("ZRANGEBYSCORE", "z", "-inf", "+inf", "LIMIT", 1, 1), ("ZREM", "z", "b", "none"),
        ("ZREMRANGEBYSCORE", "z", "-inf", "(1800000001.293005"), ("ZRANGEBYSCORE", "z", 0, "inf"),
        ("ZREM", "z", "a"), ("EXISTS", "z"), ("ZADD", "z", "x", "a"), ("EXISTS", "z"),
        ("ZADD", "l", "0", "a", "0", "aa", "0", "b"), ("ZRANGEBYLEX", "l", "-", "+"),
        ("ZRANGEBYLEX", "l", "(a", "+", "LIMIT", 0, 1), ("ZRANGEBYLEX", "l", "[a", "[aa"),
        ("ZRANGEBYLEX", "l", "(aa", "(b"),
    ],
    "streams": [
        ("XADD", "s", "5-1", "a", "1"), ("XADD", "s", "5-2", "a", "2", "b", "3"),
        ("XADD", "s", "5-2", "a", "2"), ("XADD", "s", "7-0", "a", "4"), ("XLEN", "s"),
        ("XRANGE", "s", "-", "+"), ("XRANGE", "s", "(5-1", "+", "COUNT", 1), ("XRANGE", "s", 5, 5),
        ("XRANGE", "s", "5-2", "5-2"), ("XREVRANGE", "s", "+", "-", "COUNT", 1),
        ("XREVRANGE", "s", "(7-0", "-"), ("XRANGE", "none", "-", "+"),
        ("XREAD", "COUNT", 2, "STREAMS", "s", "0-0"), ("XREAD", "STREAMS", "s", "7-0"),
        ("XREAD", "BLOCK", 1, "STREAMS", "s", "7-0"), ("XTRIM", "s", "MINID", "5-2"),
        ("XTRIM", "s", "MAXLEN", 1), ("XTRIM", "none", "MAXLEN", 1), ("XRANGE", "s", "-", "+"),
        ("XDEL", "s", "7-0", "9-9"), ("XLEN", "s"), ("EXISTS", "s"), ("XADD", "s", "6-0", "a", "b"),
        ("XINFO", "STREAM", "none"), ("XADD", "s", "x", "a", "b"), ("XADD", "s", "*", "a"),
        ("XADD", "s", "MAXLEN", "2", "8-0", "a", "b"),
        ("XADD", "s", "MAXLEN", "~", "1", "9-0", "a", "b"),
        ("XLEN", "s"), ("XADD", "s", "MAXLEN", "1", "9-1", "a", "b"), ("XLEN", "s"),
        ("XADD", "none", "NOMKSTREAM", "*", "a", "b"), ("EXISTS", "none"),
        ("XADD", "s", "NOMKSTREAM", "9-2", "a", "b"),
    ],
    "scripts": [
        _eval("return {1, 'a', {2, false, 3}, true, false}", []), _eval("return 3.7", []),
        _eval("return redis.call('SET', KEYS[1], ARGV[1])", ["k"], "v"),
        _eval("return redis.call('GET', KEYS[1])", ["k"]), _eval("return {1, nil, 2}", []),
        _eval("return redis.call('GET', KEYS[1])", ["none"]), _eval("return", []),
        _eval("return redis.call('HGETALL', KEYS[1])", ["none"]),
        _eval("return redis.call('HGET', KEYS[1], 'a')", ["k"]),
        _eval("return redis.pcall('HGET', KEYS[1], 'a').err", ["k"]),
        _eval("return redis.pcall('XINFO', 'STREAM', KEYS[1]).err", ["none"]),
        _eval("redis.call('ZADD', 'z', 1.5, 'a') return redis.call('ZSCORE', 'z', 'a')", ["z"]),
        _eval("return cjson.encode(ARGV[1])", [], "a\"\\/\n\t\x01Ж"),
        _eval("return redis.call('PING')", []),
        _eval("return {string.format('%.0f', 12345678901234), tostring(1/2), 10 / 2}", []),
        ("EVALSHA", "0" * 40, 0), _eval("return #ARGV", [], *range(300)),
        _eval("return {redis.call('EXISTS', KEYS[1]), unpack(ARGV, 1, 2)}", ["k"], "x", "y", "z"),
    ],
    "the log": [
        _LEASE, BEGIN, BEGIN, _LEASE,
        _eval(log.REQUEST_LEASE, [STATE], "other.1", 2000, "other", 0, 0, "", *_CLAIM, 1),
        _eval(log.REQUEST_LEASE, [STATE], "other.1", 2000, "other", 700, 900, "1", *_CLAIM, 1),
        _eval(appending.APPEND, _BOTH, "pod.1", "0-1", 2000, "pod.1 0"),
        _eval(appending.APPEND, _BOTH, "pod.1", "0-0", 2000, "pod.1 1", *_MESSAGE, *_MESSAGE),
        _eval(appending.APPEND, _BOTH, "wrong", "0-0", "", "", *_MESSAGE),
        _eval(appending.APPEND, _BOTH, "pod.1", "0-0", "", "", *_MESSAGE),
        _look("0-0"), _look("5-5"),
        _eval(appending.TRIM, _BOTH, "pod.1", 120_000, 2),
        _eval(appending.TRIM, _BOTH, "wrong", 120_000, 2),
        ("XLEN", LOG), ("XTRIM", LOG, "MAXLEN", 1),
        _eval(appending.TRIM, _BOTH, "pod.1", 120_000, 2),
        _look("0-0"),
        _eval(log.REPLACE, _BOTH, _FIRST, "second", "removed", _NUMBER + 1),
        _look("0-0"), _eval(log.CONFIRM_WATCHED, [STATE], _SECOND, "abc"),
        _eval(appending.TRIM_UNRECORDED, _BOTH, 0), _eval(log.RELEASE, [STATE], "pod.1"),
        _eval(log.RELEASE, [STATE], "pod.1"), ("DEL", LOG), _look("7-7"),
        _eval(appending.TRIM_UNRECORDED, _BOTH, 1000),
    ],
    "seats": [
        _sit("a", "wants", "", 0, "", 9), BEGIN, ("HDEL", STATE, "begun"),
        _sit("a", "looks", "", 0, "", 9), _sit("a", "wants", "", 0, "", 9),
        _sit("a", "listens", 9_000, 0, "1", 9), _sit("b", "listens", 5_000, 0, "", 9),
        _sit("c", "looks", "", 0, "", 9), _sit("c", "wants", "", 0, "", 9),
        _sit("c", "listens", 1_000, 0, "", 9), _sit("c", "listens", 1_000, 0, "1", 9),
        _sit("b", "leaves", 5_000, 0, "", 9), _sit("c", "wants", "", 0, "", 9),
        _sit("a", "listens", 9_000, 0, "1", 9, lease=("a.1", 2000, "a", 0, 9_000, "")),
        _sit("b", "gone", "", 0, "", 9), _sit("c", "listens", 10, 0, "1", 9),
        _eval(log.RELEASE, [STATE], "a.1"),
        ("HSET", STATE, "listeners", "dead 2000 0 1000 0 0", "holder", "former.3", "until", "5"),
        _sit("c", "listens", 10, 0, "", 9, lease=("c.1", 2000, "c", 1, 10, "1")),
        _sit("c", "listens", 10, 0, "", 9), ("HGET", STATE, "late"),
    ],
    "packed entries": [
        BEGIN, _LEASE, _packed("0-0", 2), ("ZADD", PODS, _FAR, "pod", 5, "gone"), _permit("pod.1"),
        ("HGET", STATE, "removed"), ("ZADD", READERS, _FAR, "pod"), _permit("wrong"),
        _permit("pod.1"), _permit("pod.1", least_ms=60_000), _permit("pod.1"),
        ("HMGET", STATE, "removed", "gone"), _packed("0-1", 2), _packed("0-0", 3),
        ("XRANGE", LOG, "-", "+"), _packed("0-0", 200), ("HMGET", STATE, "packed", "extra"),
        _eval(appending.TRIM, _BOTH, "pod.1", 120_000, 100), ("HMGET", STATE, "removed", "gone"),
        ("HMGET", STATE, "counts", "trimmed"), _look("0-0"),
        _permit("pod.1", wanted=""), ("ZADD", PODS, _FAR, "old"), _permit("pod.1"),
        _eval(appending.TRIM, _BOTH, "pod.1", 120_000, 1), ("ZREM", PODS, "old"),
        ("XADD", LOG, "9000000000000-123456789012345678", "channel", "c"), _packed("0-0", 2),
        ("XADD", LOG, "9000000000100-5", "channel", "c"), _packed("0-0", 2),
        _eval(log.REPLACE, _BOTH, _FIRST, "second", "removed", _NUMBER + 1), ("HGETALL", STATE),
        _packed("0-0", 2),
    ],
    "packed entries of a further partition": [
        BEGIN, _LEASE, _permit_alone("wrong", 0), _permit_alone("pod.1", 60_000),
        _permit_alone("pod.1", 60_000), _permit_alone("pod.1", 0), ("HGET", STATE, "removed"),
    ],
    "partitions": [
        _widen("pod.1", 3), BEGIN, _LEASE, _widen("pod.1", 3), ("ZADD", PODS, _FAR, "pod"),
        _widen("pod.1", 3), ("ZADD", FOLLOWERS, _FAR, "3 pod"), _widen("wrong", 3),
        _widen("pod.1", 3, 60_000), ("HMGET", STATE, "partitions"), ("ZADD", PODS, _FAR, "old"),
        _widen("pod.1", 3), ("HMGET", STATE, "partitions"), ("ZADD", FOLLOWERS, _FAR, "2 old"),
        _widen("pod.1", 3), _widen("pod.1", 2), _widen("pod.1", 2), ("ZREM", PODS, "old"),
        _widen("pod.1", 3), ("HGET", STATE, "partitions"), ("HDEL", STATE, "partitions"),
        _ask(2), _ask(5), _ask(1),
    ],
    "sessions": [
        _eval(_SAVE, ["k"], "a.1", 60_000, 1, "u", "{}", 4, "room a", "", "room b", "+1-0", "c"),
        ("HGETALL", "k"), _eval(_SAVE, ["k"], "b.1", 60_000, 0, "u", "{}", 0),
        _eval(_ACQUIRE, ["k"], "other", "b.1"), _eval(_ACQUIRE, ["k"], "u", "b.1"),
        _eval(_SAVE, ["k"], "b.1", 60_000, 0, "u", "{2}", 2, "room d", "", "room a"),
        ("HGETALL", "k"),
        _eval(_SAVE, ["none"], "b.1", 60_000, 0, "u", "{}", 0), _eval(_DROP, ["k"], "a.1"),
        _eval(_DROP, ["k"], "b.1"), ("EXISTS", "k"), _eval(_ACQUIRE, ["k"], "u", "b.1"),
        _eval(_EPOCH, [STATE]), ("HSET", STATE, "epoch", "e"), _eval(_EPOCH, [STATE]),
        _mark(0, 1), ("EXISTS", STATE), BEGIN, _mark(0, 1), _mark(1, 2), _mark(3, 4),
        ("HGET", STATE, "sessions pod"), _look("0-0"),
        _eval(log.REPLACE, _BOTH, _FIRST, "second", "removed", _NUMBER + 1), ("HGETALL", STATE),
    ],
    "pods that know each other": [
        _refresh(0, "pod 1 h 1", "A", "B"), _refresh(0, "", "C", "D"), ("ZCARD", _PEERS[0]),
        _refresh(7, "pod 1 h 1", "A", "B"), ("ZADD", _PEERS[0], 1, "gone"), _refresh(0, "", "", ""),
    ],
    "requests that may be repeated": [
        _eval(APPENDING.script, ["{t}:o", LOG], "f", 60, "chat:new", "{}"), ("XLEN", LOG),
        _eval(APPENDING.script, ["{t}:o", LOG], "f", 60, "chat:new", "{}"), ("XLEN", LOG),
        _eval(PUBLISHING.script, ["p"], "f", 60, "chat:new", "{}"),
    ],
    "presence events": [
        _eval(announcing.WRITE, _PRESENCE, "s1", *_CHANGE),
        _eval(announcing.LOOK, _LOOK, "s1", 20_000, 5000, "epoch", "", 0, 0, 0),
        _eval(announcing.WRITE, _PRESENCE, "s1", *_CHANGE), ("HGETALL", _PRESENCE[2]),
        _eval(announcing.LOOK, _LOOK, "s1", 20_000, 5000, "x", "1-epoch", 2, 0, 0),
        ("XLEN", _PRESENCE[4]),
        _eval(announcing.WRITE, _PRESENCE, "s1", "channel", 1000, 4, "+", "u2", "connect"),
        _eval(announcing.LOOK, _LOOK, "s1", 20_000, 5000, "back", "1-epoch", 4, 0, 0),
        _eval(announcing.WRITE, _PRESENCE, "s1", *_CHANGE),
        _eval(announcing.WRITE, _PRESENCE, "s1", "channel", 1000, 5, "=", 'Ж"2', "restored"),
        _eval(announcing.LOOK, _LOOK, "s2", 20_000, 5000, "gone", "2-back", 4, 9 * 10**12, 0),
        _eval(announcing.LOOK, _LOOK, "s2", 20_000, 5000, "x", "3-gone", 4, 0, 0),
        _eval(announcing.LOOK, _LOOK, "s2", 20_000, 5000, "older", "9-x", 4, 0, 0),
        _eval(announcing.WITHDRAW, [_PRESENCE[0]], "s1", 0, "stopped"),
        _eval(announcing.REMOVE, _PRESENCE, "s1 stopped", "channel", 1000, 1, "lost", ""),
        _eval(announcing.REMOVE, _PRESENCE, "s1 stopped", "channel", 1000, 5, "lost", ""),
        _eval(announcing.LOOK, _LOOK, "s3", 20_000, 5000, "x", "", 0, 0, 0),
        _eval(announcing.WRITE, _PRESENCE, "s3", *_CHANGE), ("DEL", _PRESENCE[0], _PRESENCE[1]),
        _eval(announcing.LOOK, _LOOK, "s3", 20_000, 5000, "x", "4-older", 0, 0, 0),
        ("ZADD", _PRESENCE[0], 0, "s3"), ("HGETALL", _PRESENCE[2]),
        _eval(announcing.REMOVE, _PRESENCE, "s3", "channel", 1000, 5, "lost", ""),
        ("HGETALL", _PRESENCE[2]), ("DEL", _PRESENCE[2]),
        _eval(announcing.LOOK, _LOOK, "s3", 20_000, 5000, "lost", "", 0, 0, 0),
        _eval(announcing.LOOK, _LOOK, "s3", 20_000, 5000, "x", "", 0, 0, 9 * 10**15),
        _eval(announcing.POSTING, _POSTING, "t", 15_000, "", "", 10),
        _eval(announcing.POSTING, _POSTING, "other", 15_000, "", "", 10),
        _eval(announcing.RELEASE, [_POSTING[0]], "t", "1-0", 1),
        _eval(announcing.POSTING, _POSTING, "other", 15_000, "", "", 10),
    ],
}  # fmt: skip

WRITES: list[Words] = [
    ("SET", "a", "1"), ("HSET", "h", "a", "1"), ("ZADD", "z", 1, "a"), ("XADD", "s", "*", "a", "b"),
    ("DEL", "kept"), ("EXPIRE", "kept", 5), ("HDEL", "hash", "x"), ("ZREM", "set", "a"),
    ("XTRIM", "s", "MAXLEN", 1), ("GET", "kept"), ("HGETALL", "hash"), ("PUBLISH", "c", "x"),
        ("PING",),
    _eval("return redis.call('GET', KEYS[1])", ["kept"]),
    _eval("return redis.call('SET', KEYS[1], 'x')", ["new"]),
    _eval("return redis.pcall('SET', KEYS[1], 'x').err", ["new"]),
    _eval("return redis.call('DEL', KEYS[1])", ["none"]), _LEASE,
    _look("0-0"),
]  # fmt: skip
"""What is tried while Redis refuses to write."""
KEPT: list[Words] = [("SET", "kept", "1"), ("HSET", "hash", "x", "1"), ("ZADD", "set", 1, "a")]
"""What is there before."""
