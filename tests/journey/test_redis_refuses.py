"""A Redis that is there and does not do its part: full, hung, or deaf on one connection.

What has been received meanwhile is delivered afterwards, once and in order, and operators see it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.forwarder import forwarder
from tests.journey.conftest import StartGateway
from tests.js_clients import JsClient, JsClients
from tests.processes import Gateway, Valkey
from tests.valkeys import LastingValkey, lasting_valkey
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

Act = Callable[[Redis], Awaitable[object]]


@dataclass
class World:
    """A pod of its own Valkey, a client, and who publishes to it."""

    pod: Gateway
    redis: Redis
    client: JsClient
    published: int = 0
    """Events that Redis has delivered to the pod."""

    async def publish(self, count: int) -> None:
        for _ in range(count):
            event = {"userId": "u", "chatId": f"n{self.published}"}
            # Two, where the pod is just changing from one subscription to the next.
            assert await self.redis.publish("chat:new", json.dumps(event)) >= 1
            self.published += 1

    def numbers(self) -> list[int]:
        return [int(one.payload["chatId"].removeprefix("n")) for one in self.client.received]

    async def has_all(self) -> None:
        """All has arrived, once and in order, on one connection."""
        expected = list(range(self.published))
        await self.client.until(lambda: len(self.numbers()) >= self.published, "all has arrived")
        assert self.numbers() == expected
        assert self.client.disconnects == []

    async def says(self, text: str) -> None:
        await eventually(
            lambda: [line for line in self.pod.lines() if text in line],
            PATIENCE_SECONDS,
            f"a line says {text!r}",
        )


@asynccontextmanager
async def world(
    gateway: StartGateway, js: JsClients, valkey: Valkey | LastingValkey, url: str | None = None
) -> AsyncIterator[World]:
    async with (
        gateway(url or valkey.url) as pod,
        Redis.from_url(valkey.url, socket_timeout=PATIENCE_SECONDS) as redis,
    ):
        auth = {"userId": "u", "recovery": True}
        client = await js.connect(pod.chats_url, user="u", auth=auth)
        one = World(pod, redis, client)
        await one.publish(3)
        await one.has_all()
        yield one


async def _fill(redis: Redis) -> None:
    await redis.config_set("maxmemory", "1")


async def _empty(redis: Redis) -> None:
    await redis.config_set("maxmemory", "0")


async def _follow_nobody(redis: Redis) -> None:
    """A replica that its primary has lost: it is read-only and has all its data."""
    await redis.replicaof("127.0.0.1", "1")


async def _lead(redis: Redis) -> None:
    await redis.replicaof("NO", "ONE")


REFUSALS: dict[str, tuple[Act, Act, str]] = {
    "full": (_fill, _empty, "maxmemory"),
    "read-only": (_follow_nobody, _lead, "read only"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_what_redis_refuses_to_record_is_delivered_once_it_can(
    refusal: str, gateway: StartGateway, js: JsClients, own_valkey: Valkey
) -> None:
    """80 % of the events of such a time were lost, and nothing said so."""
    begin, end, words = REFUSALS[refusal]
    async with world(gateway, js, own_valkey) as one:
        await begin(one.redis)
        try:
            await one.publish(20)
            await one.says(words)
            await one.says("received events cannot be recorded now")
            answer = await one.client.ask("join-chat", {"chatId": "c"})
            assert answer["error"]["code"] == "unavailable"
            checks = (await one.pod.get("/readyz")).json()["checks"]
            (detail,) = [one["detail"] for one in checks if one["name"] == "recording"]
            assert words in detail
            await one.publish(20)
        finally:
            await end(one.redis)
        await one.publish(20)
        await one.has_all()
        assert (await one.client.ask("join-chat", {"chatId": "c"}))["success"]


async def test_a_redis_that_cannot_save_refuses_writes_and_loses_nothing(
    gateway: StartGateway, js: JsClients, tmp_path: Path
) -> None:
    with lasting_valkey(tmp_path / "data") as valkey:
        async with world(gateway, js, valkey) as one:
            await one.redis.config_set("appendonly", "no")
            await one.redis.config_set("save", "3600 1")
            shutil.rmtree(tmp_path / "data")

            async def cannot_save() -> bool:
                with contextlib.suppress(ResponseError):
                    await one.redis.bgsave()
                state = await one.redis.info("persistence")
                return bool(state["rdb_last_bgsave_status"] != "ok")

            await eventually(cannot_save, PATIENCE_SECONDS, "it cannot save")
            await one.publish(20)
            await one.says("MISCONF")
            await one.redis.config_set("stop-writes-on-bgsave-error", "no")
            await one.publish(20)
            await one.has_all()


async def test_a_black_hole_where_appends_should_go_delays_events_and_loses_none(
    gateway: StartGateway, js: JsClients, own_valkey: Valkey
) -> None:
    """The lease was renewed for ever over another connection, and nothing was delivered."""
    async with (
        forwarder(own_valkey.port) as wire,
        world(gateway, js, own_valkey, f"redis://127.0.0.1:{wire.port}/0") as one,
    ):
        wire.held = b"\r\nchat:new\r\n"  # only appends name a channel from now on
        await one.publish(5)
        await one.says("Redis does not answer appends")
        wire.held = b""
        await one.publish(5)
        await one.has_all()


@pytest.mark.parametrize("paused", ["redis", pytest.param("gateway", marks=pytest.mark.long)])
async def test_a_pause_longer_than_any_timeout_delays_events_and_loses_none(
    paused: str, gateway: StartGateway, js: JsClients, own_valkey: Valkey
) -> None:
    """A subscription was given up before what waited in it had been read."""
    seconds = 14
    async with world(gateway, js, own_valkey) as one:
        if paused == "redis":
            await one.redis.client_pause(seconds * 1_000, all=True)
            await one.publish(20)  # which Redis carries out when it goes on
        else:
            os.kill(one.pod.pid, signal.SIGSTOP)
            try:
                await one.publish(20)
                await asyncio.sleep(seconds)
            finally:
                os.kill(one.pod.pid, signal.SIGCONT)
        await one.publish(5)
        await one.has_all()


async def test_what_redis_discards_for_a_slow_subscriber_is_reported(
    gateway: StartGateway, js: JsClients, own_valkey: Valkey
) -> None:
    """Redis counts a receiver, and closes the connection above its limit of unsent bytes."""
    async with world(gateway, js, own_valkey) as one:
        await one.redis.config_set("client-output-buffer-limit", "pubsub 1mb 0 0")
        os.kill(one.pod.pid, signal.SIGSTOP)
        try:
            event = json.dumps({"userId": "u", "chatId": "n", "text": "x" * 50_000})
            while await one.redis.publish("chat:new", event):
                pass  # Redis goes on counting until the buffers between are full as well
        finally:
            os.kill(one.pod.pid, signal.SIGCONT)
        await one.client.until(lambda: len(one.client.recovered) > 1, "it has connected again")
        assert one.client.recovered[-1] is False
        await one.says("in the middle of a message")
