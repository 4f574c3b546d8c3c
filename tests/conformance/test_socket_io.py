"""Socket.IO v5, case by case of its protocol suite, and what its document says besides."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conformance.conftest import (
    CONNECT_TIMEOUT_SECONDS,
    PING_INTERVAL_SECONDS,
)
from tests.conformance.polling import http
from tests.conformance.wire import SOCKET_IO, Wire, websocket

CLOSED: tuple[list[str | bytes], int] = ([], 1000)
"""Nothing more is said, and the connection ends with an ordinary close frame."""
TWO = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
ATTACHMENTS = b"\x01\x02\x03", b"\x04\x05\x06"


@pytest_asyncio.fixture
async def opened(patient_port: int) -> AsyncIterator[Wire]:
    """A WebSocket on which Engine.IO has opened and Socket.IO has not."""
    async with websocket(patient_port, SOCKET_IO) as wire:
        await wire.message()
        yield wire


@pytest_asyncio.fixture
async def connected(opened: Wire) -> Wire:
    """A client of the main namespace."""
    await connect(opened)
    return opened


async def connect(wire: Wire, namespace: str = "") -> str:
    """Connect, past the greeting, and return the session id."""
    await wire.send(f"40{namespace}")
    sid = read_handshake(await wire.packet(), namespace)
    await wire.packet()
    return sid


def read_handshake(packet: str | bytes, namespace: str) -> str:
    assert isinstance(packet, str)
    head = f"40{namespace}"
    assert packet.startswith(head)
    handshake = json.loads(packet.removeprefix(head))
    assert list(handshake) == ["sid"]
    assert isinstance(handshake["sid"], str)
    assert handshake["sid"]
    return handshake["sid"]


# Connect


@pytest.mark.parametrize(
    ("connect", "namespace", "greeting"),
    [
        ("40", "", '42["auth",{}]'),
        ('40{"token":"123"}', "", '42["auth",{"token":"123"}]'),
        ("40/custom,", "/custom,", '42/custom,["auth",{}]'),
        ("40/custom", "/custom,", '42/custom,["auth",{}]'),
        ('40/custom,{"token":"abc"}', "/custom,", '42/custom,["auth",{"token":"abc"}]'),
        ("40/custom?token=abc,", "/custom,", '42/custom,["auth",{}]'),
        ('40{"ключ":"значение 👋"}', "", '42["auth",{"ключ":"значение 👋"}]'),
    ],
)
async def test_a_namespace_that_is_there_is_entered(
    opened: Wire, connect: str, namespace: str, greeting: str
) -> None:
    await opened.send(connect)
    read_handshake(await opened.message(), namespace)
    assert await opened.message() == greeting


async def test_an_unknown_namespace_is_refused_and_the_connection_stays(opened: Wire) -> None:
    await opened.send("40/random")
    assert await opened.message() == '44/random,{"message":"Invalid namespace"}'
    await connect(opened)


@pytest.mark.parametrize(
    "handshake",
    [
        pytest.param("4abc", id="no packet"),
        pytest.param("4", id="an empty message"),
        pytest.param('42["message",1]', id="an event first"),
        pytest.param('42/custom,["message",1]', id="an event of another namespace first"),
        pytest.param('43/random,1["x"]', id="an acknowledgement first"),
        pytest.param("41", id="a disconnect first"),
        pytest.param('44{"message":"no"}', id="a connect error"),
        pytest.param('451-["message",{"_placeholder":true,"num":0}]', id="a binary event first"),
        pytest.param("40{", id="half a payload"),
        pytest.param("40/custom,{", id="half a payload in a namespace"),
        pytest.param("401-{}", id="a connect with attachments"),
        pytest.param("47", id="an unknown type"),
        pytest.param("4-1", id="a negative type"),
        pytest.param("40" + "[" * 10_000, id="deep nesting"),
    ],
)
async def test_what_is_no_connect_closes_the_connection(opened: Wire, handshake: str) -> None:
    await opened.send(handshake)
    assert await opened.messages_to_the_end() == CLOSED


@pytest.mark.parametrize("payload", ["[1]", '"text"', "true"])
async def test_auth_that_is_no_object_is_the_handler_s_to_refuse(
    opened: Wire, payload: str
) -> None:
    # Beyond the suite, and unlike the reference server, which closes the connection: a client with
    # `auth: token` would reconnect forever and never learn why.
    await opened.send(f"40{payload}")
    assert str(await opened.message()).startswith('40{"sid":')
    assert await opened.message() == f'42["auth",{payload}]'


async def test_binary_data_before_a_connect_closes_the_connection(opened: Wire) -> None:
    await opened.send(b"\x04abc")
    assert await opened.messages_to_the_end() == CLOSED


async def test_who_stays_silent_is_closed(hasty_port: int) -> None:
    async with websocket(hasty_port, SOCKET_IO) as wire:
        _, code = await wire.messages_to_the_end()
    assert code == 1000


async def test_who_answers_pings_but_connects_nowhere_is_closed(beating_port: int) -> None:
    began = time.monotonic()
    async with websocket(beating_port, SOCKET_IO) as wire:
        assert isinstance(await wire.message(), str)
        with pytest.raises(AssertionError, match="connect timeout"):
            await wire.packet()
    assert time.monotonic() - began >= CONNECT_TIMEOUT_SECONDS


async def test_who_polls_but_connects_nowhere_is_told_and_closed(beating_port: int) -> None:
    async with http(beating_port, "/socket.io/") as client:
        polling = await client.open()
        assert await polling.packets_but_pings(1) == ["1"]
        assert (await polling.poll()).status == 400


async def test_who_is_refused_may_connect_elsewhere_but_not_wait_for_ever(
    beating_port: int,
) -> None:
    async with websocket(beating_port, SOCKET_IO) as wire:
        await wire.message()
        await wire.send("40/random")
        assert await wire.packet() == '44/random,{"message":"Invalid namespace"}'
        with pytest.raises(AssertionError, match="connect timeout"):
            await wire.packet()


async def test_who_is_connected_stays(beating_port: int) -> None:
    async with websocket(beating_port, SOCKET_IO) as wire:
        await wire.message()
        await connect(wire)
        until = time.monotonic() + CONNECT_TIMEOUT_SECONDS + PING_INTERVAL_SECONDS
        while time.monotonic() < until:
            assert await wire.message() == "2"
            await wire.send("3")


@pytest.mark.parametrize("namespace", ["", "/custom,"])
async def test_a_second_connect_to_a_namespace_closes_the_connection(
    opened: Wire, namespace: str
) -> None:
    await connect(opened, namespace)
    await opened.send(f"40{namespace}")
    assert await opened.messages_to_the_end() == CLOSED


async def test_two_connects_in_one_segment_close_the_connection_after_one_answer(
    opened: Wire,
) -> None:
    await opened.send("40")
    await opened.send("40")
    messages, code = await opened.messages_to_the_end()
    read_handshake(messages[0], "")
    assert code == 1000


# Disconnect


async def test_who_leaves_the_main_namespace_is_still_pinged_for_a_while(beating_port: int) -> None:
    """As the suite expects; the reference server leaves it to the client to hang up."""
    async with websocket(beating_port, SOCKET_IO) as wire:
        await wire.message()
        await connect(wire)
        await wire.send("41")
        assert await wire.message() == "2"


async def test_who_leaves_the_last_namespace_and_enters_none_is_closed(beating_port: int) -> None:
    async with websocket(beating_port, SOCKET_IO) as wire:
        await wire.message()
        await connect(wire)
        await wire.send("41")
        with pytest.raises(AssertionError, match="connect timeout"):
            await wire.packet()


async def test_who_has_left_may_come_back_as_another(connected: Wire) -> None:
    sids = set()
    for _ in range(3):
        await connected.send("41")
        sids.add(await connect(connected))
    assert len(sids) == 3


async def test_leaving_a_namespace_leaves_the_others(connected: Wire) -> None:
    await connect(connected, "/custom,")
    await connected.send("41/custom")
    await connected.send('42["message","message to main namespace"]')
    assert await connected.message() == '42["message-back","message to main namespace"]'


async def test_an_event_to_a_namespace_that_was_left_is_passed_over(connected: Wire) -> None:
    await connect(connected, "/custom,")
    await connected.send("41/custom,")
    await connected.send('42/custom,["message","to nobody"]')
    await connected.send('42/custom,1["message-with-ack"]')
    await connected.send('42/nowhere,2["message-with-ack"]')
    await connected.send("41/custom,")
    await connected.send("41/nowhere,")
    await connected.send('42["message","to somebody"]')
    assert await connected.message() == '42["message-back","to somebody"]'


# Messages


@pytest.mark.parametrize(
    ("event", "answer"),
    [
        ('42["message",1,"2",{"3":[true]}]', '42["message-back",1,"2",{"3":[true]}]'),
        ('42["message"]', '42["message-back"]'),
        ('42["message",null,-1.5,"👋"]', '42["message-back",null,-1.5,"👋"]'),
        ('42456["message-with-ack",1,"2",{"3":[false]}]', '43456[1,"2",{"3":[false]}]'),
        ('420["message-with-ack"]', "430[]"),
        ('4225["message-with-ack"]', "4325[]"),
        ('450-["message","binary in name only"]', '42["message-back","binary in name only"]'),
    ],
)
async def test_an_event_is_answered(connected: Wire, event: str, answer: str) -> None:
    await connected.send(event)
    assert await connected.message() == answer


async def test_an_event_with_attachments_is_answered_with_them(connected: Wire) -> None:
    await connected.send(f'452-["message",{TWO}]')
    for attachment in ATTACHMENTS:
        await connected.send(attachment)
    assert await connected.message() == f'452-["message-back",{TWO}]'
    assert (await connected.message(), await connected.message()) == ATTACHMENTS


async def test_an_event_with_attachments_is_acknowledged_with_them(connected: Wire) -> None:
    await connected.send(f'452-789["message-with-ack",{TWO}]')
    for attachment in ATTACHMENTS:
        await connected.send(attachment)
    assert await connected.message() == f"462-789[{TWO}]"
    assert (await connected.message(), await connected.message()) == ATTACHMENTS


async def test_an_acknowledgement_that_nobody_asked_for_is_passed_over(connected: Wire) -> None:
    await connected.send('43123["nobody asked"]')
    await connected.send('430["nobody asked"]')
    await connected.send('461-7[{"_placeholder":true,"num":0}]')
    await connected.send(b"\x00")
    await connected.send('42["message"]')
    assert await connected.message() == '42["message-back"]'


async def test_an_event_that_nobody_handles_is_passed_over(connected: Wire) -> None:
    await connected.send('42["unheard-of",1]')
    await connected.send('421["unheard-of",1]')
    await connected.send('42["message"]')
    assert await connected.message() == '42["message-back"]'


async def test_namespaces_share_a_connection_without_mixing(connected: Wire) -> None:
    await connect(connected, "/custom,")
    await connected.send('42["message","main"]')
    await connected.send('42/custom,["message","custom"]')
    await connected.send('42/custom,7["message-with-ack","custom"]')
    await connected.send(f'452-/custom,8["message-with-ack",{TWO}]')
    for attachment in ATTACHMENTS:
        await connected.send(attachment)
    heard = [await connected.message() for _ in range(6)]
    assert heard == [
        '42["message-back","main"]',
        '42/custom,["message-back","custom"]',
        '43/custom,7["custom"]',
        f"462-/custom,8[{TWO}]",
        *ATTACHMENTS,
    ]


INVALID = {
    "an unknown type": "4abc",
    "an object for a payload": "42{}",
    "null for a payload": "42null",
    "a name for a payload": '42"message"',
    "letters in an ack id": '42abc["message-with-ack",1,"2",{"3":[false]}]',
    "no payload": "42",
    "no payload in a namespace": "42/custom,",
    "half a payload": '42["message"',
    "something behind the payload": '42["message"]x',
    "an ack id of a thousand digits": "42" + "9" * 1000 + '["message"]',
    "an acknowledgement without a payload": "431",
    "an acknowledgement with an object": "431{}",
    "a disconnect with a payload": "41{}",
    "a disconnect with null": "41null",
    "a connect error": "44{}",
    "a billion attachments": '451000000000-["message"]',
    "attachments of a text event": '421-["message"]',
    "not a number": '42["message",NaN]',
    "an empty message": "4",
}


# The reference server's parser closes for some of these. Their clients' libraries send them all.
UNKNOWN = {
    "an empty array": "[]",
    "a number for a name": "[7]",
    "null for a name": "[null,1]",
    "an array for a name": '[["message"]]',
    "a name that is reserved": '["connect"]',
    "a disconnect by event": '["disconnect","x"]',
    "a star": '["*"]',
    "what python-socketio keeps for itself": '["__disconnect_final"]',
    "nesting without end": '["message",' + "[" * 100_000,
    "a number of 5,000 digits": f'["unheard-of",{"9" * 5_000}]',
}


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("ack_id", ["", "7"])
async def test_an_event_that_nobody_can_know_costs_nobody_its_connection(
    connected: Wire, ack_id: str, name: str
) -> None:
    await connected.send(f"42{ack_id}{UNKNOWN[name]}")
    await connected.send('42["message","still here"]')
    assert await connected.message() == '42["message-back","still here"]'


@pytest.mark.parametrize("number", ["1", "-1", '"0"', "[]", "null"])
async def test_a_placeholder_of_no_attachment_is_null(connected: Wire, number: str) -> None:
    await connected.send(f'451-["message",{{"_placeholder":true,"num":{number}}}]')
    await connected.send(b"\x01")
    assert await connected.message() == '42["message-back",null]'


async def test_more_attachments_than_a_parser_takes_are_taken(connected: Wire) -> None:
    await connected.send('4512-["message","twelve"]')
    for _ in range(12):
        await connected.send(b"\x01")
    assert await connected.message() == '42["message-back","twelve"]'


@pytest.mark.parametrize("name", INVALID)
async def test_an_invalid_packet_closes_the_connection(connected: Wire, name: str) -> None:
    await connected.send(INVALID[name])
    assert await connected.messages_to_the_end() == CLOSED


PLACEHOLDER = '{"_placeholder":true,"num":0}'
INVALID_SEQUENCES: dict[str, list[str | bytes]] = {
    "an attachment without its packet": [b"\x01"],
    "an attachment too many": [f'451-["message",{PLACEHOLDER}]', b"\x01", b"\x02"],
    "text for an attachment": [f'451-["message",{PLACEHOLDER}]', '42["message"]'],
    "empty text for an attachment": [f'451-["message",{PLACEHOLDER}]', "4"],
    "a connect for an attachment": [f'451-["message",{PLACEHOLDER}]', "40/custom"],
}


@pytest.mark.parametrize("name", INVALID_SEQUENCES)
async def test_attachments_that_do_not_fit_close_the_connection(connected: Wire, name: str) -> None:
    for message in INVALID_SEQUENCES[name]:
        await connected.send(message)
    heard, code = await connected.messages_to_the_end()
    assert code == 1000
    assert len(heard) == (2 if name == "an attachment too many" else 0)


async def test_attachments_that_never_come_are_forgotten_with_the_namespace(
    connected: Wire, patient_port: int
) -> None:
    await connected.send(f'451-["message",{PLACEHOLDER}]')
    connected.reset()
    async with websocket(patient_port, SOCKET_IO) as wire:
        await wire.message()
        await connect(wire)
        await wire.send('42["message","another"]')
        assert await wire.message() == '42["message-back","another"]'


# The same over long-polling


async def test_everything_works_on_long_polling(patient_port: int) -> None:
    async with http(patient_port, "/socket.io/") as client:
        polling = await client.open()
        await polling.send("40/custom")
        handshake, greeting = await polling.packets_but_pings(2)
        read_handshake(handshake, "/custom,")
        assert greeting == '42/custom,["auth",{}]'
        await polling.send(
            f'42/custom,["message",1]\x1e452-/custom,5["message-with-ack",{TWO}]\x1ebAQID\x1ebBAUG'
        )
        assert await polling.packets_but_pings(4) == [
            '42/custom,["message-back",1]',
            f"462-/custom,5[{TWO}]",
            "bAQID",
            "bBAUG",
        ]


async def test_an_invalid_packet_on_long_polling_closes_the_session(patient_port: int) -> None:
    async with http(patient_port, "/socket.io/") as client:
        polling = await client.open()
        await polling.send("4abc")
        assert await polling.packets() == ["1"]
        assert (await polling.poll()).status == 400
