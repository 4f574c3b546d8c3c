"""Commands that all pods answer, on a real Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec import Raw
from redis.asyncio import Redis

from constellation_ws.messages import commands
from constellation_ws.messages.commands import Disconnect, Inspect, ListMembers
from constellation_ws.messages.events import Room, UserId
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io import all_pods
from constellation_ws.redis_io.bus import RedisBus
from tests.unit.redis_io.bus_pods import CHANNELS, Pod, running, standing
from tests.waiting import PATIENCE_SECONDS, eventually


@pytest.fixture
async def pod(redis: Redis) -> AsyncIterator[Pod]:
    pod = Pod(redis)
    async with running(pod):
        await standing(pod)
        yield pod


async def asked(pod: Pod) -> Disconnect:
    """The question that a pod has received."""
    await eventually(lambda: pod.heard, PATIENCE_SECONDS, "it is asked")
    command = commands.decode(pod.heard[0][1])
    assert isinstance(command, Disconnect)
    return command


async def test_an_answer_that_nobody_waits_for_or_that_is_no_number_counts_nothing(
    pod: Pod, redis: Redis
) -> None:
    counting = asyncio.create_task(
        pod.bus.all_pods.disconnect(Room("user:1"), "", [pod.bus.instance])
    )
    await eventually(lambda: pod.heard, PATIENCE_SECONDS, "it is asked")
    command = commands.decode(pod.heard[0][1])
    assert isinstance(command, Disconnect)
    for answer in (b"%d many", b"%d ", b"%d", b"99%d 7", b"%d 4"):
        await redis.publish(command.reply_to, answer % command.ask)
    assert await counting == 4


async def test_a_disconnect_adds_up_what_the_pods_answer(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_pods, "ASK_SECONDS", 10 * PATIENCE_SECONDS)
    a, b = Pod(redis), Pod(redis)

    async def answer_with(pod: Pod, count: int) -> None:
        command = await asked(pod)
        assert (command.who, command.reason) == ("user:1", "kicked")
        await pod.bus.all_pods.answer_disconnect(command, count)

    async with running(a, b):
        await standing(a, b)
        pods = [a.bus.instance, b.bus.instance]
        counting = asyncio.create_task(a.bus.all_pods.disconnect(Room("user:1"), "kicked", pods))
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
    monkeypatch.setattr(all_pods, "ASK_SECONDS", 10 * PATIENCE_SECONDS)
    a, b = Pod(redis), Pod(redis)
    publish = a.bus.publisher.publish

    async def publish_on_another_node(channel: str, payload: bytes) -> int:
        await publish(channel, payload)
        return counted

    monkeypatch.setattr(a.bus.publisher, "publish", publish_on_another_node)
    async with running(a, b):
        await standing(a, b)
        pods = [a.bus.instance, b.bus.instance]
        counting = asyncio.create_task(a.bus.all_pods.disconnect(Room("user:1"), "", pods))
        await a.bus.all_pods.answer_disconnect(await asked(a), 2)
        await redis.publish("chat:new", b"{}")
        await eventually(lambda: len(a.heard) == 2, PATIENCE_SECONDS, "later messages arrive")
        assert not counting.done()
        await b.bus.all_pods.answer_disconnect(await asked(b), 3)
        assert await counting == 5


async def test_a_pod_that_is_not_registered_yet_is_waited_for_too(redis: Redis) -> None:
    a, b = Pod(redis), Pod(redis)
    async with running(a, b):
        await standing(a, b)
        counting = asyncio.create_task(
            a.bus.all_pods.disconnect(Room("user:1"), "", [a.bus.instance])
        )
        for pod, count in ((a, 2), (b, 3)):
            await pod.bus.all_pods.answer_disconnect(await asked(pod), count)
        assert await counting == 5


async def test_pods_of_the_release_before_answer_without_their_name(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_pods, "ASK_SECONDS", 10 * PATIENCE_SECONDS)
    a, b = Pod(redis), Pod(redis)
    async with running(a, b):
        await standing(a, b)
        pods = [a.bus.instance, "an older pod"]
        counting = asyncio.create_task(a.bus.all_pods.disconnect(Room("user:1"), "", pods))
        command = await asked(b)
        await a.bus.all_pods.answer_disconnect(command, 2)
        await redis.publish(command.reply_to, b"%d 3" % command.ask)
        assert await counting == 5
        # And such a pod asks for no name, for it could not read the answer.
        await b.bus.all_pods.answer_disconnect(Disconnect(command.who, "", "chat:new", 5), 7)
        await eventually(lambda: len(a.heard) == 2, PATIENCE_SECONDS, "the answer arrives")
        assert a.heard[1] == (b"chat:new", b"5 7")


async def test_two_questions_at_a_time_do_not_mix(redis: Redis) -> None:
    pod = Pod(redis)
    async with running(pod):
        await standing(pod)
        first = asyncio.create_task(
            pod.bus.all_pods.disconnect(Room("user:1"), "", [pod.bus.instance])
        )
        second = asyncio.create_task(
            pod.bus.all_pods.disconnect(Room("user:2"), "", [pod.bus.instance])
        )
        await eventually(lambda: len(pod.heard) == 2, PATIENCE_SECONDS, "both are asked")
        counts = {"user:1": 10, "user:2": 20}
        for _, payload in reversed(pod.heard):
            command = commands.decode(payload)
            assert isinstance(command, Disconnect)
            await pod.bus.all_pods.answer_disconnect(command, counts[command.who])
        assert (await first, await second) == (10, 20)


async def test_a_pod_that_does_not_answer_is_waited_for_only_so_long(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_pods, "ASK_SECONDS", 0.1)
    assert await pod.bus.all_pods.disconnect(Room("user:1"), "", [pod.bus.instance]) == 0
    assert pod.bus.all_pods._waiting == {}


async def test_a_disconnect_that_nobody_hears_counts_nobody(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_pods, "ASK_SECONDS", 10 * PATIENCE_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (
            await RedisBus(redis, CHANNELS, Metrics()).all_pods.disconnect(Room("user:1"), "", [])
            == 0
        )


async def question(pod: Pod) -> ListMembers:
    """The question about a room that a pod has received."""
    await eventually(lambda: pod.heard, PATIENCE_SECONDS, "it is asked")
    command = commands.decode(pod.heard[0][1])
    assert isinstance(command, ListMembers)
    return command


async def test_the_members_of_a_room_are_merged_from_all_pods(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_pods, "ASK_SECONDS", 10 * PATIENCE_SECONDS)
    a, b = Pod(redis), Pod(redis)
    async with running(a, b):
        await standing(a, b)
        pods = [a.bus.instance, b.bus.instance]
        listing = asyncio.create_task(a.bus.all_pods.list_members(Room("chat:1"), "u0", 3, pods))
        for pod, users in ((a, ["u1", "u3"]), (b, ["u2", "u3", "u4"])):
            asked = await question(pod)
            assert (asked.room, asked.cursor, asked.limit) == ("chat:1", "u0", 3)
            await pod.bus.all_pods.answer_members(asked, [UserId(user) for user in users])
        assert await listing == (["u1", "u2", "u3", "u4"], True)


async def test_what_an_operator_asks_is_answered_by_each_pod_and_silence_is_not_logged(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(all_pods, "ASK_SECONDS", 0.5)
    a, b = Pod(redis), Pod(redis)
    async with running(a, b):
        await standing(a, b)
        pods = [a.bus.instance, b.bus.instance, "a pod that hangs"]
        inspecting = asyncio.create_task(a.bus.all_pods.inspect(Raw(b'{"type":"status"}'), pods))
        for pod in (a, b):
            await eventually(lambda: pod.heard, PATIENCE_SECONDS, "it is asked")
            command = commands.decode(pod.heard[0][1])
            assert isinstance(command, Inspect)
            assert bytes(command.query) == b'{"type":"status"}'
            await pod.bus.all_pods.answer_inspect(command, Raw(b'{"n":1}'))

        answers, silent = await inspecting

    assert sorted(one.pod for one in answers) == sorted(pods[:2])
    assert {bytes(one.report) for one in answers} == {b'{"n":1}'}
    assert silent == ["a pod that hangs"]
    assert "[warning" not in capsys.readouterr().out


async def test_a_list_without_the_answer_of_every_pod_says_so(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_pods, "ASK_SECONDS", 0.5)
    pod = Pod(redis)
    async with running(pod):
        await standing(pod)
        pods = [pod.bus.instance, "a pod that hangs"]
        listing = asyncio.create_task(pod.bus.all_pods.list_members(Room("chat:1"), "", 3, pods))
        await pod.bus.all_pods.answer_members(await question(pod), [UserId("u1")])
        assert await listing == (["u1"], False)
