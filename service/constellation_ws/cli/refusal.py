"""Why Redis accepts no writes, for commands that only read.

While it accepts none, pods cannot show that they live: what is known of them and of who is online
becomes old and then expires, though pods run and clients are connected.
"""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from constellation_ws.cli.redis_connection import RedisFailed
from constellation_ws.redis_io.names import Names

FULL = "Redis is full (maxmemory): nothing can be recorded; raise maxmemory"
_READ_ONLY = "Redis is a read-only replica: nothing can be recorded; REDIS_URL must name a primary"
_BY_CODE = {
    "OOM": FULL,
    "READONLY": _READ_ONLY,
    "MISCONF": (
        "Redis cannot save its data and accepts no writes: nothing can be recorded; its log has "
        "the reason, mostly a full disk"
    ),
    "NOREPLICAS": (
        "Redis has fewer replicas than min-replicas-to-write: nothing can be recorded until they "
        "are back"
    ),
}


def refusal(redis: Redis, names: Names) -> str:
    """Say why a write would be refused; empty if it would not be, or if that is not known.

    The command has an invalid ID: it changes nothing. Redis looks for these reasons before it
    looks at the arguments. What INFO says of the memory is no answer, as with an eviction policy.
    """
    asked: Any = redis
    try:
        asked.execute_command("XADD", names.log, "no-id", "channel", "check")
    except OutOfMemoryError:
        return FULL
    except ReadOnlyError:
        return _READ_ONLY
    except RedisError as error:
        return _BY_CODE.get(str(error).partition(" ")[0], "")
    return ""


def require_writes(redis: Redis, names: Names) -> None:
    """Raise RedisFailed if who is online is not known."""
    if reason := refusal(redis, names):
        raise RedisFailed(f"Which pods live, and who is online, is not known. {reason}")
