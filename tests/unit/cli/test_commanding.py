"""What an operator has pods do: how it is sent, and whose answers are waited for."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from redis import Redis

from constellation_ws.cli import commanding
from constellation_ws.cli.commanding import InvalidCommand, emission
from constellation_ws.cli.redis_connection import connected
from constellation_ws.messages import commands
from constellation_ws.messages.commands import Disconnect, Emit, ListMembers
from constellation_ws.messages.events import Room, UserId
from constellation_ws.messages.namespaces import Namespaces
from constellation_ws.redis_io import asking
from constellation_ws.redis_io.asking import Counted, Listed
from constellation_ws.redis_io.names import Names
from tests.partitions import partition_of
from tests.processes import Valkey
from tests.unit.cli.conftest import NAMES, Deployment, full

SERVED = Namespaces(["/chats", "/orders"])


def made(room: str = "user:bob", event: str = "hi", data: bytes = b"1", **more: Any) -> Emit:
    return emission(SERVED, more.get("namespace"), room, event, data, more.get("most", 1_000))


def test_an_emission_keeps_the_data_as_they_are_written() -> None:
    command = made(data=b'{"id": 9007199254740993}')
    assert bytes(command.args) == b'["hi",{"id": 9007199254740993}]'
    assert (command.rooms, command.namespace) == (("user:bob",), "/chats")


def test_data_that_were_cut_inside_an_emoji_are_json() -> None:
    assert bytes(made(data=b' "\\ud83d"').args) == b'["hi","\\ud83d"]'


def test_a_room_of_another_namespace_is_named_as_pods_name_it() -> None:
    assert made(room="order:1", namespace="/orders").rooms == ("/orders,order:1",)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"data": b"{"}, "not JSON"),
        ({"data": b'"\\ud83d" 1'}, "not JSON"),
        ({"event": "connect"}, "connect is no event name"),
        ({"event": ""}, "no event name"),
        ({"namespace": "/x"}, "no namespace /x; the interface has /chats, /orders"),
        ({"room": "/orders,order:1"}, "--namespace"),
        ({"most": 10}, "CONSTELLATION_MAX_EVENT_BYTES allows 10"),
    ],
)
def test_what_cannot_be_sent_is_said_in_a_sentence(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidCommand, match=says):
        made(**arguments)


def test_with_a_log_it_is_appended_as_the_pods_append_it(deployment: Deployment) -> None:
    log_id = commanding.send(deployment.redis, NAMES, made(), keeps_log=True)
    entries: Any = deployment.redis.xrange(NAMES.log)
    ((found, fields),) = entries
    assert found.decode() == log_id
    assert fields[b"channel"] == NAMES.commands.encode()
    assert isinstance(commands.decode(fields[b"data"]), Emit)


@pytest.mark.parametrize("room", ["user:bob", "chat:7", "chat:8", "/orders,order:1"])
def test_it_is_appended_to_the_partition_of_its_room(room: str, deployment: Deployment) -> None:
    deployment.redis.hset(NAMES.state, "partitions", "3")
    namespace, _, name = room.rpartition(",")
    command = made(room=name, namespace=namespace or None)
    reached: list[Names] = []

    def reach(redis: Redis, names: Names) -> AbstractContextManager[Redis]:
        reached.append(names)
        return nullcontext(redis)

    log_id = commanding.send(deployment.redis, NAMES, command, keeps_log=True, reach=reach)

    own = NAMES.of_partition(partition_of(room, 3))
    entries: Any = deployment.redis.xrange(own.log)
    ((found, fields),) = entries
    assert found.decode() == log_id
    assert fields[b"channel"] == NAMES.commands.encode()
    assert reached == ([own] if own.partition else [])


def test_without_a_log_it_is_published(deployment: Deployment) -> None:
    with deployment.redis.pubsub() as pods:
        pods.subscribe(NAMES.commands)
        assert pods.get_message(timeout=5) is not None
        assert commanding.send(deployment.redis, NAMES, made(), keeps_log=False) is None
        message: Any = pods.get_message(timeout=5)
    assert isinstance(commands.decode(message["data"]), Emit)
    assert deployment.redis.xlen(NAMES.log) == 0


class Answering:
    """Pods that answer each command, on a connection of their own."""

    def __init__(self, valkey: Valkey, *answers: asking.Reply) -> None:
        self._valkey = valkey
        self._answers = answers
        self._is_subscribed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.command: commands.Command | None = None

    def __enter__(self) -> Answering:
        self._thread.start()
        assert self._is_subscribed.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)

    def _run(self) -> None:
        with connected(self._valkey.url, NAMES) as redis, redis.pubsub() as heard:
            heard.subscribe(NAMES.commands)
            heard.get_message(timeout=5)
            self._is_subscribed.set()
            message: Any = None
            while message is None:
                message = heard.get_message(ignore_subscribe_messages=True, timeout=5)
            command = self.command = commands.decode(message["data"])
            assert isinstance(command, Disconnect | ListMembers)
            redis.publish(command.reply_to, b"garbage")
            for answer in self._answers:
                redis.publish(command.reply_to, asking.write(command.ask, answer))


def test_sockets_of_all_pods_are_counted(deployment: Deployment, valkey: Valkey) -> None:
    deployment.pod("a")
    deployment.pod("b")
    deployment.pod("stopping", lives_seconds=5)
    with Answering(valkey, Counted(2, "a"), Counted(1, "b")) as pods:
        done = commanding.disconnect(deployment.redis, NAMES, UserId("bob"), "why")

    assert (done.sockets, done.missing) == (3, [])
    assert isinstance(pods.command, Disconnect)
    assert (pods.command.who, pods.command.reason) == ("user:bob", "why")


def test_a_pod_that_does_not_answer_is_named(
    deployment: Deployment, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commanding, "ASK_SECONDS", 0.3)
    deployment.pod("a")
    deployment.pod("hung")
    with Answering(valkey, Counted(1, "a")):
        done = commanding.disconnect(deployment.redis, NAMES, UserId("bob"), "")
    assert (done.sockets, done.missing) == (1, ["hung"])


def test_members_of_a_room_are_listed_once(deployment: Deployment, valkey: Valkey) -> None:
    deployment.pod("a")
    deployment.pod("b")
    u1, u2 = UserId("u1"), UserId("u2")
    with Answering(valkey, Listed([u1], "a"), Listed([u1, u2], "b")):
        found = commanding.members(deployment.redis, NAMES, Room("chat:1"), 10)
    assert found == {u1, u2}


def test_pods_that_cannot_show_that_they_live_are_asked_nevertheless(
    deployment: Deployment, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commanding, "ASK_SECONDS", 0.5)
    with full(deployment.redis), Answering(valkey, Counted(2, "a")):
        done = commanding.disconnect(deployment.redis, NAMES, UserId("bob"), "why")
    assert (done.sockets, done.missing) == (2, [])
