"""One event in every wire form, read back by python-socketio and by another WebSocket library."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from socketio.packet import BINARY_EVENT, EVENT, Packet
from websockets import frames as websocket_frames
from websockets.frames import Opcode
from websockets.protocol import CLIENT, Protocol, State

from constellation_ws.messages import commands
from constellation_ws.messages.commands import AckRequest, Emit
from constellation_ws.messages.events import Decoder, EventName, Room, fields_of
from constellation_ws.messages.frames import Frame, encode_emit, encode_event

NEW_MESSAGE = EventName("new-message")
TEXT = '{"chatId":"c","text":"Привет 👋 \\ud83d","at":12345678901234567890.50}'

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def event_frame(text: str, *keys: str, event: str = NEW_MESSAGE) -> Frame:
    fields = Decoder(fields_of(keys)).decode(text.encode())
    return encode_event(EventName(event), fields)


def emit_of(event: str, data: Any) -> Emit:
    """What reaches a pod when an emitter sends this."""
    values, attachments = Packet.deconstruct_binary([event, data])
    return Emit(
        msgspec.Raw(json.dumps(values).encode()), (Room("r"),), attachments=tuple(attachments)
    )


def websocket_messages(data: bytes) -> list[str | bytes]:
    """The whole messages in a stream of a server's frames."""
    client = Protocol(CLIENT, state=State.OPEN, max_size=None)
    client.receive_data(data)
    assert client.parser_exc is None
    messages: list[str | bytes] = []
    for frame in client.events_received():
        assert isinstance(frame, websocket_frames.Frame)
        assert frame.fin
        data = bytes(frame.data)
        messages.append(data.decode() if frame.opcode is Opcode.TEXT else data)
    return messages


def parsed(messages: list[str | bytes]) -> Packet:
    """The Socket.IO packet in Engine.IO messages, its binary values in their places."""
    first, *attachments = messages
    assert isinstance(first, str)
    assert first[0] == "4"
    packet = Packet(encoded_packet=first[1:])
    assert packet.attachment_count == len(attachments)
    for place, attachment in enumerate(attachments, 1):
        assert packet.add_attachment(binary(attachment)) is (place == len(attachments))
    return packet


def binary(message: str | bytes) -> bytes:
    """The bytes of a binary packet, which a poll carries in base64."""
    if isinstance(message, bytes):
        return message
    assert message[0] == "b"
    return base64.b64decode(message[1:], validate=True)


def test_an_event_is_a_socket_io_packet_that_keeps_its_values_texts() -> None:
    frame = event_frame(TEXT, "chatId", "at", "text")
    payload = '{"chatId":"c","at":12345678901234567890.50,"text":"Привет 👋 \\ud83d"}'
    assert frame.message.decode() == f'42/chats,["new-message",{payload}]'
    assert frame.attachments == ()


@pytest.mark.parametrize("event", ["new-chat", 'with "quotes"', "сообщение"])
def test_the_name_of_an_event_is_json_too(event: str) -> None:
    packet = parsed(list(event_frame("{}", "a", event=event).polling()))
    assert (packet.namespace, packet.data) == ("/chats", [event, {}])


@pytest.mark.parametrize("size", [0, 100, 125, 126, 127, 65_535, 65_536, 200_000])
def test_a_websocket_carries_the_packet_as_one_text_message(size: int) -> None:
    frame = event_frame(json.dumps({"text": "ы" * size}, ensure_ascii=False), "text")
    assert websocket_messages(frame.websocket()) == [frame.message.decode()]


def test_frames_in_a_row_stay_apart() -> None:
    frames = [event_frame(json.dumps({"text": text}), "text") for text in ("a", "b" * 70_000, "c")]
    messages = websocket_messages(b"".join(frame.websocket() for frame in frames))
    assert messages == [frame.message.decode() for frame in frames]


def test_a_poll_carries_the_same_packet() -> None:
    frame = event_frame(TEXT, "text")
    assert frame.polling() == [frame.message.decode()]
    assert parsed(list(frame.polling())).packet_type == EVENT


@pytest.mark.parametrize("data", ["text", {"deep": [b"\x00", b"\x01"]}, [], None])
def test_an_offset_is_the_last_argument_where_it_is_wanted_and_there_is_one(data: Any) -> None:
    command = emit_of("e", data)
    plain, logged = encode_emit(command), encode_emit(command, b"1760000000000-7")
    assert logged.websocket() == plain.websocket() == plain.websocket(with_offset=True)
    assert logged.polling() == plain.polling() == plain.polling(with_offset=True)
    for messages in (
        websocket_messages(logged.websocket(with_offset=True)),
        list[str | bytes](logged.polling(with_offset=True)),
    ):
        assert parsed(messages).data == ["e", data, "1760000000000-7"]


def test_an_events_offset_follows_its_payload() -> None:
    fields = Decoder(fields_of(["text"])).decode(b'{"text":1.0}')
    frame = encode_event(NEW_MESSAGE, fields, b"5-1")
    assert frame.polling() == ['42/chats,["new-message",{"text":1.0}]']
    assert frame.polling(with_offset=True) == ['42/chats,["new-message",{"text":1.0},"5-1"]']


def test_making_a_form_changes_nothing() -> None:
    frame = encode_emit(emit_of("file", {"a": b"\x00", "b": [b"\x01"]}))
    assert (frame.websocket(), frame.polling()) == (frame.websocket(), frame.polling())


@given(st.text(min_size=1, max_size=5), json_values)
def test_an_emit_reads_back_the_same_from_both_transports(event: str, data: Any) -> None:
    command = emit_of(event, data)
    frame = encode_emit(command)
    over_websocket = parsed(websocket_messages(frame.websocket()))
    over_polling = parsed(list(frame.polling()))
    for packet in (over_websocket, over_polling):
        assert packet.data == [event, data]
        assert packet.namespace == "/chats"
        assert packet.packet_type == (BINARY_EVENT if command.attachments else EVENT)


def test_the_values_of_an_emit_are_not_touched() -> None:
    command = commands.emit("e", msgspec.Raw(b'{ "n":1.50 }'), (Room("user:1"),))
    assert encode_emit(command).message == b'42/chats,["e",{ "n":1.50 }]'


def test_empty_bytes_are_an_attachment_too() -> None:
    packet = parsed(websocket_messages(encode_emit(emit_of("file", b"")).websocket()))
    assert packet.data == ["file", b""]


@pytest.mark.parametrize(("data", "head"), [(1, "42/chats,7"), (b"\x00", "451-/chats,7")])
def test_the_offset_of_an_event_with_acks_comes_in_events_of_its_own(data: Any, head: str) -> None:
    """socket.io-client puts the ack's callback where it looks for an offset."""
    request = AckRequest(7, "reply", 1_000)
    command = msgspec.structs.replace(emit_of("question", data), ack=request)
    frame = encode_emit(command, b"5-1")

    for messages in (websocket_messages(frame.websocket(with_offset=True)), frame.polling(True)):
        assert messages[0] == '42/chats,["constellation:offset","5-1?"]'
        assert str(messages[1]).startswith(f'{head}["question"')
        assert messages[-1] == '42/chats,["constellation:offset","5-1"]'
    for messages in (websocket_messages(frame.websocket()), frame.polling()):
        assert str(messages[0]).startswith(f'{head}["question"')
        assert len(messages) == (1 if data == 1 else 2)
    assert frame.polling() == encode_emit(command).polling(True)  # no log, no offset
