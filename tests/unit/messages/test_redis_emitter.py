"""What `@socket.io/redis-emitter` publishes: real bytes, and what a Node server makes of them.

`tests/emitter_messages.json` has both; tests/contract checks that the package still says the same.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.msgpack import Ext

from constellation_ws.messages import commands, redis_emitter
from constellation_ws.messages.commands import Command, DisconnectAll, Emit, Regroup
from constellation_ws.messages.events import (
    MAX_ATTACHMENTS,
    NAMESPACE,
    UNSENDABLE_EVENTS,
    EventTooLarge,
    MalformedEvent,
    Room,
)
from constellation_ws.messages.frames import encode_emit
from constellation_ws.messages.namespaces import DEFAULT_SCOPE, Namespaces, Scope
from constellation_ws.messages.node_values import MAX_DEPTH
from constellation_ws.messages.redis_emitter import (
    DEFAULT_EMITTERS,
    MAX_ROOMS,
    EmitterChannels,
    Unsupported,
    namespace_in,
)
from tests.emitter_cases import EmitterCase, emitter_cases

MAX_BYTES = 1_000_000
CASES = {case.name: case for case in emitter_cases()}
EMITS = [case for case in CASES.values() if case.packet]
ELSEWHERE = {"another namespace"}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def packed(
    data: object,
    rooms: object = (),
    *,
    nsp: object = NAMESPACE,
    kind: object = 2,
    **options: object,
) -> bytes:
    """An emit as an emitter of any language may write it."""
    packet = {"type": kind, "data": data, "nsp": nsp}
    return msgspec.msgpack.encode(["emitter", packet, {"rooms": rooms, **options}])


def read(payload: bytes) -> Emit:
    command = redis_emitter.decode_emit(payload, MAX_BYTES)
    assert command is not None
    return command


def request(kind: object, **rest: object) -> bytes:
    return json.dumps({"type": kind, **rest}).encode()


def parts(command: Emit) -> list[str]:
    """The packet as socket.io-parser would give it: text, then attachments as base64."""
    frame = encode_emit(command)
    text = frame.message.decode().removeprefix("4")
    return [text, *(base64.b64encode(one).decode() for one in frame.attachments)]


def as_node_reads(packet: list[str]) -> list[Any]:
    """A packet with its numbers as JavaScript reads them."""
    head, comma, text = packet[0].partition(",")
    return [head + comma, json.loads(text, parse_int=float), *packet[1:]]


@pytest.mark.parametrize("case", [c for c in EMITS if c.name not in ELSEWHERE], ids=str)
def test_clients_get_what_a_node_server_would_send_them(case: EmitterCase) -> None:
    assert as_node_reads(parts(read(case.message))) == as_node_reads(case.packet)


@pytest.mark.parametrize(
    ("name", "rooms", "except_rooms", "is_volatile"),
    [
        ("everyone", None, (), False),
        ("one room", ("user:1",), (), False),
        ("rooms", ("user:1", "chat:7", "user:2"), (), False),
        ("a room that is a number", ("7",), (), False),
        ("except", ("chat:7",), ("user:1", "user:2"), False),
        ("everyone except", None, ("user:1",), False),
        ("volatile", ("user:1",), (), True),
        ("compress", ("user:1",), (), False),
    ],
)
def test_an_emit_addresses_rooms_but_not_the_excepted(
    name: str, rooms: tuple[str, ...] | None, except_rooms: tuple[str, ...], is_volatile: bool
) -> None:
    command = read(CASES[name].message)
    assert (command.rooms, command.except_rooms) == (rooms, except_rooms)
    assert command.is_volatile is is_volatile


def test_an_emit_to_another_namespace_is_not_ours() -> None:
    assert redis_emitter.decode_emit(CASES["another namespace"].message, MAX_BYTES) is None
    assert redis_emitter.decode_emit(packed(["e"], nsp=None), MAX_BYTES) is None
    assert redis_emitter.decode_emit(packed(["e"], nsp="/chats2"), MAX_BYTES) is None


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("join", Regroup((Room("user:1"),), (), enters=(Room("chat:7"),))),
        ("join of everyone", Regroup(None, (), enters=(Room("chat:7"), Room("8")))),
        (
            "leave",
            Regroup(
                (Room("user:1"), Room("chat:8")),
                (Room("user:2"),),
                leaves=(Room("chat:7"), Room("chat:8")),
            ),
        ),
        ("disconnect", DisconnectAll((Room("user:1"),), ())),
        ("disconnect and close", DisconnectAll(None, (Room("user:1"),))),
        ("version 4 join", Regroup((Room("user:1"),), (), enters=(Room("chat:7"),))),
    ],
)
def test_a_request_says_who_enters_leaves_or_goes(name: str, command: Command) -> None:
    message = CASES[name].message
    assert redis_emitter.decode_request(message) == command
    assert redis_emitter.find_unsupported(message) is None
    # Adapters may write any request in msgpack.
    packed_alike = msgspec.msgpack.encode(json.loads(message))
    assert redis_emitter.decode_request(packed_alike) == command


def test_a_disconnect_may_be_stored_and_read_again() -> None:
    command = redis_emitter.decode_request(CASES["disconnect"].message)
    assert commands.decode(commands.encode(command)) == command


@pytest.mark.parametrize("case", CASES.values(), ids=str)
def test_channels_are_told_by_their_key(case: EmitterCase) -> None:
    is_ours = case.name != "another key"
    assert DEFAULT_EMITTERS.own(case.channel) is is_ours
    assert EmitterChannels("app").own(case.channel) is not is_ours
    assert not EmitterChannels("").own(case.channel)
    assert EmitterChannels("").patterns == ()
    name = case.channel.encode()
    prefixes = (DEFAULT_EMITTERS.emits, DEFAULT_EMITTERS.requests)
    served = [namespace_in(name, prefix) for prefix in prefixes if name.startswith(prefix)]
    assert (served == ["/chats"]) is (is_ours and case.name not in ELSEWHERE)


def test_no_channel_of_events_is_an_emitters() -> None:
    for channel in ("chat:new", "socketio", "socket.io", "socket.io-request", "x.socket.io#/#"):
        assert not DEFAULT_EMITTERS.own(channel)


@given(st.lists(values, max_size=3))
def test_any_values_reach_clients_as_they_were(arguments: list[Any]) -> None:
    command = read(packed(["e", *arguments]))
    sent = msgspec.json.decode(bytes(command.args))
    assert _restored(sent, command.attachments) == ["e", *arguments]


def _restored(value: Any, attachments: tuple[bytes, ...]) -> Any:
    if isinstance(value, list):
        return [_restored(one, attachments) for one in value]
    if isinstance(value, dict):
        if value.get("_placeholder") is True:
            return attachments[value["num"]]
        return {key: _restored(one, attachments) for key, one in value.items()}
    return value


@given(st.binary(max_size=80))
def test_any_bytes_are_malformed_or_a_command_and_never_worse(raw: bytes) -> None:
    for decode in (
        lambda payload: redis_emitter.decode_emit(payload, MAX_BYTES),
        redis_emitter.decode_request,
    ):
        with pytest.raises(MalformedEvent):
            decode(raw)
    redis_emitter.find_unsupported(raw)


@pytest.mark.parametrize("case", EMITS[:12], ids=str)
def test_a_message_that_is_cut_is_malformed(case: EmitterCase) -> None:
    for end in range(len(case.message)):
        with pytest.raises(MalformedEvent):
            redis_emitter.decode_emit(case.message[:end], MAX_BYTES)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"\xc1",
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        packed([]),
        packed([7]),
        packed([["e"]]),
        packed("e"),
        packed(["e", {1.5: 1}]),
        packed(["e"], kind=3),
        packed(["e"], kind="2"),
        packed(["e"], {"a": 1}),
        packed(["e"], [None, 1.5]),
        packed(["e", *([b""] * (MAX_ATTACHMENTS + 1))]),
        packed(["e", b"", {"_placeholder": True, "num": 1}]),
        packed(["e", Ext(-1, b"\xff" * 12)]),
        packed(["e", Ext(0, b"\x7f" + b"\xff" * 7)]),
        packed(["e", *([Ext(5, b"")] * (MAX_ATTACHMENTS + 1))]),
        packed(["e", "?"]).replace(b"?", b"\xff"),
        *(packed([event]) for event in sorted(UNSENDABLE_EVENTS)),
        msgspec.msgpack.encode(["emitter", {"type": 2, "data": ["e"], "nsp": NAMESPACE}]),
        msgspec.msgpack.encode({"type": 2, "data": ["e"], "nsp": NAMESPACE}),
        packed(["e"]) + b"\x01",
    ],
    ids=lambda payload: repr(payload[:60]),
)
def test_a_damaged_emit_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedEvent):
        redis_emitter.decode_emit(payload, MAX_BYTES)


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b'{"type":2}',
        request(2, opts={"rooms": ["a"]}),
        request(2, opts={"rooms": ["a"]}, rooms=[]),
        request(2, opts={"rooms": [None]}, rooms=["b"]),
        request(2, opts={"rooms": ["a"]}, rooms=[None]),
        request(2, opts={"rooms": ["a"]}, rooms=[str(n) for n in range(MAX_ROOMS + 1)]),
        request(2, opts=[], rooms=["b"]),
        request(6, opts={}),
        request(99, opts={}),
        b'{"type":2,"opts":{"rooms":' + b"[" * 100_000,
    ],
    ids=lambda payload: repr(payload[:60]),
)
def test_a_damaged_request_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedEvent):
        redis_emitter.decode_request(payload)


@pytest.mark.parametrize(
    ("payload", "unsupported"),
    [
        (CASES["serverSideEmit"].message, Unsupported.SERVER_SIDE_EMIT),
        (request(0, requestId="r", rooms=[]), Unsupported.QUERY),
        (request(1, requestId="r"), Unsupported.QUERY),
        (request(5, requestId="r", opts={"rooms": [], "except": []}), Unsupported.QUERY),
        (msgspec.msgpack.encode({"type": 7, "packet": {}}), Unsupported.EMIT_WITH_ACK),
        (request(2, requestId="r", sid="s", room="x"), Unsupported.REQUEST),
        (request(12), Unsupported.REQUEST),
        (request(2, opts={"rooms": 5}), None),
        (request("2"), None),
        (b"\xc1", None),
        (b'{"type":' + b"[" * 100_000, None),
    ],
)
def test_what_is_not_supported_is_told_from_what_is_broken(
    payload: bytes, unsupported: Unsupported | None
) -> None:
    assert redis_emitter.find_unsupported(payload) is unsupported


def test_arguments_may_be_nested_up_to_a_bound() -> None:
    def nested(levels: int) -> object:
        value: object = "x"
        for _ in range(levels):
            value = [value]
        return value

    deepest = read(packed(["e", nested(MAX_DEPTH - 1)]))
    assert bytes(deepest.args) == b'["e",' + b"[" * 99 + b'"x"' + b"]" * 99 + b"]"
    with pytest.raises(MalformedEvent, match="nested too deeply"):
        read(packed(["e", nested(MAX_DEPTH)]))


@pytest.mark.parametrize("argument", [None, "\0", b"x" * 20], ids=repr)
def test_what_an_emit_becomes_has_the_same_bound_as_what_it_was(argument: object) -> None:
    # Five bytes of JSON for one of msgpack: clients would be closed for what nobody had refused.
    payload = packed(["e", *([argument] * 4)])
    becomes = read(payload)
    size = len(bytes(becomes.args)) + sum(map(len, becomes.attachments))
    assert redis_emitter.decode_emit(payload, size) == becomes
    with pytest.raises(EventTooLarge):
        redis_emitter.decode_emit(payload, size - 1)


def test_rooms_that_are_no_ids_are_left_out_and_counted() -> None:
    command = read(packed(["e"], ["user:1", None, 1.0, 1.5], **{"except": ["user:2", None]}))
    assert (command.rooms, command.invalid_ids) == (("user:1", "1"), 2)
    assert command.except_rooms == ("user:2",)


@pytest.mark.parametrize("rooms", [None, [], ""])
def test_emitters_without_a_list_of_rooms_mean_everyone(rooms: object) -> None:
    command = read(packed(["e"], rooms, flags=[]))
    assert (command.rooms, command.invalid_ids) == (None, 0)


def test_a_packet_of_an_older_emitter_says_that_it_has_attachments() -> None:
    assert read(packed(["e", b"x"], kind=5)) == read(packed(["e", b"x"], kind=2))
    for kind in (4, 6):
        with pytest.raises(MalformedEvent, match="no event"):
            read(packed(["e"], kind=kind))


def test_who_enters_no_room_of_a_namespace_is_malformed() -> None:
    raw = request(2, opts={"rooms": ["a"]}, rooms=[])
    with pytest.raises(MalformedEvent, match="no rooms"):
        redis_emitter.decode_request(raw, Scope("/o,"), Namespaces([NAMESPACE, "/o"]))


@pytest.mark.parametrize(
    "request_",
    [
        {"type": 2, "opts": {"rooms": ["r"]}, "rooms": ["/o,x"]},
        {"type": 3, "opts": {"rooms": ["/o,s"]}, "rooms": ["r"]},
        {"type": 4, "opts": {"rooms": ["r"], "except": ["/o,s"]}},
        {"type": 4, "opts": {"rooms": ["/o,"]}},
    ],
)
def test_a_request_cannot_name_a_room_of_another_namespace(request_: dict[str, object]) -> None:
    raw = json.dumps(request_).encode()
    with pytest.raises(MalformedEvent):
        redis_emitter.decode_request(raw, DEFAULT_SCOPE, Namespaces([NAMESPACE, "/o"]))


@pytest.mark.parametrize("options", [{"rooms": ["/o,x"]}, {"rooms": ["r"], "except": ["/o,s"]}])
def test_an_emit_cannot_name_a_room_of_another_namespace(options: dict[str, object]) -> None:
    packet = {"type": 2, "data": ["e", 1], "nsp": NAMESPACE}
    raw = msgspec.msgpack.encode(["emitter", packet, options])
    assert redis_emitter.decode_emit(raw, MAX_BYTES) is not None
    with pytest.raises(MalformedEvent):
        redis_emitter.decode_emit(raw, MAX_BYTES, Namespaces([NAMESPACE, "/o"]))
