"""Requests of one NestJS connection are worked on side by side, each with a deadline of its own."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.journey.conftest import Pods, StartGateway
from tests.journey.test_nest_port import NestClient, nest_client
from tests.js_clients import JsClients
from tests.processes import Gateway, running_valkey
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAJOR = 11
UNAVAILABLE = "unavailable"


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that hangs: its connections stay, nothing is answered."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def answer(result: Any) -> Any:
    """The data of a response, or the code of its refusal."""
    response = result["value"]
    return response["data"] if response["success"] else response["error"]["code"]


async def is_answered(nest: NestClient, pattern: str, data: object) -> Any:
    return answer(await nest.send(pattern, data))


async def test_a_ping_does_not_wait_for_a_disconnect_that_waits_for_a_frozen_pod(
    gateway: StartGateway, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
    with running_valkey() as valkey:
        async with gateway(valkey.url) as a, gateway(valkey.url) as b:
            client = await js.connect(a.chats_url, user=user)
            async with nest_client(MAJOR, a.tcp_port) as nest:
                assert (await is_answered(nest, "ping", {}))["pong"] is True
                with frozen(b.pid):
                    disconnecting = nest.start("send", "disconnectUser", {"userId": user})
                    pings = [nest.start("send", "ping", {}) for _ in range(3)]
                    # What was written meanwhile does not wait either.
                    sending = {"userId": user, "event": "e", "data": 1}
                    sent = nest.start("send", "sendToUser", sending)
                    results = [await nest.result(n) for n in (*pings, sent, disconnecting)]
                    assert answer(results[-1]) == {"disconnected": 1}
                    assert list(nest._results)[-1] == disconnecting, "answered last"
            assert await client.lost() == "io server disconnect"


async def test_while_redis_hangs_every_request_is_answered_and_ping_waits_for_none(
    gateway: StartGateway, js: JsClients, mine: str
) -> None:
    here = f"bob{mine}"
    requests = [
        ("isUserOnline", {"userId": "somebody else"}),
        ("getOnlineUsers", {}),
        ("sendToUser", {"userId": here, "event": "while it hung", "data": 1}),
        ("sendToRoom", {"room": "r", "event": "e", "data": 1}),
        ("joinRoom", {"userId": here, "roomName": "r"}),
        ("leaveRoom", {"userId": here, "roomName": "r"}),
        ("disconnectUser", {"userId": "somebody else"}),
        ("chat:new", {"userId": here, "chatId": "while it hung"}),
    ]
    with running_valkey() as valkey:
        async with Redis.from_url(valkey.url) as redis:
            pid = (await redis.info("server"))["process_id"]
        async with gateway(valkey.url) as pod, nest_client(MAJOR, pod.tcp_port) as nest:
            client = await js.connect(pod.chats_url, user=here)
            assert (await is_answered(nest, "ping", {}))["pong"] is True
            with frozen(pid):
                asked = [nest.start("send", *request) for request in requests * 20]
                last = nest.start("send", "ping", {})
                assert answer(await nest.result(last))["pong"] is True
                assert nest._results.keys().isdisjoint(asked), "ping waits for nobody"
                online = {"userId": here, "online": True}
                assert await is_answered(nest, "isUserOnline", {"userId": here}) == online
                # Redis does not come back before all are answered.
                assert [answer(await nest.result(n)) for n in asked] == [UNAVAILABLE] * len(asked)

            async def accepts() -> bool:
                event = {"userId": here, "event": "afterwards", "data": 1}
                return await is_answered(nest, "sendToUser", event) == {"accepted": True}

            await eventually(accepts, PATIENCE_SECONDS, "requests are accepted again")
            await client.until(
                lambda: "afterwards" in [one.event for one in client.received], "the event"
            )
            assert await _timeouts(pod) > 0


async def _timeouts(pod: Gateway) -> float:
    """Requests that timed out, of three patterns."""
    counts = [
        await pod.metric(
            "constellation_tcp_request_duration_seconds_count", pattern=pattern, outcome="timeout"
        )
        for pattern in ("isUserOnline", "chat:new", "disconnectUser")
    ]
    return sum(counts)


async def test_what_one_client_sends_without_waiting_arrives_in_its_order(
    pods: Pods, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
    client = await js.connect(pods.b.chats_url, user=user)
    async with nest_client(MAJOR, pods.a.tcp_port) as nest:
        numbers = []
        for number in range(300):
            event = {"userId": user, "event": "e", "data": number}
            published = {"recipientId": user, "messageId": number}
            op = "emit" if number % 3 == 0 else "send"
            if number % 2:
                numbers.append(nest.start(op, "sendToUser", event))
            else:
                numbers.append(nest.start(op, "chat:newMessage", published))
        for n in numbers:
            assert "error" not in await nest.result(n)
    await client.until(lambda: len(client.received) == 300, "all events")
    got = [e.payload if e.event == "e" else e.payload["messageId"] for e in client.received]
    assert got == list(range(300))
