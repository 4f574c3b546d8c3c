"""Values pass through as they were written; broken messages are counted and survived."""

import pytest

from tests.journey.conftest import Pods
from tests.journey.publishing import Publisher
from tests.js_clients import POLLING, UPGRADING, WEBSOCKET, JsClients
from tests.nest_client import nest_client
from tests.processes import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="session")

SLICES = [
    "9007199254740993",
    "-9223372036854775808",
    "123456789012345678901234567890",
    "1",
    "1.0",
    "-0",
    "-0.0",
    "1E+2",
    "0.1000000000000000055511151231257827",
    "1e400",
    "null",
    "true",
    '""',
    r'"\u0041\/\n\u0000\u001e"',
    r'"\ud83d\ude00"',
    '"Привет, мир 👋 \u2028 </script>"',
    "[ 1, 2.50 ,null ]",
    '{"b": {"a" : [[], {}, [{"z":1e1}]]},\n "b": 2}',
    '"' + "длинно" * 5000 + '"',
]
# Legal JSON that no UTF-8 can carry. The TCP door replaces it, as every UTF-8 encoder does; what is
# published passes through.
HALF_A_PAIR = r'"half a pair: \ud83d"'
BROKEN: list[str | bytes] = [
    "",
    "{oops",
    "null",
    "42",
    '"text"',
    "[]",
    '[{"recipientId": "bob"}]',
    "{}",
    '{"text": "to nobody, and very secret"}',
    '{"recipientId": null, "chatId": null, "text": "very secret"}',
    '{"recipientId": {}, "text": "very secret"}',
    '{"recipientId": [[]], "text": "very secret"}',
    '{"recipientId": "bob", "text": "very secret}',
    '{"recipientId": "bob"} {}',
    '{"recipientId": "bob", "text": NaN}',
    '{"recipientId": "bob", "text": "\x1e"}',
    b'{"recipientId": "bob", "text": "\xff\xfe very secret"}',
    b"\x00\x01\x02\xff",
    "[" * 100_000,
    '{"recipientId": "bob", "text": ' + '{"a":' * 50_000,
]


@pytest.mark.parametrize(
    "transports", [WEBSOCKET, POLLING, UPGRADING], ids=["websocket", "polling", "upgraded"]
)
async def test_values_leave_as_they_came(
    transports: tuple[str, ...], pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}", transports=transports)

    slices = [*SLICES, HALF_A_PAIR]

    await publish.burst([("chat:newMessage", _message(value, mine)) for value in slices])

    (heard,) = await publish.heard_by(bob)
    for value, event in zip(slices, heard, strict=True):
        assert f'"text":{value},' in event.text
        assert '"timestamp":1760000000123.50' in event.text


async def test_values_leave_as_they_came_over_the_tcp_port_too(
    pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}")
    async with nest_client(pods.b.tcp_port) as nest:
        for number, value in enumerate(SLICES):
            nest.write(_framed("chat:newMessage", _message(value, mine), number))
            assert (await nest.packet())["response"]["data"] == {"accepted": True}
            data = f'{{"userId":"bob{mine}","event":"new-message","data":{{"text":{value}}}}}'
            nest.write(_framed("sendToUser", data, number))
            assert (await nest.packet())["response"]["data"] == {"accepted": True}

    texts = [(await bob.event("new-message")).text for _ in range(2 * len(SLICES))]
    for value, (routed, sent) in zip(SLICES, _pairs(texts), strict=True):
        assert f'"text":{value},' in routed
        assert f'"text":{value}}}' in sent
    assert await publish.heard_by(bob) == [[]]


async def test_broken_events_are_counted_and_survived(
    pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    bob = await js.connect(pods.a.chats_url, user="bob")
    before = [await _malformed(pod) for pod in pods]

    await publish.burst([("chat:newMessage", text) for text in BROKEN])
    await publish("chat:newMessage", {"recipientId": "bob", "text": "whole"})

    (heard,) = await publish.heard_by(bob)
    assert [event.payload for event in heard] == [{"text": "whole"}]
    assert [await _malformed(pod) for pod in pods] == [count + len(BROKEN) for count in before]
    for pod in pods:
        log = "\n".join(pod.lines())
        assert "very secret" not in log, "a message's text must not reach the log"


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ("chat:messageRead", '{"chatId":"c","messageIds":["m"]}'),
        ("chat:messageRead", '{"userId":null,"messageIds":["m"]}'),
        ("chat:typing", '{"isTyping":true}'),
        ("chat:typing", '{"userId":"a","isTyping":true}'),
        ("chat:typing", '{"userId":"a","participants":"[x","chatId":{}}'),
        ("chat:new", '{"chatId":"c"}'),
        ("chat:deleted", '{"deletedByUserId":"a"}'),
        ("chat:deleted", '{"participants":{"a":1}}'),
        ("user:status", '{"userId":"a","status":"online"}'),
        ("user:status", '{"notifyUsers":7.5}'),
    ],
)
async def test_an_event_that_names_nobody_is_counted_on_its_channel(
    channel: str, message: str, pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}")
    labels = {"channel": channel, "outcome": "malformed"}
    before = await pods.a.metric("constellation_events_total", **labels)

    await publish(channel, message)

    assert await publish.heard_by(bob) == [[]]
    assert await pods.a.metric("constellation_events_total", **labels) == before + 1


def _message(value: str, mine: str) -> str:
    return (
        f'{{"recipientId": "bob{mine}", "chatId": 9007199254740993, "text" :\t{value} ,'
        '"timestamp": 1760000000123.50, "traceparent": "never forwarded"}'
    )


def _framed(pattern: str, data: str, number: int) -> bytes:
    text = f'{{"pattern":"{pattern}","data":{data},"id":"{number}"}}'
    return f"{len(text.encode('utf-16-le')) // 2}#{text}".encode()


def _pairs(texts: list[str]) -> list[tuple[str, str]]:
    return list(zip(texts[::2], texts[1::2], strict=True))


async def _malformed(pod: Gateway) -> float:
    return await pod.metric("constellation_events_total", outcome="malformed")
