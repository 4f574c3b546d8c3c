"""What the API publishes reaches the right sockets, on every transport and every pod."""

import asyncio
import json
import random

import pytest

from tests.event_cases import EventCase, event_cases
from tests.journey.conftest import BOTH_MODES, Pods
from tests.journey.publishing import Publisher
from tests.js_clients import POLLING, UPGRADING, WEBSOCKET, JsClient, JsClients, Received

pytestmark = [pytest.mark.asyncio(loop_scope="session"), BOTH_MODES]

CASES = [case.name for case in event_cases()]
TRANSPORTS = [
    pytest.param(WEBSOCKET, id="websocket"),
    pytest.param(POLLING, id="polling"),
    pytest.param(UPGRADING, id="upgraded"),
]


@pytest.mark.parametrize("transports", TRANSPORTS)
@pytest.mark.parametrize("name", CASES)
async def test_every_sample_reaches_exactly_those_it_is_for(
    name: str,
    transports: tuple[str, ...],
    pods: Pods,
    js: JsClients,
    publish: Publisher,
    mine: str,
) -> None:
    """On the pod of the clients, while another pod with sockets of the same users is up.

    Alice and Bob are in the rooms, too: who is addressed twice gets the event once.
    """
    case = next(case for case in event_cases(mine) if case.name == name)
    alice, bob, carol = (f"{user}{mine}" for user in ("alice", "bob", "carol"))
    rooms = sorted(case.rooms)
    here = [
        await _member(js, pods.a.chats_url, alice, rooms, transports),
        await _member(js, pods.a.chats_url, bob, rooms, transports),
        await _member(js, pods.a.chats_url, carol, [], transports),
        await _member(js, pods.a.chats_url, f"dave{mine}", rooms, transports),
        await _member(js, pods.a.chats_url, f"stranger{mine}", [], transports),
    ]
    there = await _member(js, pods.b.chats_url, bob, rooms, WEBSOCKET)
    in_rooms = [True, True, False, True, False, True]

    await publish(case.channel, case.publish)

    heard = await publish.heard_by(*here, there)
    for client, joined, events in zip([*here, there], in_rooms, heard, strict=True):
        assert client.user is not None
        expected = case.reaches(client.user, set(rooms) if joined else set())
        assert [_plain(event) for event in events] == _expected(case, expected), client


@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_a_burst_of_mixed_events_keeps_its_order_on_every_socket(
    transports: tuple[str, ...], pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    """Some are for Bob alone, some for the chat with Dave, some for both: audiences alternate."""
    bob = await _member(js, pods.a.chats_url, f"bob{mine}", [f"chat:c{mine}"], transports)
    dave = await _member(js, pods.a.chats_url, f"dave{mine}", [f"chat:c{mine}"], transports)
    burst = [_numbered(n, f"bob{mine}", f"c{mine}") for n in range(500)]

    await publish.burst([(channel, message) for channel, message, _ in burst])

    to_bob, to_dave = await publish.heard_by(bob, dave)
    sent = [(name, n) for n, (_, _, name) in enumerate(burst)]
    assert [_number(event) for event in to_bob] == sent
    of_the_chat = ("new-message", "user-typing")
    assert [_number(event) for event in to_dave] == [one for one in sent if one[0] in of_the_chat]


async def test_events_during_the_upgrade_to_a_websocket_arrive_once_and_in_order(
    pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    bob = js.open(pods.a.chats_url, user=f"bob{mine}", transports=UPGRADING)
    await bob.until(lambda: bob.connected, "a connection")
    sent = 0
    while bob.transport != "websocket" or sent < 200:
        await publish.burst([_status(sent + n, f"bob{mine}") for n in range(5)])
        sent += 5
        await asyncio.sleep(0)  # lets the reports in, nothing is waited for
        assert sent < 100_000, "the upgrade never came"

    (heard,) = await publish.heard_by(bob)
    assert [event.payload["timestamp"] for event in heard] == list(range(sent))


async def test_every_socket_of_a_user_hears_until_it_leaves(
    pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    tabs = [
        await js.connect(pods.a.chats_url, user=f"bob{mine}"),
        await js.connect(pods.a.chats_url, user=f"bob{mine}", transports=POLLING),
        await js.connect(pods.b.chats_url, user=f"bob{mine}"),
    ]
    for event in _new_chat(f"bob{mine}", "first"), _new_chat(f"bob{mine}", "second"):
        await publish("chat:new", event)
        heard = await publish.heard_by(*tabs)
        assert [[one.payload["chatId"] for one in each] for each in heard] == [
            [event["chatId"]] for _ in tabs
        ]
        tabs.pop(0).close()


async def test_a_deleted_chat_is_empty_afterwards(
    pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    room = f"chat:c{mine}"
    members = [
        await _member(js, pods.a.chats_url, f"bob{mine}", [room], WEBSOCKET),
        await _member(js, pods.b.chats_url, f"carol{mine}", [room], POLLING),
    ]
    message = {"chatId": f"c{mine}", "messageId": "m", "senderId": "x", "recipientId": f"y{mine}"}
    deleted = {"chatId": f"c{mine}", "deletedByUserId": "x", "participants": []}

    await publish.burst(
        [
            ("chat:newMessage", message | {"text": "before"}),
            ("chat:deleted", deleted),
            ("chat:newMessage", message | {"text": "after"}),
        ]
    )

    for heard in await publish.heard_by(*members):
        assert [event.event for event in heard] == ["new-message", "chat-deleted"]
    await members[0].join(f"c{mine}")
    await publish("chat:newMessage", message | {"text": "joined again"})
    again, still_out = await publish.heard_by(*members)
    assert [event.payload["text"] for event in again] == ["joined again"]
    assert still_out == []


async def test_who_leaves_a_chat_hears_no_more_of_it(
    pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    bob = await _member(js, pods.a.chats_url, f"bob{mine}", [f"chat:c{mine}"], WEBSOCKET)
    assert await bob.ask("leave-chat", {"chatId": f"c{mine}"}) == {
        "success": True,
        "data": {"chatId": f"c{mine}"},
    }
    typing = {"chatId": f"c{mine}", "userId": "x", "isTyping": True, "participants": []}

    await publish("chat:typing", typing)

    assert await publish.heard_by(bob) == [[]]


async def _member(
    js: JsClients, url: str, user: str, rooms: list[str], transports: tuple[str, ...]
) -> JsClient:
    client = await js.connect(url, user=user, transports=transports)
    for room in rooms:
        await client.join(room.removeprefix("chat:"))
    return client


def _plain(event: Received) -> tuple[str, tuple[object, ...]]:
    return event.event, event.arguments


def _expected(case: EventCase, reached: bool) -> list[tuple[str | None, tuple[object, ...]]]:
    return [(case.event, (case.payload,))] if reached else []


def _number(event: Received) -> tuple[str, int]:
    """An event's name and its number in the burst; `user-typing` has no timestamp to carry it."""
    number = event.payload["userId" if event.event == "user-typing" else "timestamp"]
    assert isinstance(number, int)
    return event.event, number


def _new_chat(user: str, chat: str) -> dict[str, object]:
    return {"userId": user, "chatId": chat, "withUser": {}, "created_at": 1, "timestamp": 1}


def _status(n: int, user: str) -> tuple[str, object]:
    return "user:status", {"userId": "x", "status": "s", "notifyUsers": [user], "timestamp": n}


def _numbered(n: int, user: str, chat: str) -> tuple[str, str, str]:
    """A channel, its message and the event's name: different ones, by turns and in size."""
    text = "я" * random.Random(n).randrange(0, 3000)
    kinds: list[tuple[str, str, dict[str, object]]] = [
        ("chat:newMessage", "new-message", {"recipientId": user, "text": text}),
        ("chat:typing", "user-typing", {"userId": n, "isTyping": True, "participants": []}),
        ("chat:messageRead", "message-read", {"userId": user, "messageIds": [text]}),
        ("chat:new", "new-chat", {"userId": user, "withUser": {"name": text}}),
        ("user:status", "user-status", {"userId": "x", "status": text, "notifyUsers": [user]}),
        # Of another chat: one more would leave bob's room empty.
        ("chat:deleted", "chat-deleted", {"chatId": f"{chat}-gone", "participants": [user]}),
    ]
    channel, name, keys = kinds[n % len(kinds)]
    message = {"chatId": chat, "timestamp": n} | keys
    return channel, json.dumps(message, ensure_ascii=False), name
