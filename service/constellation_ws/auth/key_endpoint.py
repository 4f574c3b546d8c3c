"""The issuer's public keys, over HTTP: fetched, kept, and fetched again.

Which key a token needs is decided in `jwt_keys`, when to ask again in `refetching`. While the
endpoint is away, the keys that were there last go on serving.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Container

import aiohttp
import structlog

from constellation_ws.auth import jwt_keys
from constellation_ws.auth.identity import AUTH_UNAVAILABLE, Identity
from constellation_ws.auth.jwt_keys import BadKey, VerificationKey
from constellation_ws.auth.refetching import USUAL_PACE, Doubts, Pace, Refetching
from constellation_ws.auth.tokens import FORGED, UNKNOWN_KEY, Header, Verify
from constellation_ws.messages.admission import Refusal

logger = structlog.get_logger(__name__)

MAX_DOCUMENT_BYTES = 256 * 1024
_LOG_SECONDS = 60.0


class NotFetched(Exception):
    """The endpoint gave no keys; `str()` says why."""


class KeyEndpoint:
    """The keys behind one URL. `run` must run in one task while the process lives."""

    def __init__(
        self,
        url: str,
        algorithms: Container[str],
        pace: Pace = USUAL_PACE,
        fetch_seconds: float = 5.0,
    ) -> None:
        self._url = url
        self._algorithms = algorithms
        self._fetch_seconds = fetch_seconds
        self._plan = Refetching(pace, random.random)
        self._doubts = Doubts()
        self._keys: tuple[VerificationKey, ...] | None = None
        self._asked_for_keys_at = 0.0
        """When the fetch began that brought them."""
        self._asked = asyncio.Event()
        self._fetching: asyncio.Future[None] | None = None
        """Done when the fetch has ended that is under way, or asked for."""
        self._has_ended = False
        self._told_at: float | None = None

    @property
    def has_fetched(self) -> bool:
        """Whether there are keys at all."""
        return self._keys is not None

    async def verify(self, header: Header, token: str, verify: Verify) -> Identity | Refusal:
        """Verify a token with its key; one that no key explains may ask for newer ones, once.

        A key that is not known may be new, and one whose signature does not fit may have been
        replaced under its name. Waits for one fetch at most.
        """
        if self._keys is None:
            return AUTH_UNAVAILABLE
        verdict = self._verify(header, verify)
        if verdict not in (UNKNOWN_KEY, FORGED) or (verdict is UNKNOWN_KEY and header.kid is None):
            return verdict
        what = token if verdict is FORGED else header.kid
        since = self._doubts.since(what, time.monotonic())
        if self._fetching is not None or self._begin_fetch():
            assert self._fetching is not None, "it is under way, or begins"
            await asyncio.wait({self._fetching})
            verdict = self._verify(header, verify)
        if verdict not in (UNKNOWN_KEY, FORGED) or since <= self._asked_for_keys_at:
            return verdict
        # What was read had been asked for before the token came. The client tries again by itself:
        # by then there may be newer keys.
        if not self._plan.has_failed:
            self._begin_fetch()
        return AUTH_UNAVAILABLE

    async def run(self) -> None:
        """Fetch the keys at their times, forever."""
        timeout = aiohttp.ClientTimeout(total=self._fetch_seconds)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as http:
            try:
                while True:
                    self._asked.clear()
                    self._fetching = self._fetching or asyncio.get_running_loop().create_future()
                    await self._fetch(http)
                    self._let_go()
                    await self._due()
            finally:
                self._has_ended = True
                self._let_go()  # nobody must wait for a fetch that will not be

    async def _due(self) -> None:
        """Wait until it is time for the next fetch."""
        while (left := self._plan.due_at - time.monotonic()) > 0 and not self._asked.is_set():
            await _wait(self._asked, left)

    def _begin_fetch(self) -> bool:
        """Ask for a fetch out of turn; False where there was one so lately that none is due."""
        if self._has_ended or not self._plan.ask(time.monotonic()):
            return False
        self._fetching = self._fetching or asyncio.get_running_loop().create_future()
        self._asked.set()
        return True

    def _verify(self, header: Header, verify: Verify) -> Identity | Refusal:
        key = jwt_keys.choose(self._keys or (), header.kid, header.algorithm)
        return UNKNOWN_KEY if key is None else verify(key)

    def _let_go(self) -> None:
        """Let those go on who wait for the fetch."""
        fetching, self._fetching = self._fetching, None
        if fetching is not None:
            fetching.set_result(None)

    async def _fetch(self, http: aiohttp.ClientSession) -> None:
        began = time.monotonic()
        try:
            keys = jwt_keys.read_key_set(await self._read(http), self._algorithms)
        except (NotFetched, BadKey, aiohttp.ClientError, TimeoutError, OSError) as error:
            self._plan.fetched(succeeded=False, now_seconds=time.monotonic())
            self._tell_of_failure(str(error) or type(error).__name__)
            return
        self._plan.fetched(succeeded=True, now_seconds=time.monotonic())
        if self._keys is None or self._told_at is not None:
            logger.info("keys fetched", keys=len(keys))
        self._keys, self._asked_for_keys_at, self._told_at = keys, began, None

    async def _read(self, http: aiohttp.ClientSession) -> bytes:
        """Read the document. A redirect is not followed: it could lead anywhere, unencrypted."""
        headers = {"accept": "application/jwk-set+json, application/json"}
        headers["accept-encoding"] = "identity"
        async with http.get(self._url, headers=headers, allow_redirects=False) as answer:
            if answer.status != 200:
                raise NotFetched(f"the response was HTTP {answer.status}")
            document = bytearray()
            async for chunk in answer.content.iter_chunked(16_384):
                document += chunk
                if len(document) > MAX_DOCUMENT_BYTES:
                    raise NotFetched(f"the response is larger than {MAX_DOCUMENT_BYTES} bytes")
            return bytes(document)

    def _tell_of_failure(self, reason: str) -> None:
        now = time.monotonic()
        if self._told_at is None or now - self._told_at >= _LOG_SECONDS:
            self._told_at = now
            logger.warning("keys cannot be fetched", reason=reason, serves_old=self.has_fetched)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
