"""What is examined, and how it is asked: each request over a connection of its own by default.

So a balancer may lead every one to another pod.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp

REQUEST_SECONDS = 10.0
"""For a request that is answered at once: longer than a pod tries to reach another one."""
_FAULTS = (aiohttp.ClientError, OSError, TimeoutError)
_GATEWAY_FAULTS = (502, 503, 504)


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment, and the client that looks at it."""

    url: str
    """`http://host:port` or `https://…`, without a path."""
    path: str
    """Where Engine.IO is, such as `/socket.io/`."""
    namespace: str
    user: str
    token: str | None = None
    origin: str | None = None
    """The page that clients are on; None where that is not examined."""
    checks_certificate: bool = True

    @property
    def is_tls(self) -> bool:
        return self.url.startswith("https://")

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (443 if self.is_tls else 80)

    @property
    def auth(self) -> Mapping[str, Any]:
        """What the client sends with its connect packet."""
        token = {} if self.token is None else {"token": self.token}
        return {"userId": self.user, "recovery": True, **token}

    def engine_url(self, transport: str, sid: str = "") -> str:
        """Give the URL of Engine.IO's requests."""
        session = f"&sid={sid}" if sid else ""
        return f"{self.url}{self.path}?EIO=4&transport={transport}{session}"

    def trusting(self) -> Target:
        """Look on, although the certificate is not valid."""
        return replace(self, checks_certificate=False)


def read_target(url: str, path: str, namespace: str, user: str) -> Target:
    """Read the URL of a gateway that has been checked: its own path is left out."""
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    path = f"/{path.strip('/')}/"
    return Target(f"{scheme}://{parts.netloc}", path, namespace, user)


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to one request; status 0 where there was none."""

    status: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    """Why there was no answer."""

    @property
    def code(self) -> str:
        """The stable word of a refusal of the gateway; empty for what is no refusal of it."""
        try:
            said = json.loads(self.text)
            return str(said["data"]["code"])
        except (ValueError, TypeError, KeyError):
            return ""

    @property
    def is_from_proxy(self) -> bool:
        """Whether a proxy found nobody behind it who would answer."""
        return self.status in _GATEWAY_FAULTS and not self.code

    def __str__(self) -> str:
        """Say in some words what came."""
        if self.fault:
            return self.fault
        return f"HTTP {self.status} {self.code}".rstrip()


class Http:
    """Requests to a target."""

    def __init__(self, session: aiohttp.ClientSession, target: Target) -> None:
        self.session = session
        self.target = target

    async def ask(
        self,
        url: str,
        *,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = REQUEST_SECONDS,
    ) -> Response:
        """GET, or POST a body; a fault is an answer too."""
        try:
            async with self.session.request(
                "GET" if body is None else "POST",
                url,
                data=None if body is None else body.encode(),
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as response:
                text = await response.text(errors="replace")
                return Response(response.status, text, dict(response.headers))
        except _FAULTS as error:
            return Response(0, fault=words_of(error))

    async def poll(self, sid: str, seconds: float = REQUEST_SECONDS) -> Response:
        """GET what waits for a session."""
        return await self.ask(self.target.engine_url("polling", sid), seconds=seconds)

    async def post(self, sid: str, packet: str) -> Response:
        """POST a packet of a session."""
        return await self.ask(self.target.engine_url("polling", sid), body=packet)

    async def handshake(self, headers: Mapping[str, str] | None = None) -> Response:
        """Open a session by polling."""
        return await self.ask(self.target.engine_url("polling"), headers=headers)

    def websocket(self, sid: str = "", **options: Any) -> Any:
        """Begin to open a WebSocket: an async context manager, as aiohttp has it."""
        return self.session.ws_connect(
            self.target.engine_url("websocket", sid), max_msg_size=0, **options
        )


@asynccontextmanager
async def connected(target: Target, *, keeps_alive: bool = False) -> AsyncIterator[Http]:
    """Hold what sends requests; each has a connection of its own unless `keeps_alive`."""
    connector = aiohttp.TCPConnector(
        limit=0, force_close=not keeps_alive, ssl=target.checks_certificate
    )
    # A cookie would make a sticky balancer lead all requests to one pod.
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session:
        yield Http(session, target)


def words_of(error: BaseException) -> str:
    """Say why there was no answer, without the address, which is known."""
    seen: BaseException | None = error
    while seen is not None:
        match seen:
            case ssl.SSLCertVerificationError():
                return f"its certificate is refused: {seen.verify_message}"
            case ssl.SSLError():
                return (
                    f"the TLS handshake failed: {getattr(seen, 'reason', '') or 'no reason given'}"
                )
            case socket.gaierror():
                return f"the name is not known: {(seen.strerror or str(seen)).lower()}"
            case OSError() if seen.errno is not None and seen.errno > 0:
                return os.strerror(seen.errno).lower()
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error).lower() or type(error).__name__
