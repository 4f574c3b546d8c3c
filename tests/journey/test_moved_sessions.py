"""A session whose WebSocket arrives at another pod moves there, and nobody notices.

The client of these tests decides which pod each of its requests reaches. Clients behind real load
balancers: test_rollout.
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
import socketio
from redis.asyncio import Redis

from tests.chat_api import HttpChatApi, http_chat_api
from tests.conformance.wire import request, upgrade_headers, wired
from tests.journey.conftest import WITH_TOKENS, Pods, StartGateway
from tests.journey.publishing import Publisher
from tests.nest_client import nest_client
from tests.processes import HOST, Gateway, Valkey, unused_port
from tests.roaming import NOOP, Roamer, connect_packet, roaming
from tests.tokens import token_of
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually, throughout
from tests.websocket_frames import TEXT, chopped, client_frame

pytestmark = pytest.mark.asyncio(loop_scope="session")

PEERS = {"CONSTELLATION_PEER_PORT": 0, "CONSTELLATION_WS_HOST": HOST}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pods(valkey: Valkey, gateway: StartGateway) -> AsyncIterator[Pods]:
    """Two pods that take each other's requests."""
    async with started(valkey, gateway) as pods:
        yield pods


@asynccontextmanager
async def started(valkey: Valkey, gateway: StartGateway, **settings: object) -> AsyncIterator[Pods]:
    """Two pods. Those that still run at the end must leave cleanly."""
    settings = PEERS | settings
    async with (
        gateway(valkey.url, **settings) as a,
        gateway(valkey.url, **settings) as b,
    ):
        yield Pods(a, b)
        for pod in (a, b):
            if pod.exit_code is None:
                assert await pod.terminate() == 0
            assert pod.stray_lines() == []


@pytest_asyncio.fixture(loop_scope="session")
async def client() -> AsyncIterator[Roamer]:
    async with roaming() as client:
        yield client


async def moves_of(pod: Gateway) -> float:
    """Sessions that have arrived at a pod."""
    return await pod.metric("constellation_moved_sessions_total", direction="in", outcome="moved")


async def tunnels_of(pod: Gateway) -> float:
    return await pod.metric("constellation_tunnels")


@asynccontextmanager
async def moving_to(pod: Gateway) -> AsyncIterator[None]:
    """Wait at the end until one more session has arrived at a pod than at the begin."""
    before = await moves_of(pod)
    yield

    async def has_moved() -> bool:
        return await moves_of(pod) > before

    await eventually(has_moved, PATIENCE_SECONDS, "the session has moved")


async def moved(client: Roamer, pods: Pods, user: str, **auth: object) -> None:
    """Have a client whose session has moved from the first pod to the second."""
    await client.open(pods.a)
    await client.connect(pods.a, user, **auth)
    client.begin_to_poll(pods.a)
    async with moving_to(pods.b):
        await client.upgrade(pods.b)


def message(user: str, number: int, **more: object) -> tuple[str, dict[str, object]]:
    """One event that tells its number."""
    event = {"chatId": "c", "messageId": str(number), "senderId": "s", "recipientId": user}
    return "chat:newMessage", event | {"text": "t", "timestamp": number} | more


@asynccontextmanager
async def publishing(redis_url: str, user: str, **more: object) -> AsyncIterator[Callable[[], int]]:
    """Publish numbers all the time; the function tells how many there were."""
    count = 0

    async def publish() -> None:
        nonlocal count
        async with Redis.from_url(redis_url) as redis:
            publisher = Publisher(redis)
            while True:
                await publisher(*message(user, count, **more))
                count += 1
                await asyncio.sleep(0.001)

    task = asyncio.create_task(publish())
    try:
        await eventually(lambda: count > 5, PATIENCE_SECONDS, "events are published")
        yield lambda: count
    finally:
        await cancelled([task])


async def hears_all(client: Roamer, count: int) -> None:
    """Wait until a client has heard so many numbers, and check that they came once, in order."""
    await eventually(
        lambda: client.numbers and client.numbers[-1] >= count - 1,
        PATIENCE_SECONDS,
        f"number {count - 1} has come",
    )
    first = client.numbers[0]
    assert client.numbers == list(range(first, first + len(client.numbers)))


# The move


async def test_a_session_moves_to_where_its_websocket_is(
    pods: Pods, client: Roamer, publish: Publisher, mine: str
) -> None:
    user = f"bob{mine}"
    await client.open(pods.a)
    await client.connect(pods.b, user, recovery=True)
    before = client.answer
    client.begin_to_poll(pods.a, pods.b)
    async with moving_to(pods.b):
        await client.upgrade(pods.b)
    assert await tunnels_of(pods.b) == 0
    await publish(*message(user, 7))
    await eventually(lambda: client.numbers == [7], PATIENCE_SECONDS, "the event has come")
    assert await client.request("join-chat", {"chatId": "c"}) == {
        "success": True,
        "data": {"chatId": "c"},
    }
    assert client.answer == before
    assert len([one for one in client.heard if str(one).startswith("0/chats")]) == 1


async def test_a_session_without_a_namespace_moves_and_connects_there(
    pods: Pods, client: Roamer, mine: str
) -> None:
    await client.open(pods.a)
    async with moving_to(pods.b):
        await client.upgrade(pods.b)
    await client.send(connect_packet(f"bob{mine}"))
    await client.connected()
    assert (await client.request("join-chat", "c"))["success"] is True


@pytest.mark.parametrize("is_late", [False, True], ids=["with the probe", "behind the probe"])
async def test_a_connect_that_is_on_its_way_is_answered_once(
    is_late: bool, pods: Pods, client: Roamer, publish: Publisher, mine: str
) -> None:
    user = f"bob{mine}"
    await client.open(pods.a)
    async with moving_to(pods.b):
        if is_late:
            await client.probe(pods.b)
            await client.post(pods.b, connect_packet(user))
        else:
            await asyncio.gather(client.post(pods.b, connect_packet(user)), client.probe(pods.b))
        await client.finish_upgrade()
    await client.connected()
    await publish(*message(user, 1))
    await eventually(lambda: client.numbers == [1], PATIENCE_SECONDS, "the event has come")
    assert len([one for one in client.heard if str(one).startswith("0/chats")]) == 1


@pytest.mark.parametrize("auth", [{}, {"recovery": True}], ids=["plain", "with offsets"])
@pytest.mark.parametrize("poll_at", ["a", "b"])
async def test_events_come_once_and_in_order_across_the_move(
    poll_at: str, auth: dict[str, object], pods: Pods, client: Roamer, valkey: Valkey, mine: str
) -> None:
    user = f"bob{mine}"
    await client.open(pods.a)
    await client.connect(pods.a, user, **auth)
    async with publishing(valkey.url, user) as count:
        client.begin_to_poll(getattr(pods, poll_at))
        await eventually(lambda: client.numbers, PATIENCE_SECONDS, "the first event has come")
        async with moving_to(pods.b):
            await client.upgrade(pods.b)
        moved_at = count()
        await eventually(lambda: count() > moved_at + 50, PATIENCE_SECONDS, "more are published")
    await hears_all(client, count())
    events = [event for event in client.events if event[0] == "new-message"]
    offsets = [event[2] for event in events if len(event) > 2]
    if auth:
        assert len(offsets) == len(events)
        order = [tuple(map(int, offset.split("-"))) for offset in offsets]
        assert order == sorted(set(order))
    else:
        assert offsets == []


async def test_large_and_binary_events_come_once_and_in_order_across_the_move(
    pods: Pods, client: Roamer, valkey: Valkey, mine: str
) -> None:
    user = f"bob{mine}"
    emitter = socketio.AsyncRedisManager(valkey.url, write_only=True)
    blobs = [bytes([number]) * 50_000 for number in range(40)]
    large = "x" * 700_000
    in_flight = 4  # of what `_blobs_in` counts: less than one resume may replay

    async def emit() -> None:
        sent = 0
        for number, blob in enumerate(blobs):
            room = f"user:{user}"
            await emitter.emit("blob", (number, blob), room=room, namespace="/chats")
            sent += 2
            if number % 10 == 5:
                await emitter.emit("large", (number, large), room=room, namespace="/chats")
                sent += 1
            have_come = partial(_have_come, client, sent - in_flight)
            await eventually(have_come, PATIENCE_SECONDS, "they come")

    await client.open(pods.a)
    await client.connect(pods.a, user)
    client.begin_to_poll(pods.b)
    emitting = asyncio.create_task(emit())
    try:
        async with moving_to(pods.b):
            await client.upgrade(pods.b)
        await emitting
    finally:
        await cancelled([emitting])
        if emitter.redis is not None:
            await emitter.redis.aclose()
    expected: list[object] = []
    for number, blob in enumerate(blobs):
        expected += [("blob", number), blob]
        if number % 10 == 5:
            expected.append(("large", number))
    await eventually(
        lambda: len(_blobs_in(client)) >= len(expected), PATIENCE_SECONDS, "all have come"
    )
    assert _blobs_in(client) == expected


def _have_come(client: Roamer, count: int) -> bool:
    return len(_blobs_in(client)) >= count


def _blobs_in(client: Roamer) -> list[object]:
    found: list[object] = []
    for one in client.heard:
        if isinstance(one, bytes):
            found.append(one)
        elif one.startswith("b"):
            found.append(base64.b64decode(one[1:]))
        elif '["blob",' in one or '["large",' in one:
            name, number, *_ = json.loads(one[one.index("[") :])
            found.append((name, number))
    return found


async def test_requests_of_a_client_come_once_and_in_order_across_the_move(
    pods: Pods, client: Roamer, mine: str
) -> None:
    """It does not wait for anything, least of all for a move that it knows nothing of."""
    await client.open(pods.a)
    await client.connect(pods.a, f"bob{mine}")
    numbers: list[int] = []
    async with moving_to(pods.b):
        await client.upgrade(pods.b)
        for number in range(15):
            numbers.append(await client.begin_request("join-chat", f"c{number}"))
    answers = [await client.answered(number) for number in numbers]
    assert [answer["data"]["chatId"] for answer in answers] == [f"c{n}" for n in range(15)]
    acks = [str(one) for one in client.heard if str(one).startswith("3/chats,")]
    assert [int(ack[len("3/chats,") : ack.index("[")]) for ack in acks] == numbers


@pytest.mark.parametrize("size", [1, 7, 1_000])
async def test_a_message_in_many_segments_is_one_message_across_the_move(
    size: int, pods: Pods, client: Roamer, mine: str
) -> None:
    """The move is offered while half of it is there."""
    await client.open(pods.a)
    await client.connect(pods.a, f"bob{mine}")
    chat = "c" * 100
    packets = [client.request_packet("join-chat", f"{chat}{number}") for number in range(3)]
    said = b"".join(client_frame(TEXT, packet.encode()) for packet in ["5", *packets])
    async with wired(pods.b.ws_port) as wire, moving_to(pods.b):
        target = f"/socket.io/?EIO=4&transport=websocket&sid={client.sid}"
        await wire.write(request(target, upgrade_headers()))
        assert (await wire.response()).status == 101
        await wire.send("2probe")
        assert await wire.message() == "3probe"
        await wire.write(*chopped(said, size))
        for number in range(3):
            answer = str(await wire.packet())
            assert answer.startswith(f"43/chats,{number + 1}["), answer
            assert f"{chat}{number}" in answer


async def test_a_slow_request_is_answered_before_its_session_moves(
    own_valkey: Valkey, gateway: StartGateway, client: Roamer
) -> None:
    async with (
        http_chat_api(unused_port()) as api,
        started(own_valkey, gateway, **api.settings) as pods,
    ):
        await _join_slowly(api, pods, client)


async def _join_slowly(api: HttpChatApi, pods: Pods, client: Roamer) -> None:
    await client.open(pods.a)
    await client.connect(pods.a, "bob")
    await client.post(pods.a, client.request_packet("join-chat", "held-1"))
    await eventually(lambda: api.asked == ["held-1"], PATIENCE_SECONDS, "the API was asked")
    await client.upgrade(pods.b)
    number = await client.begin_request("join-chat", "held-2")
    await throughout(lambda: not _acks(client), 0.3, "nothing is answered")
    assert await moves_of(pods.b) == 0
    assert await tunnels_of(pods.b) == 1
    async with moving_to(pods.b):
        api.may_answer.set()
        assert (await client.answered(1))["success"] is True
        assert (await client.answered(number))["success"] is True
    async with nest_client(pods.a.tcp_port) as nest:
        for chat in ("held-1", "held-2"):
            await nest.ask("sendToRoom", {"room": f"chat:{chat}", "event": chat, "data": 1})
    await eventually(
        lambda: [event[0] for event in client.events] == ["held-1", "held-2"],
        PATIENCE_SECONDS,
        "both rooms are its own",
    )


def _acks(client: Roamer) -> list[str]:
    return [str(one) for one in client.heard if str(one).startswith("3/chats,")]


async def test_a_user_is_online_all_the_time(pods: Pods, client: Roamer, mine: str) -> None:
    user = f"bob{mine}"
    await client.open(pods.a)
    await client.connect(pods.a, user)
    answers: list[bool] = []

    async def watch(pod: Gateway) -> None:
        async with nest_client(pod.tcp_port) as nest:
            while True:
                answers.append((await nest.ask("isUserOnline", {"userId": user}))["online"])
                await asyncio.sleep(0.002)

    for pod in pods:
        async with nest_client(pod.tcp_port) as nest:
            await eventually(lambda: _is_online(nest, user), PATIENCE_SECONDS, "the user is online")
    watching = [asyncio.create_task(watch(pod)) for pod in pods]
    try:
        await eventually(lambda: len(answers) > 10, PATIENCE_SECONDS, "it is watched")
        client.begin_to_poll(pods.a)
        async with moving_to(pods.b):
            await client.upgrade(pods.b)
        before = len(answers)
        # One that has left a pod is still shown there for five seconds: a page may be reloading.
        await throughout(lambda: all(answers), 6, "the user is online")
        assert len(answers) > before + 10
    finally:
        await cancelled(watching)
    await client.leave()


async def _is_online(nest: Any, user: str) -> bool:
    answer = await nest.ask("isUserOnline", {"userId": user})
    return bool(answer["online"])


async def test_a_moved_session_has_its_rooms_and_can_be_given_others(
    pods: Pods, client: Roamer, mine: str
) -> None:
    user = f"bob{mine}"
    await client.open(pods.a)
    await client.connect(pods.a, user)
    await client.post(pods.b, client.request_packet("join-chat", f"old{mine}"))
    while not _acks(client):
        await client.poll(pods.b)
    client.begin_to_poll(pods.a)
    async with moving_to(pods.b):
        await client.upgrade(pods.b)
    async with nest_client(pods.a.tcp_port) as nest:
        await nest.ask("joinRoom", {"userId": user, "roomName": f"chat:new{mine}"})
        for chat in ("old", "new"):
            await nest.ask("sendToRoom", {"room": f"chat:{chat}{mine}", "event": chat, "data": 1})
        await eventually(
            lambda: [event[0] for event in client.events] == ["old", "new"],
            PATIENCE_SECONDS,
            "both have come, once",
        )
        await nest.ask("leaveRoom", {"userId": user, "roomName": f"chat:old{mine}"})
        for chat in ("old", "new"):
            await nest.ask("sendToRoom", {"room": f"chat:{chat}{mine}", "event": chat, "data": 2})
        await eventually(lambda: len(client.events) == 3, PATIENCE_SECONDS, "one more has come")
        assert client.events[2][0] == "new"


@pytest.mark.parametrize("asked", ["a", "b"])
async def test_a_moved_session_can_be_disconnected(
    asked: str, pods: Pods, client: Roamer, mine: str
) -> None:
    user = f"bob{mine}"
    await moved(client, pods, user)
    async with nest_client(getattr(pods, asked).tcp_port) as nest:
        assert await nest.ask("disconnectUser", {"userId": user}) == {"disconnected": 1}
        assert await nest.ask("disconnectUser", {"userId": user}) == {"disconnected": 0}
    await eventually(
        lambda: client.heard[-1] == "1/chats,", PATIENCE_SECONDS, "it was told that it is for good"
    )


async def test_a_session_that_is_disconnected_while_it_moves_is_gone(pods: Pods, mine: str) -> None:
    """Neither pod has it for some milliseconds, and both were asked."""
    async with AsyncExitStack() as held, nest_client(pods.a.tcp_port) as nest:
        clients = [await held.enter_async_context(roaming()) for _ in range(20)]
        for number, client in enumerate(clients):
            await client.open(pods.a)
            await client.connect(pods.a, f"bob{mine}-{number}")
            await client.probe(pods.b)

        async def upgrade_and_disconnect(number: int, client: Roamer) -> None:
            await client.finish_upgrade()
            await asyncio.sleep(number / 2_000)

        for number, client in enumerate(clients):
            await upgrade_and_disconnect(number, client)
            await nest.ask("disconnectUser", {"userId": f"bob{mine}-{number}"})
        for client in clients:
            await eventually(
                lambda: "1/chats," in client.heard, PATIENCE_SECONDS, "it was disconnected"
            )


async def test_what_a_client_has_asked_for_counts_at_the_next_pod(
    own_valkey: Valkey, gateway: StartGateway, client: Roamer
) -> None:
    """Else a client could move for another burst."""
    limits = {
        "CONSTELLATION_MAX_REQUESTS_PER_SECOND": 1,
        "CONSTELLATION_MAX_REQUEST_BURST": 50,
    }
    async with started(own_valkey, gateway, **limits) as pods:
        await client.open(pods.a)
        await client.connect(pods.a, "bob")
        began = time.monotonic()
        packets = [client.request_packet("join-chat", "c") for _ in range(50)]
        await client.post(pods.a, *packets)
        while len(_acks(client)) < 50:
            await client.poll(pods.a)
        assert (await client.ask("POST", pods.a, "3")).status == 200
        async with moving_to(pods.b):
            await client.upgrade(pods.b)
        answers = [await client.request("join-chat", "c") for _ in range(45)]
        granted = sum(answer["success"] for answer in answers)
        assert granted <= time.monotonic() - began + 1
        refused = [answer["error"]["code"] for answer in answers if not answer["success"]]
        assert set(refused) == {"rate_limited"}


async def test_a_token_ends_at_the_pod_that_the_session_has_moved_to(
    own_valkey: Valkey, gateway: StartGateway, client: Roamer
) -> None:
    settings: dict[str, object] = {**WITH_TOKENS, "CONSTELLATION_JWT_LEEWAY_SECONDS": 0}
    async with started(own_valkey, gateway, **settings) as pods:
        await client.open(pods.a)
        await client.connect(pods.a, "bob", token=token_of("bob", 4))
        async with moving_to(pods.b):
            await client.upgrade(pods.b)
        assert client.close_code is None
        assert await client.closed() == 1012
        expired = {"reason": "token_expired"}
        assert await pods.b.metric("constellation_disconnects_total", **expired) == 1
        assert await pods.a.metric("constellation_disconnects_total", **expired) == 0


async def test_a_session_outlives_the_pod_that_it_has_left(
    own_valkey: Valkey, gateway: StartGateway, client: Roamer
) -> None:
    async with started(own_valkey, gateway) as pods:
        await moved(client, pods, "bob", recovery=True)
        async with publishing(own_valkey.url, "bob") as count:
            await pods.a.kill()
            killed_at = count()
            await eventually(
                lambda: count() > killed_at + 20, PATIENCE_SECONDS, "more are published"
            )
        await eventually(
            lambda: client.numbers and client.numbers[-1] == count() - 1,
            PATIENCE_SECONDS,
            "the last one has come",
        )
        assert client.numbers == list(range(client.numbers[0], count()))
        assert client.close_code is None


async def _receives_in_its_room(client: Roamer, tcp_port: int) -> None:
    async with nest_client(tcp_port) as nest:
        await nest.ask("sendToRoom", {"room": "chat:c", "event": "notice", "data": 1})
    await eventually(
        lambda: any(event[0] == "notice" for event in client.events),
        PATIENCE_SECONDS,
        "its rooms are its own again",
    )


@pytest.mark.parametrize("recovery", [True, False], ids=["with offsets", "plain"])
async def test_a_moved_session_is_resumed_after_its_new_pod_was_killed(
    recovery: bool, own_valkey: Valkey, gateway: StartGateway, client: Roamer
) -> None:
    async with started(own_valkey, gateway) as pods:
        await client.open(pods.a)
        auth = {"recovery": True} if recovery else {}
        await client.connect(pods.a, "bob", **auth)
        before = client.answer
        async with publishing(own_valkey.url, "bob") as count:
            client.begin_to_poll(pods.a)
            async with moving_to(pods.b):
                await client.upgrade(pods.b)
            assert (await client.request("join-chat", "c"))["success"] is True
            moved_at = count()
            await eventually(
                lambda: client.numbers and client.numbers[-1] > moved_at,
                PATIENCE_SECONDS,
                "events come from the new pod",
            )
            await pods.b.kill()
            await client.closed()
            async with roaming() as again:
                await again.open(pods.a)
                events = [event for event in client.events if len(event) > 2]
                offset = {"offset": events[-1][2]} if events else {}
                await again.connect(pods.a, "bob", pid=before["pid"], **offset)
                is_recovered = again.answer["sid"] == before["sid"]
                assert is_recovered or not recovery
                again.begin_to_poll(pods.a)
                resumed_at = count()
                await eventually(
                    lambda: again.numbers and again.numbers[-1] > resumed_at,
                    PATIENCE_SECONDS,
                    "events come again",
                )
                if is_recovered:
                    numbers = client.numbers + again.numbers
                    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
                    await _receives_in_its_room(again, pods.a.tcp_port)


# Where it stays


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"CONSTELLATION_DELIVERY": "live"}, id="live", marks=pytest.mark.long),
        pytest.param({"CONSTELLATION_RECOVERY": "off"}, id="no recovery"),
    ],
)
async def test_a_session_that_cannot_move_is_tunnelled_and_its_client_closed_at_a_drain(
    settings: dict[str, object], own_valkey: Valkey, gateway: StartGateway, client: Roamer
) -> None:
    async with started(own_valkey, gateway, **settings) as pods:
        await client.open(pods.a)
        await client.connect(pods.a, "bob")
        async with publishing(own_valkey.url, "bob") as count:
            client.begin_to_poll(pods.b)
            await eventually(lambda: client.numbers, PATIENCE_SECONDS, "the first has come")
            await client.upgrade(pods.b)
            assert await tunnels_of(pods.b) == 1
            assert (await client.request("join-chat", "c"))["success"] is True
            seen = count()
            await eventually(lambda: count() > seen + 30, PATIENCE_SECONDS, "more are published")
        await hears_all(client, count())
        assert await moves_of(pods.b) == 0
        ending = asyncio.create_task(pods.b.terminate())
        assert await client.closed() == 1012
        assert await ending == 0
        async with roaming() as again:
            await again.open(pods.a)
            await again.connect(pods.a, "bob")
            assert await pods.a.metric("constellation_disconnects_total", reason="drain") >= 1


async def test_a_client_of_a_pod_that_is_killed_loses_its_tunnel_and_can_come_back(
    own_valkey: Valkey, gateway: StartGateway, client: Roamer
) -> None:
    async with started(own_valkey, gateway, CONSTELLATION_RECOVERY="off") as pods:
        await client.open(pods.a)
        await client.connect(pods.a, "bob")
        await client.upgrade(pods.b)
        assert (await client.request("join-chat", "c"))["success"] is True
        await pods.a.kill()
        assert await client.closed() == 1006
        assert await tunnels_of(pods.b) == 0
        async with roaming() as again:
            await again.open(pods.b)
            await again.connect(pods.b, "bob")


async def test_a_session_ends_with_the_pod_that_its_tunnel_leads_through(
    own_valkey: Valkey, gateway: StartGateway, client: Roamer
) -> None:
    async with started(own_valkey, gateway, CONSTELLATION_RECOVERY="off") as pods:
        await client.open(pods.a)
        await client.connect(pods.a, "bob")
        await client.upgrade(pods.b)
        assert (await client.request("join-chat", "c"))["success"] is True
        assert await pods.a.metric("constellation_connections") == 1
        await pods.b.kill()
        await client.closed()

        async def is_gone() -> bool:
            return await pods.a.metric("constellation_connections") == 0

        await eventually(is_gone, PATIENCE_SECONDS, "its session has ended")


async def test_without_peers_a_request_for_another_pod_is_unknown(
    own_valkey: Valkey, gateway: StartGateway, client: Roamer
) -> None:
    settings = {"CONSTELLATION_PEER_PORT": "off"}
    async with started(own_valkey, gateway, **settings) as pods:
        await client.open(pods.a)
        assert (await client.ask("GET", pods.b)).code == "unknown_session"
        assert (await client.ask("POST", pods.b, "40/chats,{}")).code == "unknown_session"
        async with wired(pods.b.ws_port) as wire:
            target = f"/socket.io/?EIO=4&transport=websocket&sid={client.sid}"
            await wire.write(request(target, upgrade_headers()))
            response = await wire.response()
            assert (response.status, b"unknown_session" in response.body) == (400, True)
        await client.connect(pods.a, "bob")


# Polling through another pod


async def test_a_poll_waits_at_one_pod_for_an_event_of_the_other(
    pods: Pods, client: Roamer, publish: Publisher, mine: str
) -> None:
    user = f"bob{mine}"
    await client.open(pods.a)
    await client.connect(pods.b, user)
    polling = asyncio.create_task(client.poll(pods.b))
    await throughout(lambda: not polling.done(), 0.2, "the poll waits")
    await publish(*message(user, 1))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await polling
    assert client.numbers == [1]


async def test_two_polls_at_once_are_refused_whichever_pods_they_reach(
    pods: Pods, client: Roamer
) -> None:
    await client.open(pods.a)
    first = asyncio.create_task(client.ask("GET", pods.b))
    await throughout(lambda: not first.done(), 0.2, "the first poll waits")
    second = await client.ask("GET", pods.a)
    assert (second.status, second.code) == (400, "bad_request")
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await first).packets[-1] == "1"
    assert (await client.ask("GET", pods.b)).code == "unknown_session"


async def test_a_body_that_is_too_large_is_refused_by_the_pod_that_it_reaches(
    pods: Pods, client: Roamer
) -> None:
    await client.open(pods.a)
    answer = await client.ask("POST", pods.b, b"4" + b"x" * 1_000_001)
    assert answer.status == 413
    assert answer.code == "payload_too_large"


async def test_a_body_that_is_no_payload_ends_the_session_at_its_pod(
    pods: Pods, client: Roamer
) -> None:
    await client.open(pods.a)
    answer = await client.ask("POST", pods.b, b"\xff\xfe")
    assert (answer.status, answer.code) == (400, "bad_request")
    assert (await client.ask("GET", pods.a)).code == "unknown_session"


async def test_a_client_that_hangs_up_its_poll_ends_its_session(
    pods: Pods, client: Roamer, mine: str
) -> None:
    user = f"bob{mine}"
    await client.open(pods.a)
    await client.connect(pods.a, user)
    async with nest_client(pods.b.tcp_port) as nest:
        await eventually(lambda: _is_online(nest, user), PATIENCE_SECONDS, "it is there")
        polling = asyncio.create_task(client.ask("GET", pods.b))
        await throughout(lambda: not polling.done(), 0.2, "the poll waits")
        await cancelled([polling])  # type: ignore[list-item]  # what it gives is no matter
        await eventually(
            lambda: _is_unknown(pods, client), PATIENCE_SECONDS, "its session has ended"
        )


async def _is_unknown(pods: Pods, client: Roamer) -> bool:
    answer = await client.ask("POST", pods.a, "3")
    return answer.status == 400 and answer.code == "unknown_session"


async def test_a_poll_through_a_pod_that_stops_ends_with_nothing_and_goes_on_elsewhere(
    own_valkey: Valkey, gateway: StartGateway, client: Roamer
) -> None:
    async with started(own_valkey, gateway) as pods:
        await client.open(pods.a)
        await client.connect(pods.b, "bob")
        polling = asyncio.create_task(client.poll(pods.b))
        await throughout(lambda: not polling.done(), 0.2, "the poll waits")
        pods.b.signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await polling == [NOOP]
        async with publishing(own_valkey.url, "bob"):
            while not client.numbers:
                await client.poll(pods.a)
        assert await pods.b.exited() == 0


# Names that somebody makes up


FORGED = {
    "nobody's": "AAAAAAAA" + "x" * 20,
    "an address": "10.0.0.1:7757" + "x" * 20,
    "a URL": "http://127.0.0.1:7757/",
    "short": "x",
    "long": "x" * 4_000,
    "a path": "../../../etc/passwd",
    "line ends": "AAAAAAAA\r\nHost: evil\r\n\r\n",
    "zero bytes": "\0" * 28,
    "no ASCII": "жжжжжжжж" + "x" * 20,
}


@pytest.mark.parametrize("sid", FORGED.values(), ids=FORGED.keys())
async def test_a_session_id_that_names_no_pod_is_unknown(
    sid: str, pods: Pods, client: Roamer
) -> None:
    client.sid = sid
    for method, body in (("GET", None), ("POST", "3")):
        answer = await client.ask(method, pods.b, body)
        assert (answer.status, answer.code) == (400, "unknown_session")


@pytest.mark.parametrize("asked", ["a", "b"])
async def test_a_session_id_that_its_pod_never_gave_is_unknown(
    asked: str, pods: Pods, client: Roamer
) -> None:
    """Also to the pod that it names itself: it asks nobody."""
    await client.open(pods.a)
    client.sid = client.sid[:8] + "x" * (len(client.sid) - 8)
    pod = getattr(pods, asked)
    assert (await client.ask("GET", pod)).code == "unknown_session"
    async with wired(pod.ws_port) as wire:
        target = f"/socket.io/?EIO=4&transport=websocket&sid={client.sid}"
        await wire.write(request(target, upgrade_headers()))
        response = await wire.response()
        assert (response.status, b"unknown_session" in response.body) == (400, True)


async def test_the_tag_of_a_dead_pod_costs_one_attempt_and_is_unknown(
    own_valkey: Valkey, gateway: StartGateway, client: Roamer
) -> None:
    async with started(own_valkey, gateway) as pods:
        await client.open(pods.a)
        await client.connect(pods.b, "bob")
        await pods.a.kill()
        answers = await asyncio.gather(*(client.ask("GET", pods.b) for _ in range(50)))
        assert {answer.code for answer in answers} == {"unknown_session"}
        failures = await pods.b.metric("constellation_peer_failures_total", reason="unreachable")
        assert failures <= 2


async def test_many_made_up_names_are_unknown_and_cost_few_looks(
    own_valkey: Valkey, gateway: StartGateway
) -> None:
    async with (
        started(own_valkey, gateway) as pods,
        Redis.from_url(own_valkey.url) as redis,
        roaming() as client,
    ):
        info: Any = await redis.info("commandstats")
        before = info["cmdstat_zrangebyscore"]["calls"]
        began = time.monotonic()
        for start in range(0, 2_000, 50):
            codes = await asyncio.gather(
                *(_ask_for(client, pods.b, f"{start + number:08d}xxxx") for number in range(50))
            )
            assert set(codes) == {"unknown_session"}
        seconds = time.monotonic() - began
        info = await redis.info("commandstats")
        looks = info["cmdstat_zrangebyscore"]["calls"] - before
        assert looks <= 14 * (seconds + 1), "ten a second for strangers, and one of each pod's own"


async def _ask_for(client: Roamer, pod: Gateway, sid: str) -> str:
    one = Roamer(client._http)
    one.sid = sid
    return (await one.ask("GET", pod)).code


async def test_headers_of_a_client_do_not_reach_the_other_pod(pods: Pods, client: Roamer) -> None:
    """A request within the body of a request, and one that ends early, are bytes of a body."""
    await client.open(pods.a)
    body = "4x\r\n\r\nGET /livez HTTP/1.1\r\nHost: evil\r\n\r\n"
    async with wired(pods.b.ws_port) as wire:
        target = f"/socket.io/?EIO=4&transport=polling&sid={client.sid}"
        headers = [("X-Forwarded-For", "10.9.9.9"), ("Connection", "keep-alive, x-evil")]
        await wire.write(request(target, headers, method="POST", body=body.encode()))
        response = await wire.response()
        assert response.status in (200, 400)
        await wire.write(request("/livez"))
        assert (await wire.response()).status == 200
