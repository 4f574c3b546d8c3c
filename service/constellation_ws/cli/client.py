"""A Socket.IO client of a gateway, as `listen` and the demo use it: python-socketio over WebSocket.

It reconnects and rejoins by itself. What comes is put into a queue; nothing is printed here.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import socketio

from constellation_ws.messages.events import NAMESPACE, ChatId, UserId

CONNECT_SECONDS = 10.0
_RECONNECT_SECONDS = 0.5
_MAX_RECONNECT_SECONDS = 5.0
_SCHEMES = ("http", "https", "ws", "wss")
# What python-socketio raises when the other side speaks, but not Engine.IO.
_NOT_ENGINE_IO = (ValueError, TypeError, KeyError, AttributeError)


class InvalidUrl(ValueError):
    """No gateway can be at that address; `str()` is a sentence."""


class CannotConnect(ConnectionError):
    """The gateway is not there or refuses; `str()` is a sentence with its code."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One event that a user's client got."""

    user: UserId
    event: str
    arguments: tuple[Any, ...]
    """All that came with it: of an event of the route table its payload, and the offset where the
    gateway sends one. Binary data are `bytes`, at any depth."""
    at: datetime
    monotonic_seconds: float


@dataclass(frozen=True, slots=True)
class Note:
    """What became of a connection; `str()` describes it."""

    text: str

    def __str__(self) -> str:
        return self.text


News = Heard | Note | CannotConnect
"""CannotConnect is the last that comes: the client will not try again."""


def check_url(url: str) -> str:
    """Give back the URL of a gateway. Raises InvalidUrl."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise InvalidUrl(f"{url} is not the URL of a gateway, such as http://localhost:7000.")
    return url


@asynccontextmanager
async def connected(
    url: str,
    user: UserId,
    chats: Sequence[ChatId],
    news: asyncio.Queue[News],
    token: str | None = None,
) -> AsyncIterator[None]:
    """Hold a client that has connected to a checked URL and joined the chats.

    The token is for a gateway that requires one.

    Raises CannotConnect where the gateway is not there or refuses either.
    """
    async with aiohttp.ClientSession() as http:
        auth: dict[str, str] = {"userId": user}
        if token is not None:
            auth["token"] = token
        client = _Client(http, user, auth, chats, news)
        try:
            await client.connect(url)
            yield
        finally:
            await client.close()


class _Client:
    """python-socketio's client and what is expected of it now."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        user: UserId,
        auth: dict[str, str],
        chats: Sequence[ChatId],
        news: asyncio.Queue[News],
    ) -> None:
        self._user, self._auth, self._chats, self._news = user, auth, chats, news
        self._refusal: CannotConnect | None = None
        self._joining: set[ChatId] = set()
        self._joined = asyncio.Event()
        self._io = socketio.AsyncClient(
            http_session=http,
            handle_sigint=False,
            reconnection_delay=_RECONNECT_SECONDS,
            reconnection_delay_max=_MAX_RECONNECT_SECONDS,
        )
        for event, handler in (
            ("connect", self._join),
            ("connect_error", self._refuse),
            ("disconnect", self._lose),
            ("*", self._hear),
        ):
            self._io.on(event, handler, namespace=NAMESPACE)

    async def connect(self, url: str) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._io.connect(
                    url,
                    auth=self._auth,
                    transports=["websocket"],
                    namespaces=[NAMESPACE],
                    wait_timeout=CONNECT_SECONDS,
                )
                await self._joined.wait()
        except TimeoutError as error:
            reason = f"no answer within {CONNECT_SECONDS:g} s"
            raise CannotConnect(f"Cannot connect to {url}: {reason}.") from error
        except socketio.exceptions.ConnectionError as error:
            raise self._refusal or CannotConnect(
                f"Cannot connect to {url}: {_reason(error)}."
            ) from error
        except _NOT_ENGINE_IO as error:
            raise CannotConnect(f"Cannot connect to {url}: no Socket.IO server there.") from error
        if self._refusal is not None:
            raise self._refusal

    async def close(self) -> None:
        await self._io.shutdown()

    async def _join(self) -> None:
        self._joining = set(self._chats)
        for chat in self._chats:
            await self._io.emit(
                "join-chat",
                {"chatId": chat},
                namespace=NAMESPACE,
                callback=lambda answer, chat=chat: self._check_joined(chat, answer),
            )
        self._check_all_joined()

    def _check_joined(self, chat: ChatId, answer: Any) -> None:
        if answer["success"]:
            self._joining.discard(chat)
            self._check_all_joined()
        else:
            error = answer["error"]
            self._end(f"Cannot join chat {chat}: {error['code']}: {error['message']}")

    def _check_all_joined(self) -> None:
        if self._joining:
            return
        chats = "".join(f", in chat {chat}" for chat in self._chats)
        self._news.put_nowait(Note(f"connected as {self._user}{chats}"))
        self._joined.set()

    def _refuse(self, error: Any = None) -> None:
        """Hear why: a dictionary from the gateway, a text where there is no gateway."""
        if not isinstance(error, dict):
            return
        code = (error.get("data") or {}).get("code", "refused")
        self._end(f"The gateway refused user {self._user}: {code}: {error.get('message')}")

    def _lose(self, reason: str) -> None:
        if reason == self._io.reason.CLIENT_DISCONNECT:
            return
        if reason == self._io.reason.SERVER_DISCONNECT:
            self._end(f"The gateway disconnected user {self._user} permanently.")
        else:
            self._news.put_nowait(Note(f"connection lost ({reason}), reconnecting"))

    def _end(self, sentence: str) -> None:
        self._refusal = CannotConnect(sentence)
        self._news.put_nowait(self._refusal)
        self._joined.set()

    def _hear(self, event: str, *arguments: Any) -> None:
        now = datetime.now(UTC)
        self._news.put_nowait(Heard(self._user, event, arguments, now, time.monotonic()))


def _reason(error: BaseException) -> str:
    """Find the cause that python-socketio leaves out of its own words."""
    for cause in _causes(error):
        match cause:
            case aiohttp.ClientConnectorError():
                return _words_of(cause.os_error)
            case aiohttp.WSServerHandshakeError(status=503):
                return "it accepts no connections at the moment (HTTP 503)"
            case aiohttp.WSServerHandshakeError():
                return f"no Socket.IO server there (HTTP {cause.status})"
    return str(error)


def _words_of(error: OSError) -> str:
    """Leave out the address, which asyncio puts into its errors: the message has it already."""
    is_lookup = isinstance(error, socket.gaierror)
    words = error.strerror if is_lookup or error.errno is None else os.strerror(error.errno)
    return (words or str(error)).lower()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
