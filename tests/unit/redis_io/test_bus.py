"""The bus on a real Valkey: what is published arrives, and a lost subscription comes back.

Spans of seconds are made shorter where a test waits for their end.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from functools import partial

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from constellation_ws.messages import commands
from constellation_ws.messages.commands import Join
from constellation_ws.messages.events import Room
from constellation_ws.messages.redis_emitter import EmitterChannels
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io import bus as redis_bus
from constellation_ws.redis_io import heartbeat
from constellation_ws.redis_io.bus import Published, RedisBus
from constellation_ws.redis_io.link import RedisUnavailable, make_client
from constellation_ws.redis_io.names import DEFAULT
from tests.forwarder import forwarder
from tests.pod_parts import Listener
from tests.processes import Valkey, running_valkey
from tests.unit.redis_io.bus_pods import CHANNELS, VOLATILE, Pod, running, standing
from tests.waiting import PATIENCE_SECONDS, eventually

_NOT_SENT = "the heartbeat could not be sent"


def has_lost(pod: Pod, times: int) -> bool:
    return pod.reconnects("connection") == times


@pytest.fixture
async def pod(redis: Redis) -> AsyncIterator[Pod]:
    pod = Pod(redis)
    async with running(pod):
        await standing(pod)
        yield pod


async def test_messages_arrive_whole_and_in_order_a_read_at_a_time(pod: Pod, redis: Redis) -> None:
    payloads = [b"%d " % number + b"x" * (number % 3_000) for number in range(2_000)]
    async with redis.pipeline(transaction=False) as pipe:
        for number, payload in enumerate(payloads):
            pipe.publish(CHANNELS[number % 2], payload)
        await pipe.execute()
    await eventually(lambda: len(pod.heard) == len(payloads), PATIENCE_SECONDS, "all have arrived")
    assert pod.heard == [
        (CHANNELS[number % 2].encode(), payload) for number, payload in enumerate(payloads)
    ]
    assert len(pod.listener.batches) < len(payloads) / 5
    assert all(pod.listener.batches)


async def test_a_pod_that_ends_its_subscription_has_received_all_that_redis_counted(
    pod: Pod, redis: Redis
) -> None:
    counted = []

    async def publish() -> None:
        for number in itertools.count():
            if not await redis.publish(CHANNELS[0], b"%d" % number):
                return
            counted.append((CHANNELS[0].encode(), b"%d" % number))

    publishing = asyncio.create_task(publish())
    await eventually(lambda: len(pod.heard) > 100, PATIENCE_SECONDS, "messages flow")
    assert await pod.bus.retire(PATIENCE_SECONDS)
    await publishing
    assert pod.heard == counted


async def test_who_has_no_subscription_has_received_all_unless_one_is_being_opened(
    redis: Redis,
) -> None:
    assert await Pod(redis).bus.retire(0.05)
    opening = Pod(redis)
    async with opening.bus._changing:
        assert not await opening.bus.retire(0.05)


async def test_who_may_not_unsubscribe_receives_all_up_to_the_refusal(
    valkey: Valkey, redis: Redis
) -> None:
    """The ACL of an earlier release has no permission for that."""
    rules = ["reset", "on", ">secret", "allkeys", "allchannels", "+@all"]
    await redis.execute_command("ACL", "SETUSER", "old", *rules, "-unsubscribe", "-punsubscribe")
    url = valkey.url.replace("redis://", "redis://old:secret@")
    async with make_client(url, retries=0) as client:
        pod = Pod(client)
        async with running(pod):
            await standing(pod)
            await redis.publish(CHANNELS[0], b"1")
            assert await pod.bus.retire(PATIENCE_SECONDS)
            assert pod.heard == [(CHANNELS[0].encode(), b"1")]


async def test_any_bytes_pass_and_other_channels_do_not(pod: Pod, redis: Redis) -> None:
    await redis.publish("chat:other", b"not for us")
    await redis.publish("chat:new", bytes(range(256)))
    await redis.publish("chat:new", b"")
    await redis.publish(commands.EMITTER_CHANNEL, b"{}")
    await eventually(lambda: len(pod.heard) >= 3, PATIENCE_SECONDS, "three have arrived")
    assert pod.heard == [
        (b"chat:new", bytes(range(256))),
        (b"chat:new", b""),
        (b"socketio", b"{}"),
    ]


async def test_what_emitters_publish_keeps_its_place_between_other_messages(
    pod: Pod, redis: Redis
) -> None:
    published = [
        (channel, b"%d" % number)
        for number in range(300)
        for channel in (
            b"chat:new",
            b"socket.io#/chats#",
            b"socket.io#/chats#user:%d#" % number,
            b"socket.io#/others#",
        )
    ]
    async with redis.pipeline(transaction=False) as pipe:
        for channel, payload in published:
            pipe.publish(channel, payload)
        await pipe.execute()
    expected = [one for one in published if one[0] != b"socket.io#/others#"]
    await eventually(lambda: pod.heard[-1:] == expected[-1:], PATIENCE_SECONDS, "all have arrived")
    assert pod.heard[-len(expected) :] == expected
    assert pod.metrics.unsupported.of("namespace").value == 300


async def test_socket_io_servers_do_not_wait_for_answers_of_a_gateway(
    pod: Pod, redis: Redis
) -> None:
    """They wait for as many as have subscribed to the channel of requests."""
    requests = "socket.io-request#/chats#"
    assert await redis.pubsub_numsub(requests) == [(requests.encode(), 0)]
    assert await redis.publish(requests, b'{"type":2,"opts":{},"rooms":["r"]}') == 1
    await eventually(lambda: pod.heard, PATIENCE_SECONDS, "the request has arrived")
    assert pod.heard[-1][0] == requests.encode()


async def test_without_a_key_nothing_of_emitters_is_received(redis: Redis) -> None:
    pod = Pod(redis, EmitterChannels(""))
    async with running(pod):
        await standing(pod)
        assert await redis.pubsub_numpat() == 0
        await redis.publish("socket.io#/chats#", b"x")
        await redis.publish("chat:new", b"{}")
        await eventually(lambda: pod.heard, PATIENCE_SECONDS, "a message arrives")
        assert pod.heard == [(b"chat:new", b"{}")]


async def test_a_command_is_told_to_every_pod_its_sender_included(redis: Redis) -> None:
    a, b = Pod(redis), Pod(redis)
    command = Join(Room("user:1"), Room("team"))
    async with running(a, b):
        await standing(a, b)
        await a.bus.all_pods.send(command)
        await eventually(lambda: a.heard and b.heard, PATIENCE_SECONDS, "it has arrived")
        for pod in (a, b):
            ((channel, payload),) = pod.heard
            assert (channel.decode(), commands.decode(payload)) == (DEFAULT.commands, command)


async def test_heartbeats_are_timed_and_nobody_elses_business(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.02)
    pod = Pod(redis)
    async with running(pod):
        await standing(pod)
        await eventually(
            lambda: pod.metrics.redis_round_trip._value.get() > 0, PATIENCE_SECONDS, "it is timed"
        )
    assert pod.metrics.redis_round_trip._value.get() < PATIENCE_SECONDS
    assert pod.heard == []


async def test_heartbeats_keep_a_quiet_subscription_alive(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(redis_bus, "SILENCE_SECONDS", 2.0)
    pod = Pod(redis)
    async with running(pod):
        await standing(pod)
        before = pod.bus._last_received_at
        await eventually(
            lambda: pod.bus._last_received_at > before + 2, PATIENCE_SECONDS, "the end is put off"
        )
    assert pod.reconnects("silent") == 0
    assert pod.listener.interruptions == []


async def test_a_silent_subscription_is_replaced_without_a_loss(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read until the next one begins: Redis and the network may only have been slow."""
    monkeypatch.setattr(redis_bus, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(redis_bus, "_READ_SECONDS", 0.01)
    monkeypatch.setattr(redis_bus, "_CHANGE_SECONDS", PATIENCE_SECONDS)
    pod = Pod(redis)
    async with running(pod, beating=False):
        await standing(pod)
        published = 0
        while pod.reconnects("silent") < 5:
            await redis.publish("chat:new", str(published))
            published += 1
            await asyncio.sleep(0)
        await eventually(lambda: len(pod.heard) >= published, PATIENCE_SECONDS, "all have arrived")
    assert [int(payload) for _, payload in pod.heard] == list(range(published))
    assert pod.listener.interruptions == []
    assert pod.reconnects("connection") == 0


async def test_a_connection_that_is_dead_is_given_up_and_that_may_be_a_loss(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_bus, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(redis_bus, "_READ_SECONDS", 0.01)
    monkeypatch.setattr(redis_bus, "_CHANGE_SECONDS", 0.1)
    async with forwarder(valkey.port) as wire, Redis(port=wire.port) as through:
        pod = Pod(through)
        async with running(pod, beating=False):
            await standing(pod)
            while not pod.listener.interruptions:
                wire.freeze()
                await asyncio.sleep(0.01)
    assert pod.listener.interruptions[0] is True


async def test_a_subscription_that_is_doubted_is_replaced_and_nothing_is_missed(
    pod: Pod, redis: Redis
) -> None:
    lines = await redis.client_list(_type="pubsub")
    for number in range(200):
        if number == 100:
            pod.bus.doubt()
        await redis.publish("chat:new", str(number))
    await eventually(
        lambda: len([one for one in pod.heard if one[0] == b"chat:new"]) == 200,
        PATIENCE_SECONDS, "all have arrived",
    )  # fmt: skip
    assert [int(one[1]) for one in pod.heard if one[0] == b"chat:new"] == list(range(200))

    async def is_another() -> bool:
        now = await redis.client_list(_type="pubsub")
        return len(now) == len(lines) and not {line["id"] for line in now} & {
            line["id"] for line in lines
        }

    await eventually(is_another, PATIENCE_SECONDS, "it is another connection")


async def test_a_subscription_knows_which_start_of_redis_it_is_on(pod: Pod, redis: Redis) -> None:
    assert pod.bus.run_id == (await redis.info("server"))["run_id"]


def test_a_dead_subscription_is_noticed_in_time_and_a_late_heartbeat_forgiven() -> None:
    assert redis_bus.SILENCE_SECONDS < 15
    assert redis_bus.SILENCE_SECONDS >= 3 * heartbeat.HEARTBEAT_SECONDS


async def test_a_killed_connection_is_replaced_and_nothing_is_left_of_it(
    pod: Pod, redis: Redis
) -> None:
    for time in (1, 2):
        await redis.client_kill_filter(_type="pubsub", skipme=True)
        await eventually(partial(has_lost, pod, time), PATIENCE_SECONDS, "it is lost")
        await standing(pod)
    assert pod.listener.interruptions == [False, False], "Redis had sent all before it hung up"
    await redis.publish("chat:new", b"{}")
    await eventually(lambda: pod.heard, PATIENCE_SECONDS, "a message arrives")
    assert len(await redis.client_list("pubsub")) == 1


async def test_the_bus_outlives_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.05)
    with running_valkey() as valkey:
        async with Redis.from_url(valkey.url, socket_connect_timeout=1) as redis:
            pod = Pod(redis)
            assert (pod.stands, pod.bus.has_subscribed) == (False, False)
            async with running(pod):
                await standing(pod)
                assert pod.bus.has_subscribed
                valkey.stop()
                await eventually(lambda: not pod.stands, PATIENCE_SECONDS, "the loss is noticed")
                disconnected_at = pod.bus.disconnected_at
                with pytest.raises(RedisUnavailable, match="try again"):
                    await pod.bus.publisher.publish("chat:new", b"{}")
                with pytest.raises(RedisUnavailable):
                    await pod.bus.all_pods.send(Join(Room("a"), Room("b")))
                with pytest.raises(RedisUnavailable):
                    await pod.bus.all_pods.disconnect(Room("a"), "", [])
                with capture_logs() as logs:
                    await eventually(
                        lambda: sum(line["event"] == _NOT_SENT for line in logs) > 1,
                        PATIENCE_SECONDS,
                        "it goes on sending heartbeats",
                    )
                # The first moment counts, however often it was tried since.
                await eventually(lambda: pod.bus._attempts >= 2, PATIENCE_SECONDS, "it tries again")
                assert pod.bus.disconnected_at == disconnected_at
                valkey.start()
                await standing(pod)
                await pod.bus.publisher.publish("chat:new", b"{}")
                await eventually(lambda: pod.heard, PATIENCE_SECONDS, "a message arrives")


async def test_a_refused_subscription_is_tried_ever_more_slowly(
    redis: Redis, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []

    def no_backoff(attempt: int, chance: float) -> float:
        attempts.append(attempt)
        return 0.01

    monkeypatch.setattr(redis_bus, "backoff_seconds", no_backoff)
    await redis.acl_setuser(
        "mute", enabled=True, nopass=True, commands=["+@all"], reset_channels=True
    )
    async with Redis.from_url(valkey.url, username="mute", password="any") as mute:
        pod = Pod(mute)
        async with running(pod, beating=False):
            await eventually(lambda: len(attempts) >= 4, PATIENCE_SECONDS, "four attempts")
    assert attempts[:4] == [1, 2, 3, 4]
    assert not pod.bus.has_subscribed
    assert pod.reconnects("connection") >= 4


async def test_attempts_begin_anew_once_a_subscription_stood(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []

    def no_backoff(attempt: int, chance: float) -> float:
        attempts.append(attempt)
        return 0.01

    monkeypatch.setattr(redis_bus, "backoff_seconds", no_backoff)
    pod = Pod(redis)
    async with running(pod):
        for time in (1, 2, 3):
            await standing(pod)
            await redis.client_kill_filter(_type="pubsub", skipme=True)
            await eventually(partial(has_lost, pod, time), PATIENCE_SECONDS, "it is lost")
    assert attempts[:3] == [1, 1, 1]


async def test_an_error_of_whoever_takes_the_messages_ends_it(redis: Redis) -> None:
    bus = RedisBus(redis, CHANNELS, Metrics())

    class Broken(Listener):
        def receive(self, batch: list[Published]) -> None:
            if (b"chat:new", b"{}") in batch:
                raise RuntimeError("a broken promise")

    task = asyncio.create_task(bus.run(Broken()))
    await eventually(
        lambda: bus.disconnected_at is None, PATIENCE_SECONDS, "the subscription stands"
    )
    await redis.publish("chat:new", b"{}")
    with pytest.raises(RuntimeError, match="a broken promise"):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await task


async def test_garbage_on_the_pods_own_channels_is_counted_and_survived(
    pod: Pod, redis: Redis
) -> None:
    own = [name for name in await redis.pubsub_channels() if pod.bus.instance.encode() in name]
    assert len(own) == 2
    garbage = [b"", b"x", b"\xff\xfe", b"{}"]
    for channel in own:
        for payload in garbage:
            await redis.publish(channel, payload)
    await redis.publish("chat:new", b"{}")
    await eventually(lambda: pod.heard, PATIENCE_SECONDS, "a message arrives")
    assert pod.stands
    assert pod.malformed() == 2 * len(garbage)


async def test_the_end_of_the_bus_leaves_no_subscription(redis: Redis) -> None:
    pod = Pod(redis)
    async with running(pod):
        await standing(pod)
        assert await redis.pubsub_numsub("chat:new") == [(b"chat:new", 1)]

    async def nobody_listens() -> bool:
        return await redis.pubsub_numsub("chat:new") == [(b"chat:new", 0)]

    await eventually(nobody_listens, PATIENCE_SECONDS, "the subscription is gone")
    assert redis.connection_pool._in_use_connections == set()


async def test_every_bus_is_its_own(redis: Redis) -> None:
    assert len({RedisBus(redis, CHANNELS, Metrics()).instance for _ in range(10)}) == 10


async def test_events_can_be_left_out_and_received_again(pod: Pod, redis: Redis) -> None:
    assert await redis.publish(CHANNELS[0], "1") == 1
    pod.bus.listen(listens=False)
    await eventually(lambda: len(pod.listener.changes) == 1, PATIENCE_SECONDS, "they are left out")
    assert pod.listener.changes == [(1, False)]
    assert await redis.publish(CHANNELS[0], "2") == 0
    assert await redis.publish(VOLATILE, "3") == 1
    assert await redis.publish(DEFAULT.commands, "4") == 1
    await eventually(lambda: len(pod.heard) == 3, PATIENCE_SECONDS, "those have arrived")
    pod.bus.listen(listens=True)
    await eventually(lambda: len(pod.listener.changes) == 2, PATIENCE_SECONDS, "they are back")
    assert await redis.publish(CHANNELS[0], "5") == 1
    await eventually(lambda: len(pod.heard) == 4, PATIENCE_SECONDS, "it has arrived")
    assert [payload for _, payload in pod.heard] == [b"1", b"3", b"4", b"5"]
    assert pod.listener.interruptions == []


async def test_what_is_published_around_a_change_arrives_once_if_it_is_counted(
    pod: Pod, redis: Redis
) -> None:
    sent: list[bytes] = []
    for number in range(600):
        if number in (200, 400):
            pod.bus.listen(listens=number == 400)
        payload = b"%d" % number
        await redis.publish(VOLATILE, payload)
        sent.append(payload)
    await eventually(lambda: len(pod.heard) >= len(sent), PATIENCE_SECONDS, "all have arrived")
    await eventually(lambda: len(pod.listener.changes) == 2, PATIENCE_SECONDS, "both changes")
    assert [payload for _, payload in pod.heard] == sent


async def test_who_changes_its_mind_at_once_receives_as_before(pod: Pod, redis: Redis) -> None:
    pod.bus.listen(listens=False)
    pod.bus.listen(listens=True)

    async def is_heard() -> bool:
        return await redis.publish(CHANNELS[0], "1") == 1 and bool(pod.heard)

    await eventually(is_heard, PATIENCE_SECONDS, "it is heard")
    assert pod.listener.changes in ([], [(0, False), (0, True)])
