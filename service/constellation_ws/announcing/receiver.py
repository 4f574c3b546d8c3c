"""The backend that announcements are posted to: signed, and within its time."""

from __future__ import annotations

import time
from collections.abc import Iterable

from constellation_ws.backends.posting import PostFailed, Posting
from constellation_ws.backends.signing import sign
from constellation_ws.runtime.deadline import deadline

POST_SECONDS = 5.0


class NoAnswer(ConnectionError):
    """The backend did not answer: `kind` is the word for the metric."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Receiver:
    """One URL; a connection to it is kept."""

    def __init__(self, url: str, key: str) -> None:
        """An empty `key` signs nothing."""
        self._url = url
        self._key = key.encode()
        self._posting = Posting()

    async def post(self, events: Iterable[bytes]) -> int:
        """Send events as one body; give the status. Raises NoAnswer."""
        body = b'{"events":[%b]}' % b",".join(events)
        headers = sign(self._key, int(time.time()), body) if self._key else {}
        try:
            async with deadline(POST_SECONDS):
                answer = await self._posting.post(self._url, body, headers, is_repeatable=True)
        except TimeoutError as error:
            raise NoAnswer("timeout", "the backend did not answer in time") from error
        except PostFailed as error:
            raise NoAnswer("unreachable", f"the call to the backend failed: {error}") from error
        return answer.status

    async def aclose(self) -> None:
        """Hang up."""
        await self._posting.aclose()
