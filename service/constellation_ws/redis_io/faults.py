"""What a fault of Redis means, as one sentence for the log and for `check`. Holds no secret."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator

import hiredis
from redis.exceptions import (
    AskError,
    AuthenticationError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    RedisError,
    TimeoutError,
)

FAULTS = (RedisError, OSError, hiredis.HiredisError, asyncio.IncompleteReadError)
"""What is raised while Redis is unavailable, full or moving."""

CLUSTER_FORM = "for a Redis Cluster set REDIS_URL to redis+cluster://host:port,host:port"
PLAIN_FORM = "for a single Redis set REDIS_URL to redis://host:port"
FULL = "it is full and accepts no writes: raise its maxmemory, or free some of it"
NO_ANSWER = "it does not answer"
NO_CONNECTION = "the connection timed out; with rediss in REDIS_URL, the port must use TLS"


def explain(error: BaseException) -> str:
    """Return a sentence for an error of a server; it does not name the server."""
    text = str(error)
    if isinstance(error, AuthenticationError):
        return _explain_authentication(text)
    if isinstance(error, NoPermissionError):
        return f"the user is not permitted: {text}"
    if isinstance(error, OutOfMemoryError):
        return FULL
    if isinstance(error, MovedError):
        return f"it is one node of a Redis Cluster; {CLUSTER_FORM}"
    if isinstance(error, AskError):
        return "the gateway's hash slot is being moved to another node; try again later"
    if isinstance(error, TimeoutError):
        return NO_CONNECTION if "connecting" in text else NO_ANSWER
    if "closed by server" in text:
        return "it closes the connection; if its port uses TLS, REDIS_URL needs rediss"
    if "cluster support disabled" in text:
        return f"it is not a node of a Redis Cluster; {PLAIN_FORM}"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"the TLS handshake failed: {getattr(cause, 'reason', '') or 'no reason given'}"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return text or type(error).__name__


def _explain_authentication(text: str) -> str:
    if "without any password configured" in text:
        return "it has no password, and REDIS_URL or REDIS_PASSWORD has one"
    if "required" in text.lower() or "already authenticated" in text:
        return "it requires a password, and neither REDIS_URL nor a setting of its own has one"
    return "it refuses the user name or the password"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, or while handling."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
