"""The publishers and the Python client that the pages print, run as they are printed."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.cli.publish import doubt_of
from constellation_ws.interface import table
from constellation_ws.wiring.interface import compile_routes
from tests.documentation.pages import blocks_of
from tests.journey.conftest import Pods
from tests.journey.publishing import Publisher
from tests.migration import PACKAGES
from tests.processes import HOST, Valkey, node_executable, running_valkey
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")

_END = "\nredis.disconnect()\n"


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    """A Valkey without a gateway."""
    with running_valkey() as valkey:
        yield valkey


async def run(folder: Path, valkey: Valkey, language: str, text: str) -> None:
    """Run a program to its end, with the Redis of the tests."""
    name = {"js": "publish.mjs", "python": "publish.py"}[language]
    folder.joinpath(name).write_text(text, "utf-8")
    if language == "js":
        folder.joinpath("node_modules").symlink_to(PACKAGES / "node_modules")
    program = node_executable() if language == "js" else sys.executable
    process = await asyncio.create_subprocess_exec(
        *(program, name), cwd=folder, env=os.environ | {"REDIS_URL": valkey.url}, stderr=PIPE
    )
    _, faults = await process.communicate()
    assert process.returncode == 0, faults.decode()


@asynccontextmanager
async def subscribed(redis: Redis) -> AsyncIterator[list[tuple[str, bytes]]]:
    """What is published meanwhile on the channels of the table."""
    seen: list[tuple[str, bytes]] = []
    async with redis.pubsub() as pubsub:
        await pubsub.psubscribe("chat:*", "user:*")
        await pubsub.get_message(timeout=PATIENCE_SECONDS)
        yield seen
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    seen.append((message["channel"].decode(), message["data"]))
                    break


@pytest.mark.parametrize(
    ("page", "language", "event"),
    [
        ("README.md", "python", "chat:newMessage"),
        ("docs/publish.md", "python", "user:status"),
        ("docs/publish.md", "js", "chat:newMessage"),
    ],
)
async def test_what_a_printed_publisher_sends_is_an_event_of_the_table(
    page: str, language: str, event: str, own_valkey: Valkey, tmp_path: Path
) -> None:
    text = "\n".join(blocks_of(page, language)) + (_END if language == "js" else "")
    async with Redis.from_url(own_valkey.url) as redis:
        async with subscribed(redis) as seen:
            await run(tmp_path, own_valkey, language, text)
        entries: Any = await redis.xrange("constellation:events")
        await redis.delete("constellation:events")
    ((channel, payload),) = seen
    assert channel == event
    sent = [(channel, payload)] + [(one[b"channel"].decode(), one[b"data"]) for _, one in entries]
    assert len(sent) == len(blocks_of(page, language))
    routes = compile_routes(table.load())
    assert [doubt_of(routes, name, data, 1_000_000) for name, data in sent] == [None] * len(sent)


async def test_the_commands_of_the_presence_page_are_those_of_redis(own_valkey: Valkey) -> None:
    (block,) = blocks_of("docs/presence.md", "redis")
    async with Redis.from_url(own_valkey.url) as redis:
        for line in block.splitlines():
            command = line.partition(" #")[0].replace("BLOCK 5000", "BLOCK 1")
            await redis.execute_command(*command.replace("<id>", "1-0").split())


async def test_the_printed_python_client_joins_and_receives(
    pods: Pods, publish: Publisher, tmp_path: Path
) -> None:
    (block,) = blocks_of("docs/clients/python.md", "python")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", block),
        env=os.environ | {"GATEWAY_URL": f"http://{HOST}:{pods.a.ws_port}"},
        stdout=PIPE,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            assert await process.stdout.readline() == b"c-1 joined\n"
            await publish("chat:newMessage", {"chatId": "c-1", "recipientId": "-", "text": "Hi"})
            assert await process.stdout.readline() == b"Hi\n"
    finally:
        process.kill()
        await process.wait()
