"""The log of events in Redis: following it, reading it back, appending to it, and its epoch."""

from service.redis_log.appender import (
    Appender,
    LogDamaged,
    LostLease,
    Refused,
    Unanswered,
)
from service.redis_log.direct import DirectEntries
from service.redis_log.log import Follower, RedisLog
from service.redis_log.reading import Reader
from service.redis_log.state import ONLY_ASKING, Candidacy, Claim

__all__ = [
    "ONLY_ASKING",
    "Appender",
    "Candidacy",
    "Claim",
    "DirectEntries",
    "Follower",
    "LogDamaged",
    "LostLease",
    "Reader",
    "RedisLog",
    "Refused",
    "Unanswered",
]
