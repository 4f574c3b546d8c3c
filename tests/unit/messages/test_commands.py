"""Commands between pods: what travels is what was meant."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.messages import commands, python_emitter
from constellation_ws.messages.commands import (
    MAX_ACK_ID,
    AckRequest,
    Disconnect,
    DisconnectAll,
    Emit,
    Empty,
    Fence,
    Handover,
    Inspect,
    Join,
    Leave,
    ListMembers,
    Regroup,
    Selection,
)
from constellation_ws.messages.events import UNSENDABLE_EVENTS, MalformedEvent, Room
from constellation_ws.messages.namespaces import DEFAULT_SCOPE, Scope

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
rooms = texts.map(Room)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
raw_arguments = st.lists(json_values.filter(lambda v: not isinstance(v, float)), max_size=2).map(
    lambda values: msgspec.Raw(json.dumps(["event", *values]).encode())
)
few_rooms = st.lists(rooms, max_size=2).map(tuple)
some_rooms = st.none() | st.lists(rooms, max_size=3).map(tuple)
every_command = (
    st.builds(
        Emit,
        raw_arguments,
        some_rooms,
        few_rooms,
        st.lists(st.binary(max_size=4), max_size=2).map(tuple),
        is_volatile=st.booleans(),
        ack=st.none()
        | st.builds(AckRequest, st.integers(0, MAX_ACK_ID), texts, st.integers(1, 60_000)),
    )
    | st.builds(Join, rooms, rooms)
    | st.builds(Leave, rooms, rooms)
    | st.builds(Empty, rooms)
    | st.builds(Disconnect, rooms, texts, texts, st.integers(0, 2**40))
    | st.builds(Regroup, some_rooms, few_rooms, few_rooms, few_rooms)
    | st.builds(DisconnectAll, some_rooms, few_rooms)
    | st.builds(Inspect, st.just(msgspec.Raw(b'{"type":"status"}')), texts, st.integers(0, 2**40))
    | st.builds(ListMembers, rooms, texts, st.integers(1, 1_000), texts, st.integers(0, 2**40))
    | st.builds(Fence, texts, texts)
    | st.builds(Handover, st.sampled_from(["", "pod.1:7"]), st.integers(0, 63))
)


@pytest.mark.parametrize(
    ("channel", "is_own"),
    [
        ("constellation:commands", True),
        ("other:commands", False),
        (commands.EMITTER_CHANNEL, True),
        ("constellation:heartbeat:x", True),
        ("chat:new", False),
        ("socketio:new", False),
        ("my:constellation:new", False),
        ("", False),
    ],
)
def test_channels_that_pods_and_emitters_use_are_told_from_those_of_events(
    channel: str, is_own: bool
) -> None:
    assert commands.is_own_channel(channel, "constellation") is is_own


@given(every_command)
def test_a_command_arrives_as_it_was_sent(command: commands.Command) -> None:
    arrived = commands.decode(commands.encode(command))
    assert arrived == command
    assert type(arrived) is type(command)


@pytest.mark.parametrize(
    ("rooms", "except_rooms", "is_meant"),
    [
        (None, (), True),
        (("user:1", "a"), (), True),
        (("sid-1",), (), True),
        (("a",), (), False),
        ((), (), False),
        (None, ("chat:1", "a"), False),
        (("user:1",), ("sid-1",), False),
        (("user:1",), ("a",), True),
    ],
)
def test_a_selection_means_the_members_of_its_rooms_less_the_excepted(
    rooms: tuple[Room, ...] | None, except_rooms: tuple[Room, ...], is_meant: bool
) -> None:
    selection = Selection(rooms, except_rooms)
    assert selection.reaches({"sid-1", "user:1", "chat:1"}, DEFAULT_SCOPE) is is_meant
    elsewhere = {"/orders,sid-1", "/orders,user:1", "/orders,chat:1"}
    assert not selection.reaches(elsewhere, Scope("/orders,")), "of another namespace"


def test_values_of_an_emit_travel_as_their_own_text() -> None:
    data = msgspec.Raw(b'{"big": 12345678901234567890.50, "t": "\\u0041 \\/"}')
    sent = commands.emit('we"ird', data, (Room("user:1"),))
    arrived = commands.decode(commands.encode(sent))
    assert arrived == Emit(msgspec.Raw(b'["we\\"ird",%b]' % bytes(data)), (Room("user:1"),))


@given(st.binary(max_size=60))
def test_bytes_that_are_no_command_are_malformed_and_never_worse(raw: bytes) -> None:
    for read in (commands.decode, python_emitter.decode_emitter):
        with pytest.raises(MalformedEvent):
            read(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"null",
        b"{}",
        b'{"type":"nothing"}',
        b'{"type":"join","who":"a"}',
        b'{"type":"join","who":"a","room":7}',
        b'{"type":"join","who":"\xff","room":"a"}',
        b'{"type":"\xff"}',
        b'{"type":"emit","args":["e","\xff"],"rooms":["a"]}',
        b'{"type":"emit","args":["e"],"rooms":["a"],"attachments":["?"]}',
        b'{"type":"empty","room":"a"}x',
        b"[" * 100_000,
    ],
)
def test_a_damaged_command_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedEvent, match=r"^not a command$"):
        commands.decode(raw)


HALF = rb'["e",{"cut":"\ud83d"}]'
SHORTEST: list[tuple[bytes, commands.Command]] = [
    (
        b'{"type":"emit","args":["e"],"rooms":["a"]}',
        Emit(msgspec.Raw(b'["e"]'), (Room("a"),), (), (), "", 0, False, "", None),
    ),
    (b'{"type":"disconnect","who":"a"}', Disconnect(Room("a"), "", "", 0, False)),
    (b'{"type":"regroup","rooms":null,"except_rooms":[]}', Regroup(None, (), (), ())),
    (b'{"type":"handover"}', Handover("")),
    (b'{"type":"handover","partition":2}', Handover("", 2)),
]


@pytest.mark.parametrize(("raw", "command"), SHORTEST)
def test_what_a_command_leaves_out_is_as_other_releases_read_it(
    raw: bytes, command: commands.Command
) -> None:
    assert commands.encode(command) == raw
    assert commands.decode(raw) == command


def test_half_of_a_surrogate_pair_costs_no_event() -> None:
    emit = Emit(msgspec.Raw(HALF), (Room("a"),), attachments=(b"",))
    assert commands.decode(commands.encode(emit)) == emit


def test_an_ack_id_has_31_bits() -> None:
    raw = b'{"type":"emit","args":["e"],"rooms":[],"ack":{"id":%d,"reply_to":"r","timeout_ms":1}}'
    asked = commands.decode(raw % 2_147_483_647)
    assert isinstance(asked, Emit)
    assert asked.ack == AckRequest(2_147_483_647, "r", 1)
    with pytest.raises(MalformedEvent):
        commands.decode(raw % 2_147_483_648)


@pytest.mark.parametrize(
    ("args", "attachments"),
    [
        ('["e",{"_placeholder":true,"num":0}]', 1),
        ('["e",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', 2),
        ('["e",{"_placeholder":true,"num":9}]', 10),
        ('["e",{"_placeholder":false,"num":"x"}]', 1),
        ('["e",{"_placeholder":1}]', 1),
        ('["e",{"num":7}]', 1),
        ('["e",{"_placeholder":true,"num":7}]', 0),
    ],
)
def test_an_emit_whose_placeholders_stand_for_attachments_is_sent(
    args: str, attachments: int
) -> None:
    emit = Emit(msgspec.Raw(args.encode()), None, (), (b"",) * attachments)
    assert commands.decode(commands.encode(emit)) == emit


@pytest.mark.parametrize(
    ("args", "attachments"),
    [
        ('"]["', 0),
        ("{}", 0),
        ("[]", 0),
        ("[5]", 0),
        *((f'["{event}"]', 0) for event in sorted(UNSENDABLE_EVENTS)),
        ('["e",{"_placeholder":true,"num":1,"cut":"\\\\ud83d"}]', 1),
        ('["e",{"_placeholder":true,"num":1}]', 1),
        ('["e",[{"a":{"_placeholder":true,"num":-1}}]]', 1),
        ('["e",{"_placeholder":true,"num":"0"}]', 1),
        ('["e",{"_placeholder":true,"num":true}]', 2),
        ('["e",{"_placeholder":true,"num":5}]', 1),
        ('["e",{"_placeholder":true}]', 1),
        ('["e",{"_placeholder":1,"num":"x"}]', 1),
        ('["e"]', 11),
    ],
)
def test_an_emit_on_which_clients_would_hang_up_is_malformed(args: str, attachments: int) -> None:
    emit = Emit(msgspec.Raw(args.encode()), None, (), (b"",) * attachments)
    with pytest.raises(MalformedEvent):
        commands.decode(commands.encode(emit))
