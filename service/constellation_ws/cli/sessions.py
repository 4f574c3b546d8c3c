"""The recoverable sessions of one user, as their pods have written them. It only reads.

No key leads from a user to the sessions, so all keys are looked through, a page at a time: in
between Redis serves others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from constellation_ws.cli.redis_connection import required
from constellation_ws.messages.events import UserId
from constellation_ws.recovery import record
from constellation_ws.redis_io.names import Names

_PAGE = 500
_REPORT_PAGES = 100


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is connected, or can still be resumed."""

    sid: str
    pod: str
    """The instance of the pod that had it last."""
    rooms: Sequence[str]
    """Those that were joined. The user's own room is not stored, as every session is in it."""
    expires_seconds: float

    def facts(self) -> Mapping[str, Any]:
        """Give all of it for programs. The pid stays out: it resumes the session."""
        return {
            "sid": self.sid,
            "pod": self.pod,
            "rooms": list(self.rooms),
            "expiresSeconds": round(self.expires_seconds, 1),
        }


def of_user(
    redis: Redis, names: Names, user: UserId, report_progress: Callable[[str], None]
) -> list[Session]:
    """Find the sessions of a user, in the order of their sids. Raises RedisFailed."""
    found: list[Session] = []
    with required("The sessions cannot be read"):
        for number, keys in enumerate(_pages(redis, names), 1):
            mine = _of_user(redis, keys, user)
            found += [one for key in mine if (one := _read(redis, key)) is not None]
            if number % _REPORT_PAGES == 0:
                report_progress(f"{number * _PAGE:,} keys looked through")
    return sorted({one.sid: one for one in found}.values(), key=lambda one: one.sid)


def _pages(redis: Any, names: Names) -> Iterator[list[bytes]]:
    cursor, pattern = 0, names.session("*")
    while True:
        cursor, keys = redis.scan(cursor, match=pattern, count=_PAGE)
        yield keys
        if cursor == 0:
            return


def _of_user(redis: Any, keys: Sequence[bytes], user: UserId) -> list[bytes]:
    with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hget(key, "user")
        users = pipe.execute()
    return [key for key, found in zip(keys, users, strict=True) if found == user.encode()]


def _read(redis: Any, key: bytes) -> Session | None:
    """Read one; None for one that has just ended, or is of another release."""
    fields: Mapping[bytes, bytes] = redis.hgetall(key)
    try:
        session = record.read(fields)
    except record.Unreadable:
        return None
    owner = fields.get(b"owner", b"").decode()
    left = max(0, redis.pttl(key)) / 1000
    return Session(session.sid, owner.rpartition(".")[0], sorted(session.final_rooms), left)
