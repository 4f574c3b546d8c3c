"""The bus on a real Valkey: what is published arrives, and a lost subscription comes back.

Spans of seconds are made shorter where a test waits for their end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import hiredis
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from constellation_ws.messages import commands
from constellation_ws.messages.commands import Disconnect, Join, ListMembers
from constellation_ws.messages.events import Room, UserId
from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS, EmitterChannels
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io import bus as redis_bus
from constellation_ws.redis_io.bus import Published, RedisBus
from constellation_ws.redis_io.link import RedisUnavailable
from constellation_ws.redis_io.names import DEFAULT
from constellation_ws.redis_io.subscription import Subscription
from tests.forwarder import forwarder
from tests.pod_parts import Listener
from tests.processes import Valkey, running_valkey
from tests.waiting import PATIENCE_SECONDS, eventually

_NOT_SENT = "the heartbeat could not be sent"
CHANNELS = ("chat:new", "chat:newMessage")


class Pod:
    """A bus with what it was handed."""

    def __init__(self, redis: Redis, emitters: EmitterChannels = DEFAULT_EMITTERS) -> None:
        self.metrics = Metrics()
        self.bus = RedisBus(redis, CHANNELS, self.metrics, DEFAULT, emitters)
        self.listener = Listener()

    @property
    def heard(self) -> list[Published]:
        return [message for batch in self.listener.batches for message in batch]

    def reconnects(self, reason: str) -> float:
        value: float = self.metrics.redis_reconnects.labels(reason)._value.get()
        return value

    def malformed(self) -> float:
        value: float = self.metrics.commands.labels("malformed")._value.get()
        return value

    @property
    def stands(self) -> bool:
        return self.bus.lost_at is None


@asynccontextmanager
async def running(*pods: Pod, beating: bool = True) -> AsyncIterator[None]:
    """Let pods subscribe and send heartbeats; what ends by itself is an error."""
    works = [pod.bus.run(pod.listener) for pod in pods]
    works += [pod.bus.beat() for pod in pods if beating]
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        await ended(tasks)
        assert [task for task in tasks if not task.cancelled()] == []


async def ended(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until they have ended.

    Python 3.11 lets `wait_for`, in which redis-py sends, swallow a cancellation that comes late.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)


async def standing(*pods: Pod) -> None:
    await eventually(
        lambda: all(pod.stands for pod in pods), PATIENCE_SECONDS, "the subscriptions stand"
    )


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
        await a.bus.tell(command)
        await eventually(lambda: a.heard and b.heard, PATIENCE_SECONDS, "it has arrived")
        for pod in (a, b):
            ((channel, payload),) = pod.heard
            assert (channel.decode(), commands.decode(payload)) == (DEFAULT.commands, command)


async def test_publishing_says_how_many_subscribers_redis_reached(pod: Pod) -> None:
    assert await pod.bus.publish("chat:new", b"{}") == 1
    assert await pod.bus.publish("nobody listens", b"{}") == 0


async def test_heartbeats_are_timed_and_nobody_elses_business(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_bus, "HEARTBEAT_SECONDS", 0.02)
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
    monkeypatch.setattr(redis_bus, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(redis_bus, "SILENCE_SECONDS", 2.0)
    pod = Pod(redis)
    async with running(pod):
        await standing(pod)
        before = pod.bus._heard_at
        await eventually(
            lambda: pod.bus._heard_at > before + 2, PATIENCE_SECONDS, "the end is put off"
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


def test_a_dead_subscription_is_noticed_in_time_and_a_late_heartbeat_forgiven() -> None:
    assert redis_bus.SILENCE_SECONDS < 15
    assert redis_bus.SILENCE_SECONDS >= 3 * redis_bus.HEARTBEAT_SECONDS


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
    monkeypatch.setattr(redis_bus, "HEARTBEAT_SECONDS", 0.05)
    with running_valkey() as valkey:
        async with Redis.from_url(valkey.url, socket_connect_timeout=1) as redis:
            pod = Pod(redis)
            assert (pod.stands, pod.bus.has_subscribed) == (False, False)
            async with running(pod):
                await standing(pod)
                assert pod.bus.has_subscribed
                valkey.stop()
                await eventually(lambda: not pod.stands, PATIENCE_SECONDS, "the loss is noticed")
                lost_at = pod.bus.lost_at
                with pytest.raises(RedisUnavailable, match="try again"):
                    await pod.bus.publish("chat:new", b"{}")
                with pytest.raises(RedisUnavailable):
                    await pod.bus.tell(Join(Room("a"), Room("b")))
                with pytest.raises(RedisUnavailable):
                    await pod.bus.disconnect(Room("a"), "", [])
                with capture_logs() as logs:
                    await eventually(
                        lambda: sum(line["event"] == _NOT_SENT for line in logs) > 1,
                        PATIENCE_SECONDS,
                        "it goes on sending heartbeats",
                    )
                # The first moment counts, however often it was tried since.
                await eventually(lambda: pod.bus._attempts >= 2, PATIENCE_SECONDS, "it tries again")
                assert pod.bus.lost_at == lost_at
                valkey.start()
                await standing(pod)
                await pod.bus.publish("chat:new", b"{}")
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
        def take(self, batch: list[Published]) -> None:
            if (b"chat:new", b"{}") in batch:
                raise RuntimeError("a broken promise")

    task = asyncio.create_task(bus.run(Broken()))
    await eventually(lambda: bus.lost_at is None, PATIENCE_SECONDS, "the subscription stands")
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


async def test_an_answer_that_nobody_waits_for_or_that_is_no_number_counts_nothing(
    pod: Pod, redis: Redis
) -> None:
    counting = asyncio.create_task(pod.bus.disconnect(Room("user:1"), "", [pod.bus.instance]))
    await eventually(lambda: pod.heard, PATIENCE_SECONDS, "it is asked")
    command = commands.decode(pod.heard[0][1])
    assert isinstance(command, Disconnect)
    for answer in (b"%d many", b"%d ", b"%d", b"99%d 7", b"%d 4"):
        await redis.publish(command.reply_to, answer % command.ask)
    assert await counting == 4


async def test_a_push_that_is_no_message_is_passed_over(redis: Redis) -> None:
    # RESP3 servers announce their own news on any connection: maintenance, tracking.
    listener, parser = Listener(), hiredis.Reader()
    subscription = Subscription({}, DEFAULT, lambda *_: True)
    subscription.pass_to(listener.take)
    parser.feed(b">2\r\n$10\r\ninvalidate\r\n*0\r\n")
    parser.feed(b">4\r\n$6\r\nMOVING\r\n:1\r\n:15\r\n$9\r\nhost:6379\r\n")
    parser.feed(b">3\r\n$7\r\nmessage\r\n$8\r\nchat:new\r\n$2\r\n{}\r\n")
    parser.feed(b">4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$2\r\nab\r\n$1\r\nx\r\n")
    subscription._receive(parser)
    assert listener.batches == [[(b"chat:new", b"{}"), (b"ab", b"x")]]


async def asked(pod: Pod) -> Disconnect:
    """The question that a pod has received."""
    await eventually(lambda: pod.heard, PATIENCE_SECONDS, "it is asked")
    command = commands.decode(pod.heard[0][1])
    assert isinstance(command, Disconnect)
    return command


async def test_a_disconnect_adds_up_what_the_pods_answer(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_bus, "ASK_SECONDS", 10 * PATIENCE_SECONDS)
    a, b = Pod(redis), Pod(redis)

    async def answer_with(pod: Pod, count: int) -> None:
        command = await asked(pod)
        assert (command.who, command.reason) == ("user:1", "kicked")
        await pod.bus.answer(command, count)

    async with running(a, b):
        await standing(a, b)
        pods = [a.bus.instance, b.bus.instance]
        counting = asyncio.create_task(a.bus.disconnect(Room("user:1"), "kicked", pods))
        await answer_with(a, 2)
        await answer_with(b, 3)
        async with asyncio.timeout(
            PATIENCE_SECONDS
        ):  # at once, and not after the wait for silent pods
            assert await counting == 5


@pytest.mark.parametrize("counted", [0, 1])
async def test_a_disconnect_waits_for_all_pods_however_few_publish_counts(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, counted: int
) -> None:
    """As on a Cluster, where PUBLISH counts the subscribers of one node."""
    monkeypatch.setattr(redis_bus, "ASK_SECONDS", 10 * PATIENCE_SECONDS)
    a, b = Pod(redis), Pod(redis)
    publish = a.bus.publish

    async def publish_on_another_node(channel: str, payload: bytes) -> int:
        await publish(channel, payload)
        return counted

    monkeypatch.setattr(a.bus, "publish", publish_on_another_node)
    async with running(a, b):
        await standing(a, b)
        pods = [a.bus.instance, b.bus.instance]
        counting = asyncio.create_task(a.bus.disconnect(Room("user:1"), "", pods))
        await a.bus.answer(await asked(a), 2)
        await redis.publish("chat:new", b"{}")
        await eventually(lambda: len(a.heard) == 2, PATIENCE_SECONDS, "later messages arrive")
        assert not counting.done()
        await b.bus.answer(await asked(b), 3)
        assert await counting == 5


async def test_a_pod_that_is_not_registered_yet_is_waited_for_too(redis: Redis) -> None:
    a, b = Pod(redis), Pod(redis)
    async with running(a, b):
        await standing(a, b)
        counting = asyncio.create_task(a.bus.disconnect(Room("user:1"), "", [a.bus.instance]))
        for pod, count in ((a, 2), (b, 3)):
            await pod.bus.answer(await asked(pod), count)
        assert await counting == 5


async def test_pods_of_the_release_before_answer_without_their_name(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_bus, "ASK_SECONDS", 10 * PATIENCE_SECONDS)
    a, b = Pod(redis), Pod(redis)
    async with running(a, b):
        await standing(a, b)
        pods = [a.bus.instance, "an older pod"]
        counting = asyncio.create_task(a.bus.disconnect(Room("user:1"), "", pods))
        command = await asked(b)
        await a.bus.answer(command, 2)
        await redis.publish(command.reply_to, b"%d 3" % command.ask)
        assert await counting == 5
        # And such a pod asks for no name, for it could not read the answer.
        await b.bus.answer(Disconnect(command.who, "", "chat:new", 5), 7)
        await eventually(lambda: len(a.heard) == 2, PATIENCE_SECONDS, "the answer arrives")
        assert a.heard[1] == (b"chat:new", b"5 7")


async def test_two_questions_at_a_time_do_not_mix(redis: Redis) -> None:
    pod = Pod(redis)
    async with running(pod):
        await standing(pod)
        first = asyncio.create_task(pod.bus.disconnect(Room("user:1"), "", [pod.bus.instance]))
        second = asyncio.create_task(pod.bus.disconnect(Room("user:2"), "", [pod.bus.instance]))
        await eventually(lambda: len(pod.heard) == 2, PATIENCE_SECONDS, "both are asked")
        counts = {"user:1": 10, "user:2": 20}
        for _, payload in reversed(pod.heard):
            command = commands.decode(payload)
            assert isinstance(command, Disconnect)
            await pod.bus.answer(command, counts[command.who])
        assert (await first, await second) == (10, 20)


async def test_a_pod_that_does_not_answer_is_waited_for_only_so_long(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_bus, "ASK_SECONDS", 0.1)
    assert await pod.bus.disconnect(Room("user:1"), "", [pod.bus.instance]) == 0
    assert pod.bus._waiting == {}


async def test_a_disconnect_that_nobody_hears_counts_nobody(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_bus, "ASK_SECONDS", 10 * PATIENCE_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await RedisBus(redis, CHANNELS, Metrics()).disconnect(Room("user:1"), "", []) == 0


async def question(pod: Pod) -> ListMembers:
    """The question about a room that a pod has received."""
    await eventually(lambda: pod.heard, PATIENCE_SECONDS, "it is asked")
    command = commands.decode(pod.heard[0][1])
    assert isinstance(command, ListMembers)
    return command


async def test_the_members_of_a_room_are_merged_from_all_pods(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_bus, "ASK_SECONDS", 10 * PATIENCE_SECONDS)
    a, b = Pod(redis), Pod(redis)
    async with running(a, b):
        await standing(a, b)
        pods = [a.bus.instance, b.bus.instance]
        listing = asyncio.create_task(a.bus.list_members(Room("chat:1"), "u0", 3, pods))
        for pod, users in ((a, ["u1", "u3"]), (b, ["u2", "u3", "u4"])):
            asked = await question(pod)
            assert (asked.room, asked.cursor, asked.limit) == ("chat:1", "u0", 3)
            await pod.bus.answer_members(asked, [UserId(user) for user in users])
        assert await listing == (["u1", "u2", "u3", "u4"], True)


async def test_a_list_without_the_answer_of_every_pod_says_so(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_bus, "ASK_SECONDS", 0.5)
    pod = Pod(redis)
    async with running(pod):
        await standing(pod)
        pods = [pod.bus.instance, "a pod that hangs"]
        listing = asyncio.create_task(pod.bus.list_members(Room("chat:1"), "", 3, pods))
        await pod.bus.answer_members(await question(pod), [UserId("u1")])
        assert await listing == (["u1"], False)


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
