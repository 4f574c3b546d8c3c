"""The door to the log: following it, reading it back, and appending to it as the recorder."""

from service.redis_log.appender import Appender, LostLease
from service.redis_log.layout import IDENTITY_KEY, KEY, LEASE_KEY
from service.redis_log.log import RedisLog

__all__ = ["IDENTITY_KEY", "KEY", "LEASE_KEY", "Appender", "LostLease", "RedisLog"]
