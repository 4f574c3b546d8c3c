"""Socket.IO packets: what fits its type is read, everything else is refused as a whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from socketio import packet as sio

from constellation_ws.socketio.incomplete import Incomplete
from constellation_ws.socketio.packets import (
    EVENTS,
    BadPacket,
    Head,
    Json,
    Packet,
    event_of,
    read_head,
    read_payload,
)

PLACE = '{"_placeholder":true,"num":0}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
# A name of its own would be a reserved one.
EVENT_DATA = st.tuples(st.text().map(lambda name: "e" + name), JSON).map(list)


def read(text: str) -> tuple[Head, Any]:
    head = read_head(text)
    return head, read_payload(head, text)


@pytest.mark.parametrize(
    ("text", "kind", "namespace", "number", "data"),
    [
        ("0", sio.CONNECT, "/", None, None),
        ('0{"a":1}', sio.CONNECT, "/", None, {"a": 1}),
        ("0/chats", sio.CONNECT, "/chats", None, None),
        ('0/chats,{"a":1}', sio.CONNECT, "/chats", None, {"a": 1}),
        ('0/chats?a=b,{"a":1}', sio.CONNECT, "/chats", None, {"a": 1}),
        # No object, so nobody's identity: refused with a reason, not by closing the connection.
        ("0[]", sio.CONNECT, "/", None, []),
        ("0 1", sio.CONNECT, "/", None, 1),
        ('0/chats,"text"', sio.CONNECT, "/chats", None, "text"),
        ("0true", sio.CONNECT, "/", None, True),
        ("1", sio.DISCONNECT, "/", None, None),
        ("1/chats,", sio.DISCONNECT, "/chats", None, None),
        ('2["a"]', sio.EVENT, "/", None, ["a"]),
        ('2/chats,12["a",1]', sio.EVENT, "/chats", 12, ["a", 1]),
        ("3/chats,13[]", sio.ACK, "/chats", 13, []),
        ('50-["a"]', sio.BINARY_EVENT, "/", None, ["a"]),
        ("60-1[]", sio.BINARY_ACK, "/", 1, []),
        ('52-/a-1,7["a"]', sio.BINARY_EVENT, "/a-1", 7, ["a"]),
    ],
)
def test_a_packet_is_read(
    text: str, kind: int, namespace: str, number: int | None, data: Any
) -> None:
    head, payload = read(text)
    assert (head.kind, head.namespace, head.ack_id) == (kind, namespace, number)
    assert payload == data


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            "x",
            "-1",
            "7",
            "9",
            "0{",
            "1{}",
            '1["a"]',
            "1null",
        ],
        *["2", "2{}", "2null", '2"a"', "2/chats,", "2[", '2["a"', '2x["a"]', '2["a"]x', '2²["a"]'],
        *["3", "3{}", '3"x"', "4", '4{"message":"no"}', '4"no"', "5", '5["a"]', "6", "61-{}"],
        *['51-{"a":1}', '5x-["a"]', '5-1-["a"]', '599999999999-["a"]', '51001-["a"]', "3[1,]"],
        *['2-1["a"]', '21-["a"]', "01-{}", "11-", '2["a",NaN]', '2["a",Infinity]', "2[-Infinity]"],
        "0" + "[" * 100_000,
        "3" + "[" * 100_000,
        "2" + "9" * 200 + '["a"]',
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadPacket):
        read(text)


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (["a", 1, {}], ["a", 1, {}]),
        ([""], [""]),
        ([42, 1], ["42", 1]),
        ([-1.5], ["-1.5"]),
        ([0], ["0"]),
        ([float("inf")], ["null"]),
        ([10**30], [str(10**30)]),
        ([], [""]),
        ([None, 1], ["", 1]),
        ([True], [""]),
        ([["a"], 1], ["", 1]),
        ([{"a": 1}], [""]),
        ([b"binary", 1], ["", 1]),
        (["connect", 1], ["", 1]),
        (["disconnect"], [""]),
        (["disconnecting"], [""]),
        (["connect_error"], [""]),
        (["*", 1], ["", 1]),
        (["__disconnect_final"], [""]),
    ],
)
def test_what_is_no_name_for_us_names_no_event_and_costs_nobody_its_connection(
    data: list[Any], event: list[Any]
) -> None:
    assert event_of(data) == event


@pytest.mark.parametrize("depth", [100_000, 500_000])  # Python 3.13 reads some thousand levels
def test_an_event_that_is_nested_too_deeply_to_be_read_is_one_that_nobody_knows(depth: int) -> None:
    head, data = read(f'2/chats,7["a",{"[" * depth}{"]" * depth}]')
    assert (head.ack_id, event_of(data)) == (7, [""])


@given(st.text())
def test_any_text_is_read_or_refused_and_nothing_else_happens(text: str) -> None:
    try:
        read(text)
    except BadPacket:
        return


@given(st.sampled_from("0123456"), st.text(alphabet='0123456789-,/[]{}":ae\\ ', max_size=30))
def test_anything_that_looks_like_a_packet_is_read_or_refused(kind: str, rest: str) -> None:
    try:
        head, data = read(kind + rest)
    except BadPacket:
        return
    if head.kind in EVENTS:
        assert isinstance(event_of(data)[0], str)


@given(EVENT_DATA, st.none() | st.integers(0, 10**20), st.sampled_from([None, "/", "/chats"]))
def test_what_is_written_is_read_again(
    data: list[Any], number: int | None, namespace: str | None
) -> None:
    head, payload = read(Packet(sio.EVENT, data=data, namespace=namespace, id=number).encode())
    assert payload == event_of(payload) == data
    assert head.ack_id == number
    assert head.namespace == (namespace or "/")


@given(
    st.sampled_from(["", "/chats,", "/a-b,", "/2,", "/5-1,"]),
    st.none() | st.integers(0, 10**15),
    st.sampled_from(["2", "51-", "510-"]),
    st.text(max_size=20),
)
def test_a_head_is_read_whatever_the_payload_is(
    namespace: str, number: int | None, start: str, payload: str
) -> None:
    text = f"{start}{namespace}{'' if number is None else number}[{payload}"
    head = read_head(text)
    assert (head.ack_id, text[head.payload_at :]) == (number, f"[{payload}")
    assert head.namespace == (namespace[:-1] or "/")


# Attachments


def filled(payload: str, attachments: list[bytes]) -> Any:
    head, data = read(f"5{len(attachments)}-{payload}")
    packet = Incomplete(head, data, 0, is_refused=False)
    assert [packet.take(one) for one in attachments] == [False] * (len(attachments) - 1) + [True]
    return packet.filled()


@pytest.mark.parametrize(
    ("payload", "attachments", "expected"),
    [
        (f'["a",{PLACE}]', [b"x"], ["a", b"x"]),
        (f'["a",{{"deep":[{PLACE}]}}]', [b""], ["a", {"deep": [b""]}]),
        ('["a",{"_placeholder":true,"num":1}]', [b"x", b"y"], ["a", b"y"]),
        (f'["a",{PLACE},{PLACE}]', [b"x"], ["a", b"x", b"x"]),
        ('["a",{"_placeholder":false,"num":0}]', [b"x"], ["a", {"_placeholder": False, "num": 0}]),
        ('["a",{"_placeholder":1,"num":0}]', [b"x"], ["a", {"_placeholder": 1, "num": 0}]),
        ('["a"]', [b"x"], ["a"]),
        (f'["a",{PLACE}]', [b"%d" % number for number in range(50)], ["a", b"0"]),
    ],
)
def test_attachments_are_put_where_their_placeholders_are(
    payload: str, attachments: list[bytes], expected: list[Any]
) -> None:
    assert filled(payload, attachments) == expected


@pytest.mark.parametrize("number", ["1", "-1", "10", '"0"', "null", "[]", "true", "0.0", "1e3"])
def test_a_placeholder_of_no_attachment_is_null(number: str) -> None:
    assert filled(f'["a",{{"_placeholder":true,"num":{number}}}]', [b"x"]) == ["a", None]


def test_a_placeholder_without_a_number_is_null() -> None:
    assert filled('["a",{"_placeholder":true}]', [b"x"]) == ["a", None]


@pytest.mark.parametrize("depth", [100, 500, 900, 1_000, 5_000, 50_000])
def test_nesting_that_is_too_deep_to_read_or_to_fill_leaves_nothing(depth: int) -> None:
    """How deep that is differs between releases of Python."""
    found = filled(f'["a",{"[" * depth}{PLACE}{"]" * depth}]', [b"x"])
    assert found == [] or found[0] == "a"
    assert found or depth > 100


def test_of_a_packet_that_was_refused_attachments_are_counted_and_not_kept() -> None:
    head = read_head('53-["a"]')
    packet = Incomplete(head, ["a"], 10, is_refused=False)
    assert not packet.take(b"x" * 100)
    assert packet.size == 110
    packet.refuse()
    assert [packet.take(b"x" * 100), packet.take(b"x" * 100)] == [False, True]
    assert packet.size == 110
    assert packet.filled() is None


# JSON


@given(JSON)
def test_json_comes_out_as_it_went_in_and_without_spaces(value: Any) -> None:
    written = Json.dumps(value, separators=(",", ":"))
    assert Json.loads(written) == json.loads(written) == value


@pytest.mark.parametrize("text", ['"\\ud800"', '["\\udc00x"]'])
def test_half_a_surrogate_pair_is_json_both_ways(text: str) -> None:
    """A JavaScript client can send one."""
    value = Json.loads(text)
    assert Json.loads(Json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("[1e400]", "[null]"),
        ('[1e400,"\\ud800",{"a":-1e400,"b":1.5}]', '[null,"\\ud800",{"a":null,"b":1.5}]'),
    ],
)
def test_a_number_that_no_double_holds_is_written_as_javascript_does(
    text: str, written: str
) -> None:
    assert Json.dumps(Json.loads(text)) == written


@pytest.mark.parametrize("digits", [18, 20, 30, 400, 4_000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_whole_number_may_have_many_digits(sign: str, digits: int) -> None:
    text = f"[{sign}{'9' * digits}]"
    assert Json.loads(text) == json.loads(text)
    assert Json.dumps(Json.loads(text)) == text


@pytest.mark.parametrize("digits", [5_000, 100_000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_whole_number_that_no_double_holds_is_infinite(sign: str, digits: int) -> None:
    """As in JavaScript; Python refuses those of 4,300 digits as if they were no JSON."""
    value = Json.loads(f"[{sign}{'9' * digits}]")
    assert value == [float(f"{sign}inf")]
    assert Json.dumps(value) == "[null]"


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "", "[1", "{1:2}", "nul"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Json.loads(text)
