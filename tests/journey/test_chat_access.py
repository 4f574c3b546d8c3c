"""Who may join a chat, where the API says it: over HTTP, and as a NestJS app, with two pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.chat_api import ChatApi, http_chat_api, nest_chat_api
from tests.journey.conftest import Pods, StartGateway
from tests.journey.publishing import Publisher
from tests.journey.raw_clients import passed, raw, say_in
from tests.js_clients import JsClient, JsClients
from tests.nest_client import nest_client
from tests.processes import Gateway, Valkey, running_valkey, unused_port
from tests.tokens import SECRET, token_of
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROUTES = """
[[route]]
channel = "chat:memberRemoved"
event = "member-removed"
keys = ["chatId"]
to = ["user:{userId}"]
removes = { who = "user:{userId}", from = "chat:{chatId}" }
"""
ENDS = ["chat:deleted", "leaveRoom", "chat:memberRemoved"]
BROKEN = ["throwing", "huge", "strange"]


@dataclass(frozen=True)
class World:
    """An API, two pods that ask it, and a publisher."""

    api: ChatApi
    pods: Pods
    publish: Publisher

    async def end(self, how: str, user: str, chat: str) -> None:
        """End a membership: in the API first, then by an event of some kind."""
        await self.api.set_chats()
        if how == "leaveRoom":
            async with nest_client(self.pods.a.tcp_port) as nest:
                await nest.ask("leaveRoom", {"userId": user, "roomName": f"chat:{chat}"})
        else:
            await self.publish(how, {"chatId": chat, "userId": user, "participants": [user]})


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    with running_valkey() as valkey:
        yield valkey


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with an event that ends a membership."""
    file = tmp_path_factory.mktemp("routes") / "routes.toml"
    file.write_text(ROUTES)
    return file


def chat_api(kind: str, port: int) -> AbstractAsyncContextManager[ChatApi]:
    return http_chat_api(port) if kind == "http" else nest_chat_api(12, port)


@asynccontextmanager
async def world(
    kind: str, redis_url: str, gateway: StartGateway, routes: Path, **settings: object
) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(chat_api(kind, unused_port()))
        settings = {**api.settings, "CONSTELLATION_ROUTES_FILE": routes, **settings}
        a = await stack.enter_async_context(gateway(redis_url, **settings))
        b = await stack.enter_async_context(gateway(redis_url, **settings))
        redis = await stack.enter_async_context(Redis.from_url(redis_url))
        yield World(api, Pods(a, b), Publisher(redis))
        for pod in (a, b):
            assert await pod.terminate() == 0
            assert pod.stray_lines() == []
            assert "Traceback" not in pod.log_path.read_text()


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["http", "nest"])
async def asking(
    request: pytest.FixtureRequest,
    own_valkey: Valkey,
    gateway: StartGateway,
    routes: Path,
) -> AsyncIterator[World]:
    async with world(request.param, own_valkey.url, gateway, routes) as one:
        yield one


async def code(client: JsClient, chat: object) -> str:
    """The code with which a join is refused; `ok` where it is not."""
    ack = await client.ask("join-chat", {"chatId": chat})
    return "ok" if ack["success"] else str(ack["error"]["code"])


async def joins(pod: Gateway, outcome: str) -> float:
    return await pod.metric(
        "constellation_client_requests_total", event="join-chat", outcome=outcome
    )


async def test_a_chat_is_for_those_of_whom_the_api_says_so(
    asking: World, js: JsClients, mine: str
) -> None:
    bob, eve, chat = f"bob{mine}", f"eve{mine}", f"c{mine}"
    await asking.api.set_chats(**{chat: [bob, 17]})
    clients = [
        await js.connect(pod.chats_url, user=user)
        for pod, user in zip(asking.pods, (bob, eve), strict=True)
    ]
    refused = await joins(asking.pods.b, "forbidden")

    assert [await code(client, chat) for client in clients] == ["ok", "forbidden"]

    await say_in(asking.publish, chat, 1)
    heard = await asking.publish.heard_by(*clients)
    assert [len(events) for events in heard] == [1, 0]
    assert await joins(asking.pods.b, "forbidden") == refused + 1


@pytest.mark.parametrize("chat", ["__proto__", "constructor", "c", "chat:c", "../c", "%2e", "*", 0])
async def test_names_that_mean_something_elsewhere_open_no_door(
    chat: object, asking: World, js: JsClients, mine: str
) -> None:
    await asking.api.set_chats(**{f"c{mine}": ["bob"]})
    for user in ("__proto__", "toString"):
        client = await js.connect(asking.pods.a.chats_url, user=user)
        assert await code(client, chat) == "forbidden"
        assert await code(client, f"c{mine}") == "forbidden"


@pytest.mark.parametrize("how", ENDS)
async def test_a_membership_that_ends_ends_on_every_pod_and_no_remembered_yes_brings_it_back(
    how: str, asking: World, js: JsClients, mine: str
) -> None:
    bob, chat = f"bob{mine}", f"c{mine}"
    await asking.api.set_chats(**{chat: [bob]})
    tabs = [await js.connect(pod.chats_url, user=bob) for pod in asking.pods]
    assert [await code(tab, chat) for tab in tabs] == ["ok", "ok"]

    await asking.end(how, bob, chat)
    await say_in(asking.publish, chat, 2)

    told = 0 if how == "leaveRoom" else 1
    heard = await asking.publish.heard_by(*tabs)
    assert [[event.event for event in events].count("new-message") for events in heard] == [0, 0]
    assert [len(events) for events in heard] == [told, told]
    assert [await code(tab, chat) for tab in tabs] == ["forbidden", "forbidden"]


@pytest.mark.parametrize("how", [*ENDS, "nobody tells"])
async def test_a_session_that_was_away_comes_back_without_the_room_that_it_has_lost(
    how: str, asking: World, mine: str
) -> None:
    a, b = asking.pods
    bob, lost, kept = f"bob{mine}", f"lost{mine}", f"kept{mine}"
    await asking.api.set_chats(**{lost: [bob], kept: [bob]})
    async with raw(a, bob, recovery=True) as before:
        await before.join(lost)
        await before.join(kept)
    if how != "nobody tells":
        await asking.end(how, bob, lost)
    await asking.api.set_chats(**{kept: [bob]})
    await say_in(asking.publish, lost, 1)
    await say_in(asking.publish, kept, 2)
    await passed(b, asking.publish, mine)

    async with raw(b, bob, pid=before.answer["pid"]) as after:
        assert after.answer == before.answer, "recovered"
        of_chats = [event for event in after.missed if event[0] == "new-message"]
        assert [event[1]["messageId"] for event in of_chats] == [2]
        await say_in(asking.publish, lost, 3)
        await say_in(asking.publish, kept, 4)
        assert (await after.event())[1]["messageId"] == 4


async def test_an_api_that_is_silent_holds_up_that_socket_in_its_order_and_nobody_else(
    asking: World, js: JsClients, mine: str
) -> None:
    bob, chat = f"bob{mine}", f"c{mine}"
    await asking.api.set_chats(**{chat: [bob]})
    waits, other = [await js.connect(asking.pods.a.chats_url, user=bob) for _ in range(2)]
    order: list[str] = []

    async def ask(client: JsClient, verb: str, asked: str) -> None:
        ack = await client.ask(verb, {"chatId": asked})
        order.append(ack["data"]["chatId"] if ack["success"] else ack["error"]["code"])

    async with asyncio.TaskGroup() as group:
        group.create_task(ask(waits, "join-chat", f"silent{mine}"))
        group.create_task(ask(waits, "leave-chat", "x"))
        group.create_task(ask(other, "join-chat", chat))
    assert order == [chat, "access_unavailable", "x"]


@pytest.mark.parametrize("broken", BROKEN)
async def test_an_api_that_answers_wrongly_lets_nobody_in_and_others_do_not_notice(
    broken: str, asking: World, js: JsClients, mine: str
) -> None:
    bob, chat = f"bob{mine}", f"c{mine}"
    await asking.api.set_chats(**{chat: [bob]})
    client = await js.connect(asking.pods.a.chats_url, user=bob)
    assert await code(client, f"{broken}-{mine}") == "access_unavailable"
    assert await code(client, chat) == "ok"
    await say_in(asking.publish, f"{broken}-{mine}", 1)
    assert await asking.publish.heard_by(client) == [[]]


async def test_a_client_that_vanishes_while_the_api_is_silent_leaves_nothing_behind(
    asking: World, mine: str
) -> None:
    pod = asking.pods.a
    await eventually(lambda: _is_empty(pod), PATIENCE_SECONDS, "nobody is left of the tests before")
    async with raw(pod, f"bob{mine}") as bob:
        await bob.ask("join-chat", f"silent{mine}")
    await eventually(lambda: _is_empty(pod), PATIENCE_SECONDS, "nothing is left of it")


@pytest.mark.parametrize("how", ["disconnected", "resumed elsewhere", "resumed here"])
async def test_a_yes_that_comes_after_its_client_has_gone_lets_nobody_in(
    how: str, valkey: Valkey, gateway: StartGateway, mine: str
) -> None:
    bob = f"bob{mine}"
    async with http_chat_api(unused_port()) as api, AsyncExitStack() as pods:
        settings = {**api.settings, "CONSTELLATION_CHAT_ACCESS_TIMEOUT_SECONDS": 60}
        a, b = [await pods.enter_async_context(gateway(valkey.url, **settings)) for _ in range(2)]
        async with raw(a, bob, recovery=True) as before:
            await before.ask("join-chat", f"held{mine}")
            await eventually(lambda: api.asked, PATIENCE_SECONDS, "the API is asked")
            if how == "disconnected":
                async with nest_client(b.tcp_port) as nest:
                    assert await nest.ask("disconnectUser", {"userId": bob}) == {"disconnected": 1}
            else:
                pod = a if how == "resumed here" else b
                async with raw(pod, bob, pid=before.answer["pid"]) as after:
                    assert after.answer == before.answer
                    assert await before.is_closed()
                    api.may_answer.set()
            api.may_answer.set()
        for pod in (a, b):
            await eventually(partial(_is_empty, pod), PATIENCE_SECONDS, "nothing is left of it")
            assert "Traceback" not in pod.log_path.read_text()
            assert pod.log("a client's message could not be handled") == []


async def _is_empty(pod: Gateway) -> bool:
    names = ("constellation_sockets", "constellation_rooms")
    return [await pod.metric(name) for name in names] == [0, 0]


@pytest.mark.parametrize("kind", ["http", "nest"])
async def test_while_the_api_is_down_nobody_gets_in_and_who_comes_back_begins_anew(
    kind: str, valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    bob, chat = f"bob{mine}", f"c{mine}"
    port = unused_port()
    async with AsyncExitStack() as pods:
        async with chat_api(kind, port) as api:
            await api.set_chats(**{chat: [bob]})
            a, b = [
                await pods.enter_async_context(gateway(valkey.url, **api.settings))
                for _ in range(2)
            ]
            async with raw(a, bob, recovery=True) as before:
                await before.join(chat)
        outcome = {"outcome": "access_unavailable"}
        async with raw(b, bob, pid=before.answer["pid"]) as after:
            assert after.answer["pid"] != before.answer["pid"]
            assert after.missed == []
        assert await b.metric("constellation_recoveries_total", **outcome) == 1
        client = await js.connect(b.chats_url, user=bob)
        assert await code(client, chat) == "access_unavailable"
        async with chat_api(kind, port) as api:
            await api.set_chats(**{chat: [bob]})
            assert await code(client, chat) == "ok"


@pytest.mark.parametrize("kind", ["http", "nest"])
async def test_a_drain_waits_for_no_answer(
    kind: str, valkey: Valkey, gateway: StartGateway, routes: Path, mine: str
) -> None:
    settings = {"CONSTELLATION_CHAT_ACCESS_TIMEOUT_SECONDS": 60}
    async with world(kind, valkey.url, gateway, routes, **settings) as one:
        pod = one.pods.a
        async with raw(pod, f"bob{mine}") as bob:
            await bob.ask("join-chat", f"silent{mine}")
            assert await pod.terminate() == 0
        assert pod.log("drain deadline exceeded") == []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def claiming(own_valkey: Valkey, gateway: StartGateway) -> AsyncIterator[Gateway]:
    """A pod that believes tokens."""
    settings = {
        "CONSTELLATION_AUTH_MODE": "jwt",
        "CONSTELLATION_JWT_SECRET": SECRET,
        "CONSTELLATION_CHAT_ACCESS": "claim",
    }
    async with gateway(own_valkey.url, **settings) as pod:
        yield pod


@pytest_asyncio.fixture(loop_scope="session")
async def publish_own(own_valkey: Valkey) -> AsyncIterator[Publisher]:
    async with Redis.from_url(own_valkey.url) as redis:
        yield Publisher(redis)


async def test_a_token_names_the_chats_and_a_newer_one_takes_them_away(
    claiming: Gateway, publish_own: Publisher, js: JsClients, mine: str
) -> None:
    bob, chat = f"bob{mine}", f"c{mine}"
    auth = {"token": token_of(bob, chats=[chat, 17])}
    client = await js.connect(claiming.chats_url, user=bob, auth=auth)
    asked = [chat, 17, "17", f"other{mine}", "__proto__"]
    assert [await code(client, one) for one in asked] == ["ok", "ok", "ok", *["forbidden"] * 2]

    newer = await client.ask("refresh-token", {"token": token_of(bob, chats=["17"])})
    assert newer["success"] is True
    await say_in(publish_own, chat, 1)
    await say_in(publish_own, "17", 2)
    ((heard,),) = await publish_own.heard_by(client)
    assert heard.payload["messageId"] == 2
    assert await code(client, chat) == "forbidden"


@pytest.mark.parametrize("chats", [{}, {"chats": []}, {"chats": None}])
async def test_a_token_without_chats_opens_none(
    chats: dict[str, Any], claiming: Gateway, js: JsClients, mine: str
) -> None:
    auth = {"token": token_of(f"bob{mine}", **chats)}
    client = await js.connect(claiming.chats_url, user=f"bob{mine}", auth=auth)
    assert await code(client, f"c{mine}") == "forbidden"


async def test_who_comes_back_with_a_token_for_fewer_chats_comes_back_to_these_alone(
    claiming: Gateway, publish_own: Publisher, mine: str
) -> None:
    bob, lost, kept = f"bob{mine}", f"lost{mine}", f"kept{mine}"
    token = token_of(bob, chats=[lost, kept])
    async with raw(claiming, bob, recovery=True, token=token) as before:
        await before.join(lost)
        await before.join(kept)
    await say_in(publish_own, lost, 1)
    await say_in(publish_own, kept, 2)
    pid, token = before.answer["pid"], token_of(bob, chats=[kept])
    async with raw(claiming, bob, pid=pid, token=token) as after:
        assert after.answer == before.answer
        numbers_of = [event[1]["messageId"] for event in after.missed]
        if not numbers_of:  # the pod had not heard of it yet
            numbers_of = [(await after.event())[1]["messageId"]]
        assert numbers_of == [2]
