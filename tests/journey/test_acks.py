"""Events that clients acknowledge: two pods, both transports, silent clients, recovery, a death."""

from __future__ import annotations

from typing import Any

import pytest

from tests.journey.conftest import Pods, StartGateway
from tests.js_clients import POLLING, JsClients, binary
from tests.nest_client import nest_client
from tests.processes import Valkey

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATIENT, HASTY = {"timeout_ms": 4_000}, {"timeout_ms": 1_500}
BIG = 1234567890123456


def question(user: str, ack: dict[str, int]) -> dict[str, Any]:
    return {"userId": user, "event": "question", "data": {"n": 1}, "ack": ack}


async def test_every_socket_answers_from_its_pod_over_its_transport(
    pods: Pods, js: JsClients, mine: str
) -> None:
    user, other = f"asked{mine}", f"other{mine}"
    over_polling = await js.connect(
        pods.b.chats_url, user=user, transports=POLLING, acks={"question": [{"at": BIG}, "more"]}
    )
    with_bytes = await js.connect(pods.a.chats_url, user=user, acks={"question": [binary(2)]})
    recovering = await js.connect(
        pods.b.chats_url,
        auth={"userId": user, "recovery": True},
        user=user,
        acks={"question": []},
    )
    bystander = await js.connect(pods.a.chats_url, user=other, acks={"question": ["no"]})

    async with nest_client(pods.a.tcp_port) as nest:
        answer = await nest.ask("sendToUser", question(user, PATIENT))
        assert (answer["accepted"], answer["unanswered"], answer["complete"]) == (True, 0, True)
        assert {ack["sid"]: ack["data"] for ack in answer["acks"]} == {
            over_polling.id: {"at": BIG},
            with_bytes.id: {"type": "Buffer", "data": [0, 0]},
            recovering.id: None,
        }
        for client in (over_polling, with_bytes):
            assert (await client.event("question")).payload == {"n": 1}

        silent = await js.connect(pods.b.chats_url, user=user)
        answer = await nest.ask("sendToUser", question(user, HASTY))
        assert (len(answer["acks"]), answer["unanswered"], answer["complete"]) == (3, 1, True)
        assert answer["delivered"] == 4
        assert (await silent.event("question")).payload == {"n": 1}
        # An ack of an event that it never got is ignored.
        bystander.write('43/chats,7["never asked"]')
        assert await nest.ask("sendToUser", question(f"nobody{mine}", PATIENT)) == {
            "accepted": True,
            "acks": [],
            "delivered": 0,
            "unanswered": 0,
            "complete": True,
        }
    assert bystander.received == []


async def test_a_client_that_resumes_gets_each_event_with_acks_once(
    pods: Pods, js: JsClients, mine: str
) -> None:
    user = f"resuming{mine}"
    client = await js.connect(
        pods.a.chats_url,
        auth={"userId": user, "recovery": True},
        user=user,
        acks={"question": ["yes"]},
    )
    async with nest_client(pods.b.tcp_port) as nest:
        answer = await nest.ask("sendToUser", question(user, PATIENT))
        assert answer["acks"] == [{"sid": client.id, "data": "yes"}]
        await client.until(lambda: len(client.received) == 3, "the event between its offsets")

        client.sever()
        await client.until(lambda: client.connects == 2, "it is back")
        await nest.ask("sendToUser", {"userId": user, "event": "end", "data": 1})
        await client.until(lambda: client.received[-1].event == "end", "the end")

    assert client.recovered == [False, True]
    names = [one.event for one in client.received]
    assert names == ["constellation:offset", "question", "constellation:offset", "end"]
    before, _, after, _ = client.received
    assert before.payload == f"{after.payload}?"


async def test_who_was_away_gets_the_event_and_may_acknowledge_it(
    pods: Pods, js: JsClients, mine: str
) -> None:
    user = f"away{mine}"
    await js.connect(pods.b.chats_url, user=user)  # silent: it keeps the request waiting
    client = await js.connect(
        pods.a.chats_url,
        auth={"userId": user, "recovery": True},
        user=user,
        acks={"question": ["late"]},
        reconnectionDelay=200,
        randomizationFactor=0,
    )
    async with nest_client(pods.b.tcp_port) as nest:
        await nest.ask("sendToUser", {"userId": user, "event": "first"})
        await client.event("first")
        client.sever()
        answer = await nest.ask("sendToUser", question(user, PATIENT))
        await client.until(lambda: client.connects == 2, "it is back")
        await nest.ask("sendToUser", {"userId": user, "event": "end"})
        await client.until(lambda: client.received[-1].event == "end", "the end")

    assert client.recovered == [False, True]
    names = [one.event for one in client.received if one.event != "constellation:offset"]
    assert names == ["first", "question", "end"]
    assert answer["acks"] == [{"sid": client.id, "data": "late"}]
    assert answer["unanswered"] == 1


async def test_the_sockets_of_a_pod_that_was_killed_are_not_answered_for(
    pods: Pods, valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    user, acks = f"left{mine}", {"question": ["yes"]}
    survivor = await js.connect(pods.b.chats_url, user=user, acks=acks)
    async with gateway(valkey.url) as doomed, nest_client(pods.a.tcp_port) as nest:
        left = await js.connect(doomed.chats_url, user=user, acks=acks, reconnection=False)
        both = await nest.ask("sendToUser", question(user, PATIENT))
        assert {ack["sid"] for ack in both["acks"]} == {survivor.id, left.id}

        await doomed.kill()
        answer = await nest.ask("sendToUser", question(user, HASTY))

    assert answer["acks"] == [{"sid": survivor.id, "data": "yes"}]
    assert answer["complete"] is False
