"""Socket.IO packets: what fits its type is read, everything else is refused as a whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from socketio import packet as sio

from service.engine.packets import BadPacket, Json, Packet, ack_id

PLACE = '{"_placeholder":true,"num":0}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
# A name of its own would be a reserved one.
EVENTS = st.tuples(st.text().map(lambda name: "e" + name), JSON).map(list)


def read(text: str) -> Packet:
    return Packet(encoded_packet=text)


@pytest.mark.parametrize(
    ("text", "kind", "namespace", "number", "data"),
    [
        ("0", sio.CONNECT, None, None, None),
        ('0{"a":1}', sio.CONNECT, None, None, {"a": 1}),
        ("0/chats", sio.CONNECT, "/chats", None, None),
        ('0/chats,{"a":1}', sio.CONNECT, "/chats", None, {"a": 1}),
        ("1", sio.DISCONNECT, None, None, None),
        ("1/chats,", sio.DISCONNECT, "/chats", None, None),
        ('2["a"]', sio.EVENT, None, None, ["a"]),
        ('2/chats,12["a",1]', sio.EVENT, "/chats", 12, ["a", 1]),
        ("3/chats,13[]", sio.ACK, "/chats", 13, []),
        ('50-["a"]', sio.EVENT, None, None, ["a"]),
        ("60-1[]", sio.ACK, None, 1, []),
    ],
)
def test_a_packet_is_read(
    text: str, kind: int, namespace: str | None, number: int | None, data: Any
) -> None:
    packet = read(text)
    assert (packet.packet_type, packet.namespace) == (kind, namespace)
    assert (packet.id, packet.data) == (number, data)


@pytest.mark.parametrize(
    "text",
    [
        *["x", "-1", "7", "9", "0[]", "0 1", "0{", '0"text"', "0true", "1{}", '1["a"]', "2", "2{}"],
        *["2[]", "2[7]", "2[null]", '2["connect"]', '2["disconnect"]', '5["a"]'],
        *['2x["a"]', '2["a"]x', '2-1["a"]', "3", "3{}", '3"x"', "4", '4{"message":"no"}'],
        *["5", '51["a"]', '5x-["a"]', '511-["a"]', '599999999999-["a"]', "6", "61-{}"],
        *['21-["a"]', "01-{}", "11-", '2["a",NaN]', '2["a",Infinity]', '2["a",-Infinity]'],
        "2" + "[" * 100_000,
        "2" + "9" * 200 + '["a"]',
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadPacket):
        read(text)


@given(st.text())
def test_any_text_is_read_or_refused_and_nothing_else_happens(text: str) -> None:
    try:
        read(text)
    except BadPacket:
        return


@given(st.sampled_from("0123456"), st.text(alphabet='0123456789-,/[]{}":ae\\ ', max_size=30))
def test_anything_that_looks_like_a_packet_is_read_or_refused(kind: str, rest: str) -> None:
    try:
        packet = read(kind + rest)
    except BadPacket:
        return
    if packet.packet_type == sio.EVENT:
        assert isinstance(packet.data[0], str)


@given(EVENTS, st.none() | st.integers(0, 10**20), st.sampled_from([None, "/", "/chats"]))
def test_what_is_written_is_read_again(
    data: list[Any], number: int | None, namespace: str | None
) -> None:
    written = Packet(sio.EVENT, data=data, namespace=namespace, id=number).encode()
    packet = read(written)
    assert packet.data == data
    assert packet.id == number
    assert packet.namespace in (namespace, None)


# Attachments


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
    ],
)
def test_attachments_are_put_where_their_placeholders_are(
    payload: str, attachments: list[bytes], expected: list[Any]
) -> None:
    packet = read(f"5{len(attachments)}-{payload}")
    assert [packet.add_attachment(one) for one in attachments][-1]
    assert packet.data == expected


@pytest.mark.parametrize("number", ["1", "-1", "10", '"0"', "null", "[]", "true", "0.0", "1e3"])
def test_a_placeholder_of_no_attachment_is_refused(number: str) -> None:
    packet = read(f'51-["a",{{"_placeholder":true,"num":{number}}}]')
    with pytest.raises(BadPacket):
        packet.add_attachment(b"x")


def test_a_placeholder_without_a_number_is_refused() -> None:
    packet = read('51-["a",{"_placeholder":true}]')
    with pytest.raises(BadPacket):
        packet.add_attachment(b"x")


def test_an_attachment_too_many_is_refused() -> None:
    packet = read(f'51-["a",{PLACE}]')
    packet.add_attachment(b"x")
    with pytest.raises(BadPacket):
        packet.add_attachment(b"y")


@pytest.mark.parametrize("depth", [100, 500, 900, 1_000, 5_000, 50_000])
def test_nesting_that_is_too_deep_to_read_or_to_fill_is_refused(depth: int) -> None:
    """How deep that is differs between releases of Python."""
    text = f'51-["a",{"[" * depth}{PLACE}{"]" * depth}]'
    try:
        is_filled = read(text).add_attachment(b"x")
    except BadPacket:
        is_filled = depth > 100
    assert is_filled


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


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "", "[1", "{1:2}", "nul"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Json.loads(text)


# Ack ids


@given(
    st.sampled_from(["", "/chats,", "/a-b,", "/2,", "/5-1,"]),
    st.none() | st.integers(0, 10**15),
    st.sampled_from(["2", "51-", "510-"]),
    EVENTS,
)
def test_the_ack_id_is_found_without_reading_the_payload(
    namespace: str, number: int | None, head: str, data: list[Any]
) -> None:
    text = f"{head}{namespace}{'' if number is None else number}{json.dumps(data)}"
    assert ack_id(text) == number
    if head == "2":
        assert read(text).id == number


@pytest.mark.parametrize("text", ["", "2", "2/chats,", "2/chats,12", "2/chats,x[]", "2/chats,²[]"])
def test_where_there_is_no_ack_id_none_is_found(text: str) -> None:
    assert ack_id(text) is None
