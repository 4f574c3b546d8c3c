"""The demo: a gateway, its Valkey, and two users who share a chat in which something happens.

What is shown are real deliveries: events go to Redis as the API publishes them, and come back
through two ordinary Socket.IO clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from constellation_ws.cli import local
from constellation_ws.cli.client import CannotConnect, Heard, News, Note, connected
from constellation_ws.cli.listen import printable, to_text
from constellation_ws.messages.events import ChatId, UserId
from constellation_ws.settings.settings import Settings

ALICE, BOB, CHAT = UserId("alice"), UserId("bob"), ChatId("c-1")
_TICK_SECONDS = 1.0
_FIRST_SECONDS = 5.0
_WIDTH = 44


@dataclass(frozen=True, slots=True)
class Scene:
    """One event of the story: what is published."""

    channel: str
    payload: Mapping[str, Any]

    def is_source_of(self, heard: Heard) -> bool:
        """Return whether a delivery holds this event's values and no others."""
        match heard.arguments:
            case (dict(data), *_):
                return all(
                    key in self.payload and self.payload[key] == value
                    for key, value in data.items()
                )
        return False


def story(number: int, now_ms: int) -> Scene:
    """Describe the scene of that number: a message, somebody typing, the message read, a status."""
    told, scene = divmod(number, 4)
    message = f"m-{told + 1}"
    match scene:
        case 0:
            people = {"senderId": ALICE, "recipientId": BOB}
            text = {"messageId": message, "text": f"Hello Bob, this is message {told + 1}"}
            payload = {"chatId": CHAT} | text | people | {"timestamp": now_ms}
            return Scene("chat:newMessage", payload)
        case 1:
            who = {"userId": BOB, "isTyping": True, "participants": [ALICE, BOB]}
            return Scene("chat:typing", {"chatId": CHAT} | who)
        case 2:
            read = {"userId": ALICE, "messageIds": [message], "timestamp": now_ms}
            return Scene("chat:messageRead", {"chatId": CHAT} | read)
        case _:
            status = "online" if told % 2 == 0 else "away"
            who = {"userId": BOB, "status": status, "notifyUsers": [ALICE], "timestamp": now_ms}
            return Scene("user:status", who)


def describe(heard: Heard) -> str:
    """Say what happened in a few words; an event that is not of the story is shown as it is."""
    payload, *others = heard.arguments or (None,)
    match heard.event, payload:
        case "new-message", {"senderId": sender, "text": text}:
            said = f"{sender}: {text}"
        case "user-typing", {"userId": user, "isTyping": is_typing}:
            said = f"{user} {'is typing' if is_typing else 'has stopped typing'}"
        case "message-read", {"messageIds": list(messages)}:
            said = f"{', '.join(map(str, messages))} was read"
        case "user-status", {"userId": user, "status": status}:
            said = f"{user} is {status}"
        case _:
            said, others = to_text(heard.arguments), []
    said = printable(f"{said} {to_text(others)}".rstrip())
    return said if len(said) <= _WIDTH else f"{said[: _WIDTH - 3]}..."


def to_line(heard: Heard, taken_ms: float | None) -> str:
    """Write a delivery as a line of the table."""
    taken = "" if taken_ms is None else f"{taken_ms:8.1f}"
    said = f"{describe(heard):<{_WIDTH}}"
    who = f"{heard.at.astimezone():%H:%M:%S}  {heard.user:<6} {printable(heard.event):<13}"
    return f"{who} {said}{taken}".rstrip()


def run(values: Settings) -> int:
    """Show it until Ctrl-C; give the exit code. Raises local.CannotStart, CannotConnect."""
    print("Constellation WS demo: starting a Valkey and a gateway", flush=True)
    with local.place(values, {"CONSTELLATION_LOG_LEVEL": "warning"}) as where:
        return asyncio.run(_run(where))


async def _run(where: local.LocalEndpoint) -> int:
    with local.stop_signals() as stop:
        async with local.gateway(where) as process:
            if not await local.ready(process, where, stop):
                return 0 if stop.is_set() else 1  # the gateway has said why
            print(f"\n{local.how_to_join(where)}\nPress Ctrl-C to stop.\n", flush=True)
            async with _users(where) as news, Redis.from_url(where.redis_url) as redis:
                await recorded(redis, news)
                for number in itertools.count():
                    await _play(story(number, int(time.time() * 1_000)), redis, news)
                    if stop.is_set() or process.returncode is not None:
                        break
            print(f"\n{_last_line(process.returncode)}", flush=True)
            return 0 if process.returncode is None else 1


def _last_line(code: int | None) -> str:
    return "Stopping" if code is None else f"The gateway exited with code {code}."


@contextlib.asynccontextmanager
async def _users(where: local.LocalEndpoint) -> AsyncIterator[asyncio.Queue[News]]:
    news: asyncio.Queue[News] = asyncio.Queue()
    async with (
        connected(where.url, ALICE, [CHAT], news),
        connected(where.url, BOB, [CHAT], news),
    ):
        while not news.empty():
            print(news.get_nowait(), flush=True)
        print(f"\n{'time':<8}  {'to':<6} {'event':<13} {'what':<{_WIDTH}}{'ms':>8}", flush=True)
        yield news


async def recorded(redis: Redis, news: asyncio.Queue[News]) -> None:
    """Wait until an event has arrived: a gateway begins to record some tenths of a second after it
    is ready, and the first line that people see would show this and not what a delivery takes.
    """
    payload = {"userId": BOB, "status": "here", "notifyUsers": [ALICE]}
    with contextlib.suppress(RedisError, TimeoutError):
        await redis.publish("user:status", json.dumps(payload))
        async with asyncio.timeout(_FIRST_SECONDS):
            while not isinstance(await news.get(), Heard):
                pass


async def _play(scene: Scene, redis: Redis, news: asyncio.Queue[News]) -> None:
    """Publish a scene and print what is delivered, for the length of a tick."""
    started = time.monotonic()
    try:
        await redis.publish(scene.channel, json.dumps(scene.payload))
    except RedisError as error:
        print(f"Redis did not accept the event: {error}", flush=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_TICK_SECONDS):
            while True:
                print(_tell(await news.get(), scene, started), flush=True)


def _tell(news: News, scene: Scene, started: float) -> str:
    match news:
        case Heard():
            is_ours = scene.is_source_of(news)
            taken_ms = (news.monotonic_seconds - started) * 1_000
            return to_line(news, taken_ms if is_ours else None)
        case Note() | CannotConnect():
            return str(news)
