"""Three of five pods receive what is published; the others miss nothing, whichever pods die."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.journey.conftest import StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import JsClient, JsClients
from tests.nest_client import nest_client
from tests.processes import Gateway, Valkey
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

PODS, LISTENERS = 5, 3
CHANNEL, VOLATILE = "chat:new", "place:moved"
QUICK: dict[str, Any] = {"reconnectionDelay": 100, "reconnectionDelayMax": 300}
TABLE = f"""
[[route]]
channel = "{VOLATILE}"
event = "moved"
keys = ["at"]
to = ["user:{{userId}}"]
volatile = true
"""


@pytest_asyncio.fixture(loop_scope="session")
async def redis(own_valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(own_valkey.url) as redis:
        yield redis


@pytest_asyncio.fixture(loop_scope="session")
async def five(
    own_valkey: Valkey, redis: Redis, gateway: StartGateway, tmp_path: Path
) -> AsyncIterator[list[Gateway]]:
    """As many pods, once as many of them listen as should."""
    routes = tmp_path / "routes.toml"
    routes.write_text(TABLE)
    async with AsyncExitStack() as held:
        starts = [
            gateway(own_valkey.url, CONSTELLATION_ROUTES_FILE=routes, CONSTELLATION_CONSOLE="off")
            for _ in range(PODS)
        ]
        pods = [await held.enter_async_context(start) for start in starts]
        await few_listen(redis)
        yield pods


async def subscribers(redis: Redis, channel: str) -> int:
    ((_, count),) = await redis.pubsub_numsub(channel)
    return int(count)


async def few_listen(redis: Redis, count: int = LISTENERS) -> None:
    async def is_so() -> bool:
        return await subscribers(redis, CHANNEL) == count

    await eventually(is_so, PATIENCE_SECONDS, f"{count} pods listen")


async def listeners(pods: Sequence[Gateway]) -> list[Gateway]:
    return [pod for pod in pods if await pod.metric("constellation_listener")]


@asynccontextmanager
async def publishing(redis: Redis, *users: str) -> AsyncIterator[list[int]]:
    """Publish numbers to users all the time; give those that a pod has received."""
    sent: list[int] = []

    async def publish() -> None:
        for number in itertools.count():
            for user in users:
                event = json.dumps({"userId": user, "chatId": number})
                await eventually(partial(redis.publish, CHANNEL, event), PATIENCE_SECONDS, "heard")
            sent.append(number)
            await asyncio.sleep(0.005)

    task = asyncio.create_task(publish())
    try:
        yield sent
    finally:
        await cancelled([task])


async def clients_of(pods: Sequence[Gateway], js: JsClients, mine: str) -> list[JsClient]:
    return [
        await js.connect(
            pod.chats_url,
            user=f"{place}{mine}",
            auth={"userId": f"{place}{mine}", "recovery": True},
            **QUICK,
        )
        for place, pod in enumerate(pods)
    ]


def numbers(client: JsClient) -> list[int]:
    return [one.payload["chatId"] for one in client.received if one.event == "new-chat"]


async def has_numbers(client: JsClient, count: int) -> None:
    await client.until(lambda: len(numbers(client)) >= count, f"{count} have arrived")


def has_moved(client: JsClient) -> bool:
    return client.received[-1].event == "moved"


def has_new_session(client: JsClient) -> bool:
    return client.recovered == [False, False]


async def test_three_listen_and_all_get_everything(
    five: list[Gateway], redis: Redis, js: JsClients, mine: str
) -> None:
    assert len(await listeners(five)) == LISTENERS
    clients = await clients_of(five, js, mine)
    users = [str(client.user) for client in clients]
    publish = Publisher(redis)
    for number in range(20):
        for user in users:
            await publish(CHANNEL, {"userId": user, "chatId": number})
    for client in clients:
        await has_numbers(client, 20)
        assert numbers(client) == list(range(20))
    assert await subscribers(redis, VOLATILE) == PODS
    for client in clients:
        await publish(VOLATILE, {"userId": client.user, "at": 1})
        await client.until(partial(has_moved, client), "live")


async def test_commands_replies_and_acks_cross_all_pods(
    five: list[Gateway], js: JsClients, mine: str
) -> None:
    user = f"ann{mine}"
    clients = [
        await js.connect(pod.chats_url, user=user, acks={"question": ["yes"]}, reconnection=False)
        for pod in five
    ]
    for pod in five:
        async with nest_client(pod.tcp_port) as nest:
            asked = {"userId": user, "event": "question", "ack": {"timeout_ms": 4_000}}
            answer = await nest.ask("sendToUser", asked)
            assert {ack["sid"] for ack in answer["acks"]} == {client.id for client in clients}
            assert answer["complete"]
    async with nest_client(five[0].tcp_port) as nest:
        assert await nest.ask("disconnectUser", {"userId": user}) == {"disconnected": PODS}


async def test_when_all_listeners_are_killed_those_who_are_connected_learn_of_it(
    five: list[Gateway], redis: Redis, js: JsClients, mine: str
) -> None:
    killed = await listeners(five)
    left = [pod for pod in five if pod not in killed]
    clients = await clients_of(left, js, mine)
    async with publishing(redis, *(str(client.user) for client in clients)) as sent:
        await eventually(lambda: len(sent) > 20, PATIENCE_SECONDS, "events flow")
        await asyncio.gather(*(pod.kill() for pod in killed))
        assert await subscribers(redis, CHANNEL) == 0, "publishers see that nobody listens"
        await few_listen(redis, len(left))
        for client in clients:
            await client.until(partial(has_new_session, client), "told")
        before = [len(numbers(client)) for client in clients]
        for client, seen in zip(clients, before, strict=True):
            await has_numbers(client, seen + 20)
    reasons = [line["reason"] for pod in left for line in pod.log("gap in the log")]
    assert reasons == ["listener_died"] * len(left)


async def test_listeners_that_are_stopped_together_cost_nobody_an_event(
    five: list[Gateway], redis: Redis, js: JsClients, mine: str
) -> None:
    stopped = await listeners(five)
    left = [pod for pod in five if pod not in stopped]
    clients = await clients_of(left, js, mine)
    async with publishing(redis, *(str(client.user) for client in clients)) as sent:
        await eventually(lambda: len(sent) > 20, PATIENCE_SECONDS, "events flow")
        assert await asyncio.gather(*(pod.terminate() for pod in stopped)) == [0] * LISTENERS
        await few_listen(redis, len(left))
        before = len(sent)
        await eventually(lambda: len(sent) > before + 20, PATIENCE_SECONDS, "events flow")
    for client in clients:
        await has_numbers(client, len(sent))
        assert numbers(client)[: len(sent)] == sent
        assert client.connects == 1
    assert [line for pod in left for line in pod.log("gap in the log")] == []
