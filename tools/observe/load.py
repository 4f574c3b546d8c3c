"""The demo load: chats in which people write, read and type, a NestJS service that asks, trouble.

Everything that a dashboard shows happens here, a few dozen times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Tracer
from redis.asyncio import Redis
from redis.exceptions import RedisError

from constellation_ws.cli.local import LocalEndpoint
from tools.observe.clients import Client, PollingClient, RoamingClient, Where, knock, sleep_on

_CHATS, _USERS_OF_CHAT = 8, 5
_UNUSUAL, _KINDS = 4, {0: PollingClient, 1: RoamingClient}
"""In how many chats some users are others than clients on a WebSocket, and which."""
_STEP_SECONDS = 0.25
_BURST_EVENTS = 5
_SLEEPY = "sleepy"
_ALBUM = "x" * 100_000
"""Too much for who does not read."""
_ALBUMS_PER_STEP = 2
_PATTERNS = ("ping", "isUserOnline", "getOnlineUsers")

Event = tuple[str, dict[str, Any]]


async def run(redis_url: str, traces_url: str, places: Callable[[], list[LocalEndpoint]]) -> None:
    """Go on for ever; who is cancelled takes all of it along."""

    def where() -> LocalEndpoint | None:
        found = places()
        return random.choice(found) if found else None

    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as all_of_it:
        for chat, user in itertools.product(range(_CHATS), range(_USERS_OF_CHAT)):
            kind = _KINDS.get(user, Client) if chat < _UNUSUAL else Client
            client = kind(http, f"u-{chat}-{user}", f"c-{chat}", where)
            all_of_it.create_task(client.run())
        all_of_it.create_task(sleep_on(_SLEEPY, where))
        all_of_it.create_task(knock(http, where))
        all_of_it.create_task(_ask(where))
        all_of_it.create_task(_publish(redis_url, traces_url))


async def _publish(redis_url: str, traces_url: str) -> None:
    exporter = OTLPSpanExporter(endpoint=f"{traces_url}/v1/traces")
    provider = TracerProvider(
        resource=Resource.create({"service.name": "demo-api"}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    tracer = provider.get_tracer("demo")
    try:
        async with Redis.from_url(redis_url) as redis:
            for step in itertools.count():
                async with redis.pipeline(transaction=False) as pipeline:
                    for channel, payload in _events(step):
                        pipeline.publish(channel, _traced(tracer, channel, payload))
                    with contextlib.suppress(RedisError):
                        await pipeline.execute()
                await asyncio.sleep(_STEP_SECONDS)
    finally:
        # It waits for its thread, which may wait for a receiver on this very loop.
        await asyncio.to_thread(provider.shutdown)


def _events(step: int) -> Iterator[Event]:
    """Give what happens in one step: a burst in one chat, and something in the others."""
    now_ms = int(time.time() * 1_000)
    for number in range(_BURST_EVENTS):
        yield _message(step % _CHATS, f"m-{step}-{number}", now_ms)
    for chat in random.sample(range(_CHATS), 3):
        people = [f"u-{chat}-{user}" for user in range(_USERS_OF_CHAT)]
        one, other = random.sample(people, 2)
        typing = {"chatId": f"c-{chat}", "userId": one, "isTyping": True, "participants": people}
        yield "chat:typing", typing
        read = {"chatId": f"c-{chat}", "userId": one, "messageIds": ["m-1"], "timestamp": now_ms}
        yield "chat:messageRead", read
        status = {"userId": one, "status": "online", "notifyUsers": [other], "timestamp": now_ms}
        yield "user:status", status
    for number in range(_ALBUMS_PER_STEP):
        album = {"recipientId": _SLEEPY, "chatId": "c-albums", "text": _ALBUM}
        yield "chat:newMessage", album | {"messageId": f"a-{step}-{number}", "timestamp": now_ms}


def _message(chat: int, message: str, now_ms: int) -> Event:
    sender, recipient = (f"u-{chat}-{user}" for user in random.sample(range(_USERS_OF_CHAT), 2))
    who = {"chatId": f"c-{chat}", "senderId": sender, "recipientId": recipient}
    return "chat:newMessage", who | {"messageId": message, "text": "Hello", "timestamp": now_ms}


def _traced(tracer: Tracer, channel: str, payload: dict[str, Any]) -> str:
    """Publish as docs/tracing.md tells publishers to."""
    attributes = {
        "messaging.system": "redis",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": channel,
    }
    with tracer.start_as_current_span(
        f"publish {channel}", kind=SpanKind.PRODUCER, attributes=attributes
    ):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
    return json.dumps({**payload, **carrier})


async def _ask(where: Where) -> None:
    """Be a NestJS service that wants to know who is online."""
    for number in itertools.count():
        place = where()
        if place is not None:
            with contextlib.suppress(OSError, EOFError):
                await _ask_all(place, number)
        await asyncio.sleep(_STEP_SECONDS)


async def _ask_all(place: LocalEndpoint, number: int) -> None:
    reader, writer = await asyncio.open_connection(place.host, place.tcp_port)
    try:
        for pattern in _PATTERNS:
            packet = {"pattern": pattern, "data": {"userId": "u-1-1"}, "id": str(number)}
            text = json.dumps(packet)
            writer.write(f"{len(text)}#{text}".encode())
            await reader.readuntil(b"#")
    finally:
        writer.close()
        await writer.wait_closed()
