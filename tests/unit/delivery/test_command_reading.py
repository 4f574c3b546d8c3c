"""Commands by the form of their channel, each for the namespace that it names."""

from __future__ import annotations

import json

import msgspec
import pytest

from constellation_ws.delivery.command_reading import CommandReader
from constellation_ws.messages import commands
from constellation_ws.messages.commands import EMITTER_CHANNEL, Command, Emit, Regroup
from constellation_ws.messages.events import MalformedEvent, Room
from constellation_ws.messages.namespaces import Namespaces
from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS

READER = CommandReader(DEFAULT_EMITTERS, Namespaces(["/chats", "/orders"]), 1_000)


def packed(namespace: str) -> bytes:
    packet = {"type": 2, "data": ["e", 1], "nsp": namespace}
    return msgspec.msgpack.encode(["emitter", packet, {"rooms": ["r"], "except": []}])


def of_python(namespace: str) -> bytes:
    message = {"method": "emit", "event": "e", "data": [1], "namespace": namespace, "room": "r"}
    return json.dumps(message).encode()


def emitted(command: Command | None) -> tuple[str, tuple[Room, ...] | None]:
    assert isinstance(command, Emit)
    return command.namespace, command.rooms


@pytest.mark.parametrize(("namespace", "room"), [("/chats", "r"), ("/orders", "/orders,r")])
def test_emits_of_all_kinds_reach_the_rooms_of_their_namespace(namespace: str, room: str) -> None:
    for channel, payload in (
        (f"socket.io#{namespace}#r#", packed(namespace)),
        (EMITTER_CHANNEL, of_python(namespace)),
    ):
        assert emitted(READER.read(channel.encode(), payload)) == (namespace, (room,))


def test_what_is_for_a_namespace_that_is_not_served_is_no_command() -> None:
    request = b'{"type":2,"opts":{"rooms":["r"],"except":[]},"rooms":["s"]}'
    assert READER.read(b"socket.io#/other#", packed("/other")) is None
    assert READER.read(b"socket.io-request#/other#", request) is None
    assert READER.read(EMITTER_CHANNEL.encode(), of_python("/other")) is None
    assert READER.read(b"socket.io-request#/orders#", request) == Regroup(
        (Room("/orders,r"),), (), enters=(Room("/orders,s"),)
    )


def test_an_emit_of_a_pod_without_a_namespace_is_for_the_default_one() -> None:
    command = commands.encode(commands.emit("e", msgspec.Raw(b"1"), (Room("r"),)))
    assert emitted(READER.read(b"constellation:commands", command)) == ("/chats", ("r",))


def test_everyone_is_everyone_in_one_namespace() -> None:
    for namespace, rooms in (("/chats", None), ("/orders", ("/orders,",))):
        packet = {"type": 2, "data": ["e"], "nsp": namespace}
        payload = msgspec.msgpack.encode(["emitter", packet, {"rooms": [], "except": []}])
        channel = f"socket.io#{namespace}#".encode()
        assert emitted(READER.read(channel, payload)) == (namespace, rooms)


def test_a_broken_command_is_malformed_and_a_channel_has_a_name_without_users() -> None:
    with pytest.raises(MalformedEvent):
        READER.read(b"constellation:commands", b"{")
    assert READER.label(b"socket.io#/chats#user:7#") == "socket.io"
    assert READER.label(b"x" * 100) == "x" * 64
