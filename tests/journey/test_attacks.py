"""The table of attacks: each refused with its code, counted, and noticed by nobody else.

A witness is served in order throughout, and at the end the gateway has logged no traceback. Forged
tokens and other people's chats are attacks of files of their own.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.conformance.wire import (
    ABNORMAL,
    SOCKET_IO,
    request,
    upgrade_headers,
    websocket,
    wired,
)
from tests.journey.attackers import (
    POLLING,
    SLOW_UPGRADE,
    ask,
    flood_until_closed,
    half_open,
    member,
    members,
    open_files,
    slow_post,
    trickle,
    write_all,
    write_for_ever,
)
from tests.journey.conftest import StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import JsClient, JsClients
from tests.nest_client import nest_client
from tests.processes import Gateway, Valkey
from tests.waiting import PATIENCE_SECONDS, eventually
from tests.websocket_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    client_frame,
    client_length,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

HALF_OPEN = 5_000
MOST_HALF_OPEN = 4_800
FILES = 12_000
OTHERS = 500
ROUNDS = 20
FLOODERS = 3
CONNECTIONS_PER_USER = 50
HUGE = 10_000_000
# What is not set here is as it is shipped.
SETTINGS = {
    "CONSTELLATION_PING_INTERVAL_SECONDS": 4,
    "CONSTELLATION_PING_TIMEOUT_SECONDS": 4,
    "CONSTELLATION_CONNECT_TIMEOUT_SECONDS": 2,
    "CONSTELLATION_MAX_HALF_OPEN_CONNECTIONS": MOST_HALF_OPEN,
}
CONNECTS, DISCONNECTS = "constellation_connects_total", "constellation_disconnects_total"
REQUESTS, TCP_REFUSED = "constellation_client_requests_total", "constellation_tcp_refused_total"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def target(valkey: Valkey, gateway: StartGateway) -> AsyncIterator[Gateway]:
    """A pod that nobody else uses."""
    with open_files(FILES):
        async with gateway(valkey.url, **SETTINGS) as pod:
            yield pod
            assert pod.stray_lines() == []
            assert not [line for line in pod.lines() if '"exception"' in line]
            assert await pod.terminate() == 0


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def nobody_else_notices(witness: JsClient, publish: Publisher) -> AsyncIterator[None]:
    """Around each attack events are sent to the witness, who gets them all, in order."""
    sent = 0
    is_over = asyncio.Event()

    async def go_on() -> None:
        nonlocal sent
        while not is_over.is_set():
            await publish("chat:new", {"userId": witness.user, "chatId": sent})
            sent += 1
            await asyncio.wait([over], timeout=0.05)

    over = asyncio.create_task(is_over.wait())
    sending = asyncio.create_task(go_on())
    yield
    is_over.set()
    await sending
    (heard,) = await publish.heard_by(witness)
    assert [event.payload["chatId"] for event in heard] == list(range(sent))
    assert witness.disconnects == []


async def counts(pod: Gateway, metric: str, **labels: str) -> Callable[[int], Awaitable[None]]:
    """Remember a count, to wait until it has grown by so many."""
    before = await pod.metric(metric, **labels)

    async def grown(by: int) -> None:
        async def has_grown() -> bool:
            return await pod.metric(metric, **labels) >= before + by

        await eventually(has_grown, PATIENCE_SECONDS, f"{metric}{labels} has grown by {by}")

    return grown


async def test_a_client_that_emits_the_server_s_events_reaches_nobody(
    target: Gateway, js: JsClients, publish: Publisher, mine: str
) -> None:
    refused = await counts(target, REQUESTS, outcome="unknown_event")
    victim = await js.connect(target.chats_url, user=f"victim{mine}")
    attacker = await js.connect(target.chats_url, user=f"attacker{mine}")
    for one in (victim, attacker):
        await one.join(f"c{mine}")
    events = ("new-message", "message-read", "user-typing", "new-chat", "chat-deleted", "error")

    for event in events:
        answer = await attacker.ask(event, {"chatId": f"c{mine}", "userId": victim.user})
        assert answer["error"]["code"] == "unknown_event"

    await refused(len(events))
    (heard,) = await publish.heard_by(victim)
    assert heard == []
    assert attacker.disconnects == []


@pytest.mark.parametrize(
    "data",
    [
        '{"__proto__":{"chatId":"c"}}',
        '{"constructor":{"prototype":{"chatId":"c"}}}',
        '{"chatId":{"__proto__":{"admin":true}}}',
        '{"chatId":{"toString":"c"}}',
        '{"chatId":[["c"]]}',
        '"__proto__\\u0000"',
    ],
)
async def test_what_looks_like_a_prototype_is_a_wrong_request_like_any_other(
    data: str, target: Gateway, mine: str
) -> None:
    refused = await counts(target, REQUESTS, event="join-chat", outcome="invalid_chat")
    async with member(target, f"bob{mine}") as wire:
        answer = await ask(wire, f'42/chats,1["join-chat",{data}]')
        assert json.loads(answer.removeprefix("43/chats,1"))[0]["error"]["code"] == "invalid_chat"
    await refused(1)


async def test_json_nested_deeply_is_refused_and_costs_no_stack(target: Gateway, mine: str) -> None:
    nested = "[" * 8_000 + "]" * 8_000
    async with member(target, f"bob{mine}") as wire:
        answer = await ask(wire, f'42/chats,1["join-chat",{nested}]')
        code = json.loads(answer.removeprefix("43/chats,1"))[0]["error"]["code"]
        # Python 3.11 cannot read it, 3.13 can.
        assert code in ("unknown_event", "invalid_chat")
        assert await target.metric(REQUESTS, outcome=code) >= 1

    refused = await counts(target, TCP_REFUSED, reason="invalid_json")
    text = '{"pattern":"ping","data":' + "[" * 100_000 + "]" * 100_000 + "}"
    async with nest_client(target.tcp_port) as nest:
        nest.write(f"{len(text)}#{text}".encode())
        await nest.closed_by_server()
    await refused(1)


async def test_frames_of_ten_megabytes_are_refused_before_they_have_come(
    target: Gateway, mine: str
) -> None:
    ended = await counts(target, DISCONNECTS, reason="parse error")
    async with member(target, f"bob{mine}") as wire:
        await wire.write(b"\x81" + client_length(HUGE) + b"mask")
        opcode, payload = await wire.frame()
        assert (opcode, int.from_bytes(payload[:2])) == (CLOSE, 1009)
    await ended(1)

    refused = await counts(target, TCP_REFUSED, reason="too_long")
    async with nest_client(target.tcp_port) as nest:
        nest.write(f"{HUGE}#".encode())
        await nest.closed_by_server()
    await refused(1)

    refused = await counts(target, CONNECTS, code="payload_too_large")
    async with aiohttp.ClientSession() as session:
        sid = await _polling_session(target, session)
        body = io.BytesIO(b"4" * HUGE)
        async with session.post(f"{target.http_url}{POLLING}&sid={sid}", data=body) as post:
            assert post.status == 413
    await refused(1)


async def test_attachments_may_not_be_larger_than_a_request(target: Gateway, mine: str) -> None:
    refused = await counts(target, REQUESTS, outcome="payload_too_large")
    async with member(target, f"bob{mine}") as wire:
        memory = await target.metric("process_resident_memory_bytes")
        for number in range(3):
            await wire.send(f'4510-/chats,{number}["join-chat",{{"_placeholder":true,"num":0}}]')
            for _ in range(10):
                await wire.write(client_frame(BINARY, b"x" * 900_000))
            answer = str(await wire.packet())
            error = json.loads(answer.removeprefix(f"43/chats,{number}"))[0]["error"]
            assert error["code"] == "payload_too_large"
        assert await target.metric("process_resident_memory_bytes") < memory + 20_000_000
    await refused(3)


async def test_what_is_sent_to_connect_is_bounded_too(target: Gateway) -> None:
    refused = await counts(target, CONNECTS, code="payload_too_large")
    async with websocket(target.ws_port, SOCKET_IO) as wire:
        await wire.message()
        answer = await ask(wire, f'40/chats,{{"userId":"bob","x":"{"[" * 500_000}"}}')
        error = json.loads(answer.removeprefix("44/chats,"))
        assert error["data"]["code"] == "payload_too_large"
    await refused(1)


async def test_who_is_slow_on_purpose_is_hung_up_on_at_every_door(target: Gateway) -> None:
    slow_heads = await counts(target, CONNECTS, code="too_slow")
    slow_frames = await counts(target, TCP_REFUSED, reason="slow_frame")
    silent = await counts(target, CONNECTS, code="connect_timeout")
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        sid = await _polling_session(target, session)
        begun = [
            (target.ws_port, b"GET /health HTTP/1.1\r\nX-Slow: "),
            (target.ws_port, SLOW_UPGRADE),
            (target.ws_port, slow_post(sid)),
            (target.tcp_port, b'90000#{"pattern":"'),
        ]
        ends: list[asyncio.Task[Any]] = []
        for port, beginning in begun:
            wire = await stack.enter_async_context(wired(port))
            ended = asyncio.create_task(wire.ended())
            ends.append(asyncio.create_task(trickle(wire, beginning, ended)))
            ends.append(ended)
        async with websocket(target.ws_port, SOCKET_IO) as undecided:  # never names a namespace
            await undecided.closed()
        await asyncio.gather(*ends)
    await slow_heads(2)
    await slow_frames(1)
    await silent(1)


async def test_five_thousand_connections_that_say_nothing_keep_nobody_out(
    target: Gateway, js: JsClients, publish: Publisher, mine: str
) -> None:
    with open_files(FILES) as may:
        if not may:
            pytest.skip(f"the limit of open files is below {FILES}")
        turned_away = await counts(target, CONNECTS, code="half_open")
        too_slow = await counts(target, CONNECTS, code="too_slow")
        with half_open(target.ws_port, HALF_OPEN):
            newcomer = await js.connect(target.chats_url, user=f"bob{mine}")
            await publish("chat:new", {"userId": newcomer.user, "chatId": 1})
            (heard,) = await publish.heard_by(newcomer)
            assert len(heard) == 1
            await turned_away(HALF_OPEN - MOST_HALF_OPEN)
            await too_slow(MOST_HALF_OPEN - 10)

            async def none_is_left() -> bool:
                return await target.metric("process_open_fds") < 200

            await eventually(none_is_left, PATIENCE_SECONDS, "all have been hung up on")


async def test_floods_of_frames_that_ask_for_nothing_are_closed(target: Gateway, mine: str) -> None:
    frames = {
        "pings": client_frame(PING, b"x" * 125),
        "pongs": client_frame(PONG),
        "heartbeats": client_frame(TEXT, b"3"),
    }
    ended = await counts(target, DISCONNECTS, reason="packet flood")

    async def flood(user: str, frame: bytes) -> None:
        async with member(target, user) as wire:
            await wire.write(frame * 3_000)
            assert await wire.closed() == 1008

    await asyncio.gather(*(flood(f"{name}{mine}", frame) for name, frame in frames.items()))
    await ended(len(frames))
    async with member(target, f"events{mine}") as wire:
        await wire.write(client_frame(TEXT, b'42/chats,["no-such-event"]') * 3_000)
        # Too many requests, or too many packets: whichever is noticed first.
        assert await wire.closed() in (1008, 1012)


ENDLESS = {
    "empty fragments": (
        client_frame(TEXT, b"4", last=False),
        client_frame(CONTINUATION, last=False),
    ),
    "pings": (b"", client_frame(PING)),
    "fragments of a byte": (
        client_frame(TEXT, b"4", last=False),
        client_frame(CONTINUATION, b"x", last=False),
    ),
    "connects": (b"", client_frame(TEXT, b'40/chats,{"userId":true}')),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_who_has_not_even_connected_may_send_no_more_than_others(
    name: str, target: Gateway
) -> None:
    """It goes on for as long as it can, and nobody who asks for `/livez` has to wait for it."""
    begin, frame = ENDLESS[name]
    ended = await counts(target, CONNECTS, code="packet_flood")
    frames = frame * (100_000 // len(frame) + 1)
    async with websocket(target.ws_port, SOCKET_IO) as wire:
        await wire.message()
        reading = asyncio.create_task(wire.closed())
        writing = asyncio.create_task(write_for_ever(wire, begin, frames))
        while not writing.done():
            assert (await target.get("/livez")).status == 200
            await asyncio.wait([writing], timeout=0.1)
        assert await reading in (1008, ABNORMAL), "a reset may overtake the close frame"
    await ended(1)


HTTP_FLOODS = {
    "chunks of a byte": slow_post("nobody").partition(b"Content-Length")[0]
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"1\r\nx\r\n" * 500_000,
    "requests in a row": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 20_000,
    "headers without end": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * 500_000,
}


@pytest.mark.parametrize("name", HTTP_FLOODS)
async def test_a_flood_of_http_keeps_nobody_waiting(name: str, target: Gateway) -> None:
    async with wired(target.ws_port) as wire:
        reading = asyncio.create_task(wire.ended())
        writing = asyncio.create_task(write_all(wire, HTTP_FLOODS[name]))
        while not writing.done():
            assert (await target.get("/livez")).status == 200
            await asyncio.wait([writing], timeout=0.1)
        wire.half_close()
        await reading


async def test_compression_is_not_agreed_to_and_not_taken(target: Gateway, mine: str) -> None:
    ended = await counts(target, DISCONNECTS, reason="parse error")
    offer = upgrade_headers(Sec_WebSocket_Extensions="permessage-deflate")
    async with wired(target.ws_port) as wire:
        await wire.write(request(SOCKET_IO, offer))
        assert "sec-websocket-extensions" not in (await wire.response()).headers
    async with member(target, f"bob{mine}") as wire:
        await wire.write(client_frame(TEXT, b"\xaa\x02\x00", reserved=0b100))
        opcode, payload = await wire.frame()
        assert (opcode, int.from_bytes(payload[:2])) == (CLOSE, 1002)
    await ended(1)


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        pytest.param(
            request(POLLING, [("Origin", "http://a\rSet-Cookie: a=b")]), 400, "not_http", id="CR"
        ),
        pytest.param(
            request(POLLING, [("Origin", "http://a\r\n Set-Cookie: a=b")]),
            400,
            "not_http",
            id="fold",
        ),
        pytest.param(request(POLLING, [("Origin", "a\0b")]), 400, "not_http", id="null"),
        pytest.param(
            request(
                POLLING, [("Content-Length", "4"), ("Transfer-Encoding", "chunked")], method="POST"
            ),
            400,
            "not_http",
            id="two lengths",
        ),
        pytest.param(
            request(POLLING, [("Cookie", "a=b; " * 10_000)]), 431, "head_too_large", id="cookies"
        ),
        pytest.param(
            request(SOCKET_IO, [*upgrade_headers(), ("X-A", "a" * 50_000)]),
            431,
            "head_too_large",
            id="a large header of a WebSocket",
        ),
        pytest.param(request("/" + "a" * 50_000), 431, "head_too_large", id="a long path"),
        pytest.param(f"GET {POLLING} HTTP/1.1\r\n\r\n".encode(), 400, "bad_host", id="no host"),
        pytest.param(request(POLLING, [("Host", "b")]), 400, "bad_host", id="two hosts"),
        pytest.param(request(SOCKET_IO), 400, "no_upgrade", id="a WebSocket without Upgrade"),
        pytest.param(
            request(SOCKET_IO, upgrade_headers(), version="HTTP/1.0"),
            505,
            "old_http",
            id="a WebSocket over HTTP/1.0",
        ),
    ],
)
async def test_heads_that_smuggle_or_swell_are_refused(
    head: bytes, status: int, code: str, target: Gateway
) -> None:
    refused = await counts(target, CONNECTS, code=code)
    async with wired(target.ws_port) as wire:
        await wire.write(head)
        response = await wire.response()
    assert response.status == status
    assert json.loads(response.body)["data"]["code"] == code
    assert "set-cookie" not in response.headers
    await refused(1)


async def test_line_ends_in_a_query_do_not_become_headers(target: Gateway) -> None:
    async with wired(target.ws_port) as wire:
        await wire.write(request(f"{POLLING}&a=%0d%0aSet-Cookie:%20a=b"))
        assert "set-cookie" not in (await wire.response()).headers


async def test_every_answer_of_http_carries_security_headers(target: Gateway) -> None:
    for path in ("/health", "/livez", "/readyz", "/metrics", "/nothing", POLLING, "/socket.io/"):
        answer = await target.get(path)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert headers["content-security-policy"] == "frame-ancestors 'none'", path
        if path != "/nothing":
            assert headers["cache-control"] == "no-store", path


async def test_a_user_has_so_many_connections_and_others_have_theirs(
    target: Gateway, mine: str
) -> None:
    refused = await counts(target, CONNECTS, code="too_many_connections")
    async with members(target, [f"bob{mine}"] * CONNECTIONS_PER_USER):
        async with websocket(target.ws_port, SOCKET_IO) as wire:
            await wire.message()
            answer = await ask(wire, f'40/chats,{{"userId":"bob{mine}"}}')
            error = json.loads(answer.removeprefix("44/chats,"))
            assert error["data"]["code"] == "too_many_connections"
        async with member(target, f"ann{mine}"):
            await refused(1)
    async with member(target, f"bob{mine}"):
        """There is room again."""


async def test_a_flood_from_one_user_leaves_five_hundred_others_their_events_in_order(
    target: Gateway, publish: Publisher, mine: str
) -> None:
    limited = await counts(target, REQUESTS, outcome="rate_limited")
    ended = await _closed_for_floods(target)
    is_over = asyncio.Event()

    async def flood() -> None:
        while not is_over.is_set():
            async with member(target, f"mallory{mine}") as wire:
                await flood_until_closed(wire, '42/chats,7["join-chat","x"]')

    async with members(target, [f"u{n}{mine}" for n in range(OTHERS)]) as others:
        for wire in others:
            await wire.send(f'42/chats,["join-chat","c{mine}"]')
        flooding = [asyncio.create_task(flood()) for _ in range(FLOODERS)]
        await limited(1)
        for number in range(ROUNDS):
            event = {"chatId": f"c{mine}", "userId": "somebody", "isTyping": number}
            await publish("chat:typing", event | {"participants": []})
        for wire in others:
            packets = [str(await wire.packet()) for _ in range(ROUNDS)]
            events = [json.loads(packet.removeprefix("42/chats,"))[1] for packet in packets]
            assert [event["isTyping"] for event in events] == list(range(ROUNDS))
        is_over.set()
        await asyncio.gather(*flooding)
    await ended(FLOODERS)


async def _closed_for_floods(pod: Gateway) -> Callable[[int], Awaitable[None]]:
    """Remember how many were, to wait for so many more; why depends on how fast it was handled."""

    async def count() -> float:
        reasons = ("packet flood", "rate limit")
        return sum([await pod.metric(DISCONNECTS, reason=reason) for reason in reasons])

    before = await count()

    async def ended(by: int) -> None:
        async def have_ended() -> bool:
            return await count() >= before + by

        await eventually(have_ended, PATIENCE_SECONDS, f"{by} who flood are closed")

    return ended


async def _polling_session(pod: Gateway, session: aiohttp.ClientSession) -> str:
    async with session.get(pod.http_url + POLLING) as answer:
        opening = (await answer.text())[1:]
    return str(json.loads(opening)["sid"])
