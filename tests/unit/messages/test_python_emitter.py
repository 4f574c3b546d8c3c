"""What python-socketio's emitters publish: what clients get is what a stock server sends.

The emitter is python-socketio's own; only its wire is caught before Redis.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest
import socketio
from hypothesis import given
from hypothesis import strategies as st
from socketio.packet import EVENT, Packet

from constellation_ws.messages import commands
from constellation_ws.messages.commands import Disconnect, Emit, Empty, Join, Leave
from constellation_ws.messages.events import NAMESPACE, UNSENDABLE_EVENTS, MalformedEvent, Room
from constellation_ws.messages.namespaces import Namespaces
from constellation_ws.messages.python_emitter import decode_emitter
from tests.unit.messages.test_commands import json_values


class CaughtEmitter(socketio.AsyncRedisManager):  # type: ignore[misc]  # python-socketio is untyped
    """A write-only emitter whose messages stop at the wire, encoded as it encodes them."""

    def __init__(self) -> None:
        super().__init__(write_only=True)
        self.connected = True
        self.redis = self
        self.published: list[bytes] = []

    async def publish(self, channel: str, text: str) -> None:
        assert channel == commands.EMITTER_CHANNEL
        self.published.append(text.encode())


def caught(method: str, **arguments: Any) -> bytes:
    """What python-socketio publishes when a method is called."""
    emitter = CaughtEmitter()
    call: Coroutine[Any, Any, None] = getattr(emitter, method)(**arguments)
    # It waits for nothing but the wire, which is caught: no event loop is needed.
    with pytest.raises(StopIteration):
        call.send(None)
    (published,) = emitter.published
    return published


def emitted(data: object, **arguments: Any) -> commands.Command | None:
    """What an `emit` to /chats is read as."""
    published = caught("emit", event="e", data=data, namespace=NAMESPACE, **arguments)
    return decode_emitter(published)


def arguments_at_a_client(command: Emit) -> list[Any]:
    """Put the binary values back where their placeholders stand, as a client does."""
    values: list[Any] = Packet.reconstruct_binary(
        json.loads(bytes(command.args)), command.attachments
    )
    return values


def as_stock_sends(data: object) -> list[Any]:
    """The event that a stock python-socketio server makes of `emit("e", data)`."""
    values = [] if data is None else list(data) if isinstance(data, tuple) else [data]
    return ["e", *values]


@given(json_values)
def test_what_an_emitter_sends_reaches_clients_as_from_a_stock_server(data: object) -> None:
    command = emitted(data, room="chat:1")
    assert isinstance(command, Emit)
    assert arguments_at_a_client(command) == as_stock_sends(data)


@pytest.mark.parametrize(
    "data",
    [
        None,
        (),
        (None,),
        (1, "два", None),
        ([1, 2],),
        [1, 2],
        [],
        b"",
        b"\x00\xff",
        bytearray(b"\x01"),
        (b"\x00", "text", {"deep": [b"\x01", {"er": b"\x02"}]}),
        [b"\x00", b"\x00"],
        {"_placeholder": False, "num": 0},
        {"text": "Привет 👋"},
    ],
    ids=repr,
)
def test_tuples_bytes_and_nothing_keep_their_meaning(data: object) -> None:
    command = emitted(data, room="chat:1")
    assert isinstance(command, Emit)
    expected = [] if data == (None,) else as_stock_sends(data)[1:]
    assert arguments_at_a_client(command) == ["e", *expected]


@pytest.mark.parametrize(
    ("address", "rooms_addressed", "except_rooms"),
    [
        ({"room": "chat:1"}, ("chat:1",), ()),
        ({"to": "user:1"}, ("user:1",), ()),
        ({"room": ["chat:1", "user:1"]}, ("chat:1", "user:1"), ()),
        ({"room": ("chat:1", "user:1")}, ("chat:1", "user:1"), ()),
        ({"room": []}, (), ()),
        ({"room": "r", "skip_sid": "sid-1"}, ("r",), ("sid-1",)),
        ({"room": "r", "skip_sid": ["sid-1", "sid-2"]}, ("r",), ("sid-1", "sid-2")),
        ({"skip_sid": "sid-1"}, None, ("sid-1",)),
        ({}, None, ()),
    ],
)
def test_an_emitter_addresses_rooms_and_leaves_sids_out(
    address: dict[str, Any], rooms_addressed: tuple[str, ...] | None, except_rooms: tuple[str, ...]
) -> None:
    command = emitted("x", **address)
    assert isinstance(command, Emit)
    assert (command.rooms, command.except_rooms) == (rooms_addressed, except_rooms)


@pytest.mark.parametrize(
    ("room", "rooms_addressed", "invalid"),
    [
        (7, ("7",), 0),
        (1.0, ("1",), 0),
        ([7, "chat:1"], ("7", "chat:1"), 0),
        (["a", None, 1.5, ["b"], True, "cut \ud83d"], ("a",), 5),
    ],
)
def test_an_emitters_room_is_an_id_and_what_is_none_costs_itself_only(
    room: Any, rooms_addressed: tuple[str, ...], invalid: int
) -> None:
    command = emitted("x", room=room, skip_sid=["s", None])
    assert isinstance(command, Emit)
    assert (command.rooms, command.invalid_ids) == (rooms_addressed, invalid)
    assert command.except_rooms == ("s",)


@pytest.mark.parametrize("room", [[None], True, 1.5, {}, "cut \ud83d"], ids=repr)
def test_an_emit_to_no_room_at_all_is_malformed_and_never_for_everyone(room: Any) -> None:
    with pytest.raises(MalformedEvent, match="rooms that are no ids"):
        emitted("x", room=room)


@pytest.mark.parametrize(
    "data",
    ["cut \ud83d", {"\ud83d": ["\ude00"]}, (1, "\ud83d"), ({"t": "\ud83d", "b": b"\x00"}, b"\x01")],
    ids=repr,
)
def test_half_a_surrogate_pair_reaches_clients_as_it_was_published(data: Any) -> None:
    command = emitted(data, room=5)
    assert isinstance(command, Emit)
    assert arguments_at_a_client(command) == as_stock_sends(data)
    assert command.rooms == ("5",)
    # The same where it was written to the log as a command.
    raw = json.dumps({"type": "emit", "args": ["e", "\ud83d"], "rooms": ["r"]}).encode()
    assert commands.decode(raw) == Emit(msgspec.Raw(b'["e", "\\ud83d"]'), (Room("r"),))


@pytest.mark.parametrize(
    ("call", "arguments", "command"),
    [
        ("enter_room", {"sid": "s", "room": "r"}, Join(Room("s"), Room("r"))),
        ("enter_room", {"sid": "s", "room": 5}, Join(Room("s"), Room("5"))),
        ("leave_room", {"sid": "s", "room": "r"}, Leave(Room("s"), Room("r"))),
        ("can_disconnect", {"sid": "s"}, Disconnect(Room("s"))),
    ],
)
def test_an_emitters_other_calls_become_commands(
    call: str, arguments: dict[str, Any], command: commands.Command
) -> None:
    published = caught(call, namespace=NAMESPACE, **arguments)
    assert decode_emitter(published) == command


def test_closing_a_room_empties_it() -> None:
    # `AsyncPubSubManager.close_room` needs a server of its own; this is what it publishes.
    raw = b'{"method":"close_room","room":"r","namespace":"/chats","host_id":"h"}'
    assert decode_emitter(raw) == Empty(Room("r"))


@pytest.mark.parametrize(
    "place",
    [
        {"method": "emit", "event": "e", "data": [1], "room": "/o,x"},
        {"method": "emit", "event": "e", "data": [1], "room": ["r", "/o,"]},
        {"method": "emit", "event": "e", "data": [1], "skip_sid": "/o,s"},
        {"method": "enter_room", "sid": "s", "room": "/o,x"},
        {"method": "leave_room", "sid": "/o,s", "room": "r"},
        {"method": "close_room", "room": "/o,x"},
        {"method": "disconnect", "sid": "/o,s"},
    ],
)
def test_a_room_of_another_namespace_cannot_be_named(place: dict[str, object]) -> None:
    raw = json.dumps(place | {"namespace": NAMESPACE}).encode()
    with pytest.raises(MalformedEvent):
        decode_emitter(raw, Namespaces([NAMESPACE, "/o"]))


@pytest.mark.parametrize("namespace", [None, "/", "/other"])
def test_what_is_for_another_namespace_is_not_ours(namespace: str | None) -> None:
    published = caught("emit", event="e", data=1, namespace=namespace, room="r")
    assert decode_emitter(published) is None


def test_an_emitter_cannot_send_what_would_end_a_clients_connection() -> None:
    packet = Packet(EVENT, data=["disconnect", 1], namespace=NAMESPACE)
    for event in UNSENDABLE_EVENTS:
        published = caught("emit", event=event, data=packet.data[1], namespace=NAMESPACE)
        with pytest.raises(MalformedEvent):
            decode_emitter(published)


@pytest.mark.parametrize(
    "message",
    [
        {"method": "emit"},
        {"method": "emit", "event": 7},
        {"method": "emit", "event": "e", "data": {}},
        {"method": "emit", "event": "e", "data": 7},
        {"method": "emit", "event": "e", "data": [], "binary": True},
        {"method": "emit", "event": "e", "data": [5, "aGk="], "binary": True},
        {"method": "emit", "event": "e", "data": [["x"], 5], "binary": True},
        {"method": "emit", "event": "e", "data": [["x"], "é"], "binary": True},
        {"method": "emit", "event": "e", "data": [["x"], "a"], "binary": True},
        {"method": "emit", "event": "e", "data": [1], "room": {"a": 1}},
        {"method": "emit", "event": None, "data": [1], "room": "r"},
        {"method": "emit", "event": ["e"], "data": [1], "room": "r"},
        {"method": "enter_room", "sid": "s"},
        {"method": "enter_room", "room": "r"},
        {"method": "leave_room", "sid": "", "room": "r"},
        {"method": "close_room"},
        {"method": "disconnect"},
        {"method": "callback", "id": 1, "args": []},
        {"method": "rm -rf"},
    ],
    ids=lambda message: json.dumps(message, ensure_ascii=False),
)
def test_a_damaged_message_of_an_emitter_is_malformed(message: dict[str, Any]) -> None:
    raw = json.dumps(message | {"namespace": NAMESPACE}, ensure_ascii=False)
    with pytest.raises(MalformedEvent):
        decode_emitter(raw.encode())


@pytest.mark.parametrize("place", [b'"event":"\xff"', b'"room":"\xff"', b'"data":["\xff"]'])
def test_an_emitters_text_that_is_not_utf_8_is_malformed(place: bytes) -> None:
    raw = b'{"method":"emit","event":"e","data":[1],"namespace":"/chats",%b}' % place
    with pytest.raises(MalformedEvent):
        decode_emitter(raw)


@given(st.lists(st.binary(max_size=4), max_size=3))
def test_any_attachments_survive_base64(attachments: list[bytes]) -> None:
    command = emitted(tuple(attachments), room="r")
    assert isinstance(command, Emit)
    assert [base64.b64encode(one) for one in command.attachments] == [
        base64.b64encode(one) for one in attachments
    ]


def test_an_emit_that_says_nothing_of_binary_values_has_none() -> None:
    command = decode_emitter(
        b'{"method":"emit","namespace":"/chats","event":"e","data":["a","YQ=="]}'
    )
    assert command == Emit(msgspec.Raw(b'["e","a","YQ=="]'), None, namespace=NAMESPACE)
