"""An issuer of tokens that publishes its keys over HTTP, and may be told to misbehave.

Lives here: a real server on this machine. What it signs is made in `tokens`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.processes import HOST
from tests.tokens import KeyPair, claims_of, key_pair


class Issuer:
    """Keys by their names, and what is answered to who asks for them."""

    def __init__(self) -> None:
        self.keys: dict[str, KeyPair] = {}
        self.requests = 0
        self.answer: web.Response | None = None
        """Given instead of the keys, where it is set."""
        self.port = 0
        self._may_answer = asyncio.Event()
        self._may_answer.set()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/keys"

    def rotate(self, kid: str, algorithm: str = "RS256") -> None:
        """Sign with a new key from now on; those that were there stay published."""
        self.keys[kid] = key_pair(algorithm, kid)

    def replace(self, kid: str, name: str) -> None:
        """Sign and publish with another key under the same name from now on."""
        self.keys[kid] = key_pair(self.keys[kid].algorithm, name)

    def token_of(self, user: object, **claims: Any) -> str:
        """A good token, signed with the newest key."""
        kid, pair = list(self.keys.items())[-1]
        return pair.sign(claims_of(user, **claims), kid=kid)

    def document(self) -> dict[str, Any]:
        return {"keys": [pair.jwk(kid=kid, use="sig") for kid, pair in self.keys.items()]}

    async def respond(self, request: web.Request) -> web.Response:
        self.requests += 1
        document = self.document()
        await self._may_answer.wait()
        if self.answer is None:
            return web.json_response(document)
        return web.Response(
            body=self.answer.body, status=self.answer.status, headers=self.answer.headers
        )

    def fall_ill(self, status: int = 503, body: bytes = b"", **headers: str) -> None:
        """Answer this from now on."""
        self.answer = web.Response(status=status, body=body, headers=headers)

    def hold(self) -> None:
        """Let who asks wait."""
        self._may_answer.clear()

    def let_go(self) -> None:
        """Answer those who wait, with the keys of when they asked."""
        self._may_answer.set()

    def recover(self) -> None:
        self.answer = None


@asynccontextmanager
async def running_issuer() -> AsyncIterator[Issuer]:
    """A started issuer without keys."""
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/keys", issuer.respond)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    issuer.port = runner.addresses[0][1]
    try:
        yield issuer
    finally:
        await runner.cleanup()
