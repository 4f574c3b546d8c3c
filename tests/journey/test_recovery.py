"""Nothing lost: clients resume where they were, on any pod, and nobody resumes what is not theirs.

What many clients live through at once is told by tests/chaos.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.redis_io.names import DEFAULT
from tests.forwarder import forwarder
from tests.journey.conftest import Pods, StartGateway
from tests.journey.publishing import Publisher
from tests.journey.raw_clients import numbers, passed, raw, say, say_in
from tests.js_clients import POLLING, WEBSOCKET, JsClient, JsClients
from tests.nest_client import nest_client
from tests.processes import HOST, Gateway, Valkey
from tests.valkeys import LastingValkey, lasting_valkey
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUICK: dict[str, Any] = {"reconnectionDelay": 100, "reconnectionDelayMax": 500}
ASKS = {"recovery": True}


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[LastingValkey]:
    """A Valkey for one test whose data stay when it is restarted."""
    with lasting_valkey(tmp_path) as valkey:
        yield valkey


async def test_what_was_missed_comes_before_the_answer_and_the_identity_stays(
    pods: Pods, publish: Publisher, mine: str
) -> None:
    user = f"bob{mine}"
    async with raw(pods.a, user, recovery=True) as before:
        await before.join(f"c{mine}")
        await say(publish, user, 1)
        *_, offset = await before.event()
    await say(publish, user, 2)
    await say_in(publish, f"c{mine}", 3)
    await passed(pods.b, publish, mine)

    async with raw(pods.b, user, pid=before.answer["pid"], offset=offset) as after:
        assert after.answer == before.answer
        assert numbers(after.missed) == ["n2", 3]
        assert [len(event) for event in after.missed] == [3, 3]
        await say_in(publish, f"c{mine}", 4)
        assert numbers([await after.event()]) == [4]


async def test_who_has_seen_nothing_yet_recovers_from_its_connect(
    pods: Pods, publish: Publisher, mine: str
) -> None:
    user = f"bob{mine}"
    async with raw(pods.a, user, recovery=True) as before:
        pass
    await say(publish, user, 1)
    await passed(pods.b, publish, mine)
    async with raw(pods.b, user, pid=before.answer["pid"]) as after:
        assert after.answer == before.answer
        assert numbers(after.missed) == ["n1"]


async def test_a_session_cannot_be_taken_by_another_user(
    pods: Pods, publish: Publisher, mine: str
) -> None:
    user = f"bob{mine}"
    async with raw(pods.a, user, recovery=True) as before:
        pid = before.answer["pid"]
    await say(publish, user, 1)
    await passed(pods.b, publish, mine)
    async with raw(pods.b, f"eve{mine}", pid=pid) as thief:
        assert thief.missed == []
        assert not set(thief.answer.values()) & set(before.answer.values())
    async with raw(pods.b, user, pid=pid) as owner:
        assert owner.answer == before.answer
        assert numbers(owner.missed) == ["n1"]


async def test_a_session_is_over_when_its_window_is(
    own_valkey: Valkey, gateway: StartGateway, mine: str
) -> None:
    settings = {
        "CONSTELLATION_RECOVERY_WINDOW_SECONDS": 5,
        "CONSTELLATION_PING_INTERVAL_SECONDS": 3,
        "CONSTELLATION_PING_TIMEOUT_SECONDS": 2,
    }
    async with gateway(own_valkey.url, **settings) as pod:
        user = f"bob{mine}"
        async with raw(pod, user, recovery=True) as before:
            pid = before.answer["pid"]
            left = time.monotonic()  # the server notices it later, never before
        async with Redis.from_url(own_valkey.url) as redis:

            async def is_over() -> bool:
                return not await redis.exists(f"{{constellation:events}}:session:{pid}")

            await eventually(is_over, PATIENCE_SECONDS, "the session has expired")
            assert time.monotonic() - left > 4.5
        async with raw(pod, user, pid=pid) as after:
            assert after.answer["pid"] != pid


@pytest.mark.parametrize("how", ["leaveRoom", "chat:deleted", "leave-chat"])
async def test_a_room_that_was_lost_is_not_read_on(
    how: str, pods: Pods, publish: Publisher, mine: str
) -> None:
    user, chat = f"bob{mine}", f"c{mine}"
    async with raw(pods.a, user, recovery=True) as before:
        await before.join(chat)
        await say_in(publish, chat, 1)
        *_, offset = await before.event()
        if how == "leave-chat":
            await before.ask("leave-chat", chat)
            await say(publish, user, 0)
            *_, offset = await before.event()
    async with nest_client(pods.a.tcp_port) as nest:
        if how == "leaveRoom":
            await nest.ask("leaveRoom", {"userId": user, "roomName": f"chat:{chat}"})
        elif how == "chat:deleted":
            event = {"chatId": chat, "deletedByUserId": "x", "participants": [], "timestamp": 2}
            assert await nest.ask("chat:deleted", event) == {"accepted": True}
        assert await nest.ask("chat:newMessage", _message(chat, 3)) == {"accepted": True}
    await passed(pods.b, publish, mine)
    pid = before.answer["pid"]
    async with raw(pods.b, user, pid=pid, offset=offset) as after:
        assert after.answer["pid"] == pid
        gone = [["chat-deleted"]] if how == "chat:deleted" else []
        assert [event[:1] for event in after.missed] == gone
        await say_in(publish, chat, 4)
        await say(publish, user, 5)
        assert numbers([await after.event()]) == ["n5"]


async def test_a_room_that_was_lost_is_not_kept_by_claiming_to_have_seen_that(
    pods: Pods, publish: Publisher, mine: str
) -> None:
    """Any of the user's sockets hears offsets: none may stand for what was not seen."""
    user, chat = f"bob{mine}", f"c{mine}"
    async with raw(pods.a, user, recovery=True) as before:
        await before.join(chat)
    async with nest_client(pods.a.tcp_port) as nest, raw(pods.b, user, recovery=True) as other:
        await nest.ask("leaveRoom", {"userId": user, "roomName": f"chat:{chat}"})
        await say(publish, user, 1)
        *_, offset = await other.event()
    async with raw(pods.b, user, pid=before.answer["pid"], offset=offset) as after:
        assert after.answer == before.answer
        await say_in(publish, chat, 4)
        await say(publish, user, 5)
        assert numbers([*after.missed, await after.event()]) == ["n5"]


async def test_what_was_said_in_a_room_before_it_was_joined_is_not_replayed(
    pods: Pods, publish: Publisher, mine: str
) -> None:
    user, chat = f"bob{mine}", f"c{mine}"
    async with raw(pods.a, user, recovery=True) as before:
        await say(publish, user, 1)
        *_, offset = await before.event()
        async with nest_client(pods.a.tcp_port) as nest:
            assert await nest.ask("chat:newMessage", _message(chat, 2)) == {"accepted": True}
        await passed(pods.a, publish, mine)
        await before.join(chat)
    async with nest_client(pods.a.tcp_port) as nest:
        assert await nest.ask("chat:newMessage", _message(chat, 3)) == {"accepted": True}
    await passed(pods.b, publish, mine)
    async with raw(pods.b, user, pid=before.answer["pid"], offset=offset) as after:
        assert after.answer == before.answer
        assert numbers(after.missed) == [3]


@pytest.mark.parametrize("offset", ["", "hello", "1-2-3", "99999999999999999999999-0", 7, None, {}])
async def test_an_offset_that_is_no_log_id_counts_as_none(
    offset: object, pods: Pods, publish: Publisher, mine: str
) -> None:
    user = f"bob{mine}"
    async with raw(pods.a, user, recovery=True) as before:
        pass
    await say(publish, user, 1)
    await passed(pods.b, publish, mine)
    async with raw(pods.b, user, pid=before.answer["pid"], offset=offset) as after:
        assert after.answer == before.answer
        assert numbers(after.missed) == ["n1"]


@pytest.mark.parametrize("pid", ["", "x" * 65, "никто", "nobody", 7, None, {}, "../*"])
async def test_a_pid_that_names_nothing_is_a_new_session(
    pid: object, pods: Pods, mine: str
) -> None:
    async with raw(pods.a, f"bob{mine}", pid=pid) as client:
        assert client.missed == []
        assert client.answer["pid"] not in ("", pid)


async def test_a_pid_in_use_elsewhere_fences_the_older_connection(
    pods: Pods, publish: Publisher, mine: str
) -> None:
    user = f"bob{mine}"
    for other in (pods.a, pods.b):
        async with (
            raw(pods.a, user, recovery=True) as older,
            raw(other, user, pid=older.answer["pid"]) as newer,
        ):
            assert newer.answer == older.answer
            assert await older.is_closed()
            await say(publish, user, 1)
            assert numbers([await newer.event()]) == ["n1"]


async def test_with_recovery_off_a_connect_is_answered_with_the_sid_alone(
    valkey: Valkey, gateway: StartGateway, mine: str
) -> None:
    async with (
        gateway(valkey.url, CONSTELLATION_RECOVERY="off") as pod,
        raw(pod, f"bob{mine}", recovery=True, pid="x") as client,
    ):
        assert client.answer.keys() == {"sid"}


@pytest.mark.parametrize(("mode", "arguments"), [("always", 2), ("auto", 1)])
async def test_offsets_are_for_all_or_for_those_who_asked(
    mode: str,
    arguments: int,
    valkey: Valkey,
    gateway: StartGateway,
    publish: Publisher,
    mine: str,
) -> None:
    async with (
        gateway(valkey.url, CONSTELLATION_RECOVERY=mode) as pod,
        raw(pod, f"bob{mine}") as client,
        raw(pod, f"al{mine}", recovery=True) as asked,
    ):
        for number in (1, 2):
            await say(publish, f"bob{mine}", number)
            await say(publish, f"al{mine}", number)
            assert len((await client.event())[1:]) == arguments
            assert len((await asked.event())[1:]) == 2


async def test_live_delivery_needs_no_log_and_offers_no_session(
    own_valkey: Valkey, gateway: StartGateway, mine: str
) -> None:
    async with (
        gateway(own_valkey.url, CONSTELLATION_DELIVERY="live") as pod,
        raw(pod, f"bob{mine}", recovery=True) as client,
        Redis.from_url(own_valkey.url) as redis,
        nest_client(pod.tcp_port) as nest,
    ):
        assert client.answer.keys() == {"sid"}
        await say(Publisher(redis), f"bob{mine}", 1)
        sent = {"userId": f"bob{mine}", "event": "e", "data": {"chatId": "n2"}}
        assert await nest.ask("sendToUser", sent) == {"accepted": True}
        assert numbers([await client.event(), await client.event()]) == ["n1", "n2"]
        kept = await redis.keys("*")
        assert [key for key in kept if b":presence:" not in key and b":peer" not in key] == []


async def test_what_the_tcp_port_sends_is_in_the_log_and_is_replayed(
    pods: Pods, publish: Publisher, mine: str
) -> None:
    user = f"bob{mine}"
    async with raw(pods.a, user, recovery=True) as before:
        pass
    async with nest_client(pods.b.tcp_port) as nest:
        sent = {"userId": user, "event": "e", "data": {"chatId": "n1"}}
        assert await nest.ask("sendToUser", sent) == {"accepted": True}
    await passed(pods.b, publish, mine)
    async with raw(pods.b, user, pid=before.answer["pid"]) as after:
        assert after.answer == before.answer
        ((event, _, offset),) = after.missed
        assert (event, offset.count("-")) == ("e", 1)


async def test_more_than_the_limit_is_not_replayed_and_that_is_told(
    own_valkey: Valkey, gateway: StartGateway, mine: str
) -> None:
    async with (
        gateway(own_valkey.url, CONSTELLATION_MAX_REPLAY_EVENTS=3) as pod,
        nest_client(pod.tcp_port) as nest,
        Redis.from_url(own_valkey.url) as redis,
    ):
        for count, is_recovered in ((3, True), (4, False)):
            async with raw(pod, f"bob{mine}", recovery=True) as before:
                pid = before.answer["pid"]
            for number in range(count):
                sent = {"userId": f"bob{mine}", "event": "e", "data": {"chatId": number}}
                assert await nest.ask("sendToUser", sent) == {"accepted": True}
            await passed(pod, Publisher(redis), mine)
            async with raw(pod, f"bob{mine}", pid=pid) as after:
                assert (after.answer["pid"] == pid) is is_recovered
                assert len(after.missed) == (count if is_recovered else 0)


async def test_an_unchanged_client_misses_nothing_when_its_pod_is_drained(
    pods: Pods, valkey: Valkey, gateway: StartGateway, js: JsClients, publish: Publisher, mine: str
) -> None:
    user = f"bob{mine}"
    async with gateway(valkey.url) as leaving, forwarder(leaving.ws_port) as service:
        url = f"http://{HOST}:{service.port}/chats"
        client = await js.connect(url, user=user, **QUICK)
        await client.join(f"c{mine}")
        service.target = pods.b.ws_port
        drained = asyncio.create_task(leaving.terminate())
        sent = 0
        while not (drained.done() and client.connects == 2 and client.connected):
            sent += 1
            await say_in(publish, f"c{mine}", sent)
        (heard,) = await publish.heard_by(client)
        assert [event.payload["messageId"] for event in heard] == list(range(1, sent + 1))
        assert client.recovered == [False, True]
        assert await drained == 0


async def test_a_killed_pod_costs_nobody_an_event_and_joins_that_were_answered_count(
    pods: Pods, valkey: Valkey, gateway: StartGateway, js: JsClients, publish: Publisher, mine: str
) -> None:
    async with gateway(valkey.url) as doomed, forwarder(doomed.ws_port) as service:
        url = f"http://{HOST}:{service.port}/chats"
        client = await js.connect(
            url, user=f"bob{mine}", auth={"userId": f"bob{mine}", **ASKS}, **QUICK
        )
        await say(publish, f"bob{mine}", 0)
        await client.next_event()
        await client.join(f"c{mine}")
        service.target = pods.b.ws_port
        await doomed.kill()
        for number in range(1, 6):
            await say_in(publish, f"c{mine}", number)
        await client.until(lambda: client.connects == 2, "a return")
        (heard,) = await publish.heard_by(client)
        assert [event.payload["messageId"] for event in heard] == [1, 2, 3, 4, 5]
        assert client.recovered == [False, True]


async def test_the_next_pod_records_when_one_leaves_and_when_one_dies(
    own_valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    async with (
        gateway(own_valkey.url) as first,
        gateway(own_valkey.url) as second,
        gateway(own_valkey.url) as third,
        Redis.from_url(own_valkey.url) as redis,
    ):
        publish = Publisher(redis)
        pods = [first, second, third]
        recorder = await _recorder(pods)
        left = [pod for pod in pods if pod is not recorder]
        client = await js.connect(left[-1].chats_url, user=f"bob{mine}")

        assert await recorder.terminate() == 0
        next_recorder = await _recorder(left)
        await next_recorder.kill()
        if next_recorder is left[-1]:
            left.pop()
            client = await js.connect(left[-1].chats_url, user=f"bob{mine}")
        last = next(pod for pod in left if pod.exit_code is None)
        await say(publish, f"bob{mine}", 1)
        assert (await client.event("new-chat")).payload == {"chatId": "n1"}
        assert await _recorder([last]) is last


async def test_a_restart_of_redis_with_its_data_loses_no_logged_event(
    lasting: LastingValkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
    async with gateway(lasting.url) as pod, nest_client(pod.tcp_port) as nest:
        auth = {"userId": user, **ASKS}
        client = await js.connect(pod.chats_url, user=user, auth=auth, **QUICK)
        accepted = []
        for number in range(60):
            if number == 20:
                lasting.stop()
            if number == 40:
                lasting.start()
            data = {"userId": user, "event": "e", "data": number}
            if (await nest.response("sendToUser", data))["success"]:
                accepted.append(number)
        assert {*range(20)} < {*accepted}
        heard: list[Any] = []

        async def has_heard_all() -> bool:
            heard[:] = [event.payload for event in client.received]
            return heard == accepted

        await eventually(
            has_heard_all, PATIENCE_SECONDS, "all that was accepted has come, in order"
        )
        assert client.disconnects == []


async def test_a_redis_that_comes_back_empty_is_told_and_delivery_goes_on(
    own_valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
    async with gateway(own_valkey.url) as pod:
        client = await js.connect(pod.chats_url, user=user, auth={"userId": user, **ASKS}, **QUICK)
        async with Redis.from_url(own_valkey.url) as redis:
            await say(Publisher(redis), user, 1)
            assert (await client.event("new-chat")).payload == {"chatId": "n1"}
        own_valkey.stop()
        own_valkey.start()
        await client.until(lambda: client.connects == 2, "a return")
        assert client.recovered == [False, False]
        async with Redis.from_url(own_valkey.url) as redis:
            await _say_until_heard(Publisher(redis), client)


async def _say_until_heard(publish: Publisher, client: JsClient) -> None:
    """Publish until an event comes: Pub/Sub before the subscription stands reaches nobody."""
    assert client.user is not None
    user, before = client.user, len(client.received)

    async def has_heard() -> bool:
        await say(publish, user, 2)
        return len(client.received) > before

    await eventually(has_heard, PATIENCE_SECONDS, "delivery goes on")


async def _recorder(pods: list[Gateway]) -> Gateway:
    async def find() -> Gateway | None:
        for pod in pods:
            if pod.exit_code is None and await pod.metric("constellation_recorder"):
                return pod
        return None

    found = await eventually(find, PATIENCE_SECONDS, "somebody records")
    assert found is not None
    return found


def _message(chat: str, number: int) -> dict[str, object]:
    return {"chatId": chat, "recipientId": "-", "messageId": number}


def _expire_soon() -> dict[str, Any]:
    return {"CONSTELLATION_MAX_CONNECTION_AGE_SECONDS": 4}


CLOSES = {"drain": dict[str, Any], "maximum age": _expire_soon}


@pytest.mark.parametrize(
    ("close", "transports", "asks"),
    [
        ("drain", WEBSOCKET, True),
        ("drain", WEBSOCKET, False),
        ("drain", POLLING, True),
        ("maximum age", WEBSOCKET, True),
    ],
    ids=["offsets", "no offsets", "polling", "maximum age"],
)
async def test_a_client_behind_a_stalled_proxy_misses_nothing_or_learns_of_it(
    close: str, transports: tuple[str, ...], asks: bool, gateway: StartGateway, js: JsClients,
    own_valkey: Valkey,
) -> None:  # fmt: skip
    """The proxy had accepted the event and the pod had closed the connection: neither is proof."""
    async with (
        gateway(own_valkey.url, **CLOSES[close]()) as old,
        gateway(own_valkey.url) as new,
        forwarder(old.ws_port) as wire,
        Redis.from_url(own_valkey.url) as redis,
    ):

        async def publish(number: int) -> None:
            event = {"userId": "bob", "chatId": f"n{number}"}
            await redis.xadd(DEFAULT.log, {"channel": "chat:new", "data": json.dumps(event)})

        auth = {"userId": "bob", **(ASKS if asks else {})}
        url = f"http://{HOST}:{wire.port}/chats"
        client = await js.connect(url, user="bob", auth=auth, transports=transports, **QUICK)
        await publish(1)
        await client.event("new-chat")
        wire.stall()
        await publish(2)
        if close == "drain":
            old.signal(signal.SIGTERM)
            await old.exited(2 * PATIENCE_SECONDS)
        else:
            await eventually(
                lambda: _disconnects(old), PATIENCE_SECONDS, "the pod has closed the connection"
            )
        wire.target = new.ws_port
        wire.break_all()
        await client.until(lambda: client.connects == 2, "it is connected again")
        await publish(3)
        await client.until(lambda: _last_number(client) == 3, "events flow")
        got = [int(one.payload["chatId"].removeprefix("n")) for one in client.received]
        if asks:
            assert client.recovered[-1]
        assert got in ([[1, 2, 3]] if client.recovered[-1] else [[1, 3], [1, 2, 3]])


async def _disconnects(pod: Gateway) -> bool:
    return await pod.metric("constellation_disconnects_total", reason="max age") > 0


def _last_number(client: JsClient) -> int:
    return int(client.received[-1].payload["chatId"].removeprefix("n")) if client.received else 0
