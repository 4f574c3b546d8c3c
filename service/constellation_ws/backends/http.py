"""The way to a backend over HTTP: a POST to a URL of the table, signed where there is a key."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from constellation_ws.backends.answers import BackendFailed, read_ack, read_refusal
from constellation_ws.backends.posting import AnswerTooLong, Posted, PostFailed, Posting
from constellation_ws.backends.signing import sign
from constellation_ws.backends.ways import Target, connect_seconds
from constellation_ws.messages.admission import Refusal
from constellation_ws.runtime.deadline import deadline

_DOWN = frozenset({502, 503, 504})
"""Statuses of a backend that is down or overloaded, by itself or by the proxy in front of it. With
any other it works: a client that can make its handler fail must not make it unavailable to all."""


class HttpWay:
    """A URL behind which are the paths of the table."""

    def __init__(
        self,
        url: str,
        key: bytes,
        timeout_seconds: float,
        *,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """An empty `key` signs nothing."""
        self._url = url.rstrip("/")
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._unix_time = unix_time
        self._posting = Posting(connect_seconds=connect_seconds(timeout_seconds))

    async def send(self, target: Target, body: bytes, traceparent: str) -> msgspec.Raw | Refusal:
        """Post a request. Raises TimeoutError, BackendFailed."""
        headers = sign(self._key, int(self._unix_time()), body) if self._key else {}
        if traceparent:
            headers["traceparent"] = traceparent
        url = self._url + target.name
        try:
            async with deadline(self._timeout_seconds):
                return _read(
                    await self._posting.post(url, body, headers, is_repeatable=target.is_idempotent)
                )
        except AnswerTooLong as error:
            raise BackendFailed(str(error), is_down=False) from error
        except PostFailed as error:
            raise BackendFailed(f"the call failed: {error}") from error

    async def aclose(self) -> None:
        """Hang up."""
        await self._posting.aclose()


def _read(answer: Posted) -> msgspec.Raw | Refusal:
    kind = answer.status // 100
    if kind == 2:
        return read_ack(answer.body)
    if kind == 4:
        return read_refusal(answer.body)
    is_down = answer.status in _DOWN
    raise BackendFailed(f"it answered with HTTP status {answer.status}", is_down=is_down)
