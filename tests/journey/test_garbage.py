"""Garbage on every door: counted, answered or closed as the contract says, and nothing is left."""

import asyncio
import base64
import os
import random
from collections.abc import AsyncIterator, Iterable

import aiohttp
import pytest
import pytest_asyncio

from tests.journey.conftest import StartGateway
from tests.journey.publishing import Publisher
from tests.journey.wrong_messages import WRONG_MESSAGES
from tests.js_clients import JsClient, JsClients
from tests.nest_client import NO_HANDLER, frame, nest_client
from tests.processes import HOST, Gateway, Valkey, tcp_stream
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What one test brings is gone with it.
GAUGES = (
    "constellation_sockets",
    "constellation_rooms",
    "constellation_connections",
    "constellation_tcp_connections",
)
# These move by a few, with the pool of Redis connections; a leak would move them by hundreds.
ROUGH_GAUGES = ("constellation_asyncio_tasks", "process_open_fds")
ROUGHLY = 5
# Sessions of clients that have just vanished end with a missed heartbeat.
HEARTBEAT = {
    "CONSTELLATION_PING_INTERVAL_SECONDS": 1,
    "CONSTELLATION_PING_TIMEOUT_SECONDS": 3,
    "CONSTELLATION_MAX_PAYLOAD_BYTES": 50_000,
    "CONSTELLATION_TCP_MAX_FRAME_BYTES": 10_000,
}
ROUNDS = 30
PATIENCE = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def target(valkey: Valkey, gateway: StartGateway) -> AsyncIterator[Gateway]:
    """A pod that nobody else uses, so that its counts are this module's."""
    async with gateway(valkey.url, **HEARTBEAT) as pod:
        before = await _counts(pod, ROUGH_GAUGES)
        yield pod

        async def nobody_is_online() -> bool:
            return await pod.metric("constellation_users") == 0

        await eventually(nobody_is_online, PATIENCE_SECONDS, "nobody is online here")
        await _counts_return(pod, {name: count + ROUGHLY for name, count in before.items()})
        assert pod.stray_lines() == []
        assert not [line for line in pod.lines() if '"exception"' in line]
        assert await pod.terminate() == 0


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def nothing_is_left(
    target: Gateway, witness: JsClient, publish: Publisher
) -> AsyncIterator[None]:
    """Around each test: the witness is served, and all counts return to what they were."""
    before = await _counts(target, GAUGES)

    yield

    await publish("chat:new", {"userId": witness.user, "chatId": "still served"})
    (heard,) = await publish.heard_by(witness)
    assert [event.payload for event in heard] == [{"chatId": "still served"}]
    assert witness.disconnects == []

    await _counts_return(target, before)


async def test_random_bytes_on_the_tcp_port_cost_their_connection_only(target: Gateway) -> None:
    refused = await target.metric("constellation_tcp_refused_total")
    chance = random.Random(1)
    async with nest_client(target.tcp_port) as bystander:
        for _ in range(ROUNDS):
            async with nest_client(target.tcp_port) as nest:
                nest.write(chance.randbytes(chance.randrange(1, 2000)) + b"\xff#")
                await nest.closed_by_server()
        assert (await bystander.ask("ping"))["pong"] is True
    assert await target.metric("constellation_tcp_refused_total") == refused + ROUNDS


@pytest.mark.parametrize(
    "garbage",
    [
        b"#",
        b"x#{}",
        b"-5#{}",
        b"1e3#{}",
        b"99999999999999999999",
        b"10001#",
        b"3#{x}",
        b"2#[]",
        b"4#null",
        b"3#\xff\xfe\xfd",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_is_no_frame_closes_its_connection_and_is_counted(
    garbage: bytes, target: Gateway
) -> None:
    refused = await target.metric("constellation_tcp_refused_total")
    async with nest_client(target.tcp_port) as nest:
        nest.write(garbage)
        await nest.closed_by_server()
    assert await target.metric("constellation_tcp_refused_total") == refused + 1


@pytest.mark.parametrize("packet", [{"data": {}}, {"pattern": 7}, {"pattern": None}, {"x": 1}])
async def test_a_packet_without_a_usable_pattern_is_answered_like_an_unknown_one(
    packet: dict[str, object], target: Gateway
) -> None:
    async with nest_client(target.tcp_port) as nest:
        nest.write(frame(packet) + frame(packet | {"id": "1"}))
        assert await nest.packet() == {"id": "1", "status": "error", "err": NO_HANDLER}
        assert (await nest.ask("ping"))["pong"] is True


async def test_half_a_frame_and_a_sudden_end_leave_nothing(target: Gateway) -> None:
    whole = frame({"pattern": "ping", "data": None, "id": "1"})
    for length in range(1, len(whole)):
        async with nest_client(target.tcp_port) as nest:
            nest.write(whole[:length])


async def test_random_bytes_on_the_websocket_port_are_survived(target: Gateway) -> None:
    chance = random.Random(2)
    for _ in range(ROUNDS):
        async with tcp_stream(target.ws_port) as (reader, writer):
            writer.write(chance.randbytes(chance.randrange(1, 2000)) + b"\r\n\r\n")
            await _read_to_the_end(reader)


async def test_random_bytes_after_a_websocket_upgrade_close_it(target: Gateway) -> None:
    chance = random.Random(3)
    garbage = [chance.randbytes(chance.randrange(1, 2000)) for _ in range(ROUNDS)]
    # A server must refuse a frame with a reserved bit set, whatever follows. It may wait a while
    # for the client's own close, so the connections are made side by side.
    await asyncio.gather(*(_break_a_websocket(target, b"\xf1" + bytes_) for bytes_ in garbage))


@pytest.mark.parametrize("message", WRONG_MESSAGES, ids=lambda message: repr(message)[:40])
@pytest.mark.parametrize("joined", [False, True], ids=["before", "after"])
async def test_a_wrong_message_on_a_websocket_harms_nobody_else(
    message: str | bytes, joined: bool, target: Gateway, mine: str
) -> None:
    """Sent before and after the namespace is joined. Refused, closed or ignored: not our matter."""
    url = f"{target.http_url}/socket.io/?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        if joined:
            await socket.send_str(f'40/chats,{{"userId":"u{mine}"}}')
            await socket.send_str('42/chats,1["join-chat","c"]')
        if isinstance(message, str):
            await socket.send_str(message)
        else:
            await socket.send_bytes(message)
        await socket.send_str('42/chats,2["leave-chat","c"]')


async def test_wrong_requests_on_the_polling_transport_are_refused(target: Gateway) -> None:
    url = f"{target.http_url}/socket.io/"
    queries = [
        {},
        {"transport": "polling"},
        {"EIO": "3", "transport": "polling"},
        {"EIO": "4"},
        {"EIO": "4", "transport": "pigeon"},
        {"EIO": "4", "transport": "polling", "sid": "unknown"},
        {"EIO": "4", "transport": "websocket"},
    ]
    async with aiohttp.ClientSession(timeout=PATIENCE) as session:
        for query in queries:
            async with session.get(url, params=query) as answer:
                assert 400 <= answer.status < 500, query
            async with session.post(url, params=query, data=os.urandom(100)) as answer:
                assert 400 <= answer.status < 500, query
        for method in ("PUT", "DELETE", "PATCH"):
            async with session.request(method, url, params=queries[1]) as answer:
                assert 400 <= answer.status < 500, method


async def test_garbage_in_a_polling_session_ends_that_session_at_most(target: Gateway) -> None:
    chance = random.Random(4)
    bodies: list[bytes] = [
        b"",
        b"\x1e\x1e\x1e",
        b"x" * 60_000,
        b"4" * 1000,
        b"bnot base64!",
        b"42/chats,[\x1e",
        b"\xff\xfe",
        *(chance.randbytes(200) for _ in range(5)),
    ]
    async with aiohttp.ClientSession(timeout=PATIENCE) as session:
        for body in bodies:
            url = f"{target.http_url}/socket.io/?EIO=4&transport=polling"
            async with session.get(url) as answer:
                sid = (await answer.text()).split('"sid":"')[1].split('"')[0]
            async with session.post(f"{url}&sid={sid}", data=body) as answer:
                assert answer.status in (200, 400, 413), body[:40]


async def test_wrong_payloads_of_real_clients_are_answered_or_closed(
    target: Gateway, js: JsClients, mine: str
) -> None:
    client = await js.connect(target.chats_url, user=f"bob{mine}", reconnectionDelay=10)
    payloads: list[list[object]] = [[], [None], [[]], [{"chatId": {}}], [{"a": [1]}], ["x" * 200]]
    for arguments in payloads:
        ack = await client.ask("join-chat", *arguments)
        assert ack["success"] is False
    assert client.disconnects == []

    client.write('2/chats,["join-chat"')

    await client.until(lambda: client.connects == 2, "a second connection")
    await client.join(f"c{mine}")
    client.close()


async def test_garbage_on_the_channels_between_pods_is_counted_and_dropped(
    target: Gateway, publish: Publisher
) -> None:
    garbage = [b"", b"{", b"null", b"[]", b'{"type":"nothing"}', b"\xff", b"[" * 100_000]
    before = await target.metric("constellation_commands_total", kind="malformed")
    for channel in ("constellation:commands", "socketio"):
        await publish.burst([(channel, text) for text in garbage])

    async def all_are_counted() -> bool:
        counted = await target.metric("constellation_commands_total", kind="malformed")
        return counted == before + 2 * len(garbage)

    await eventually(all_are_counted, PATIENCE_SECONDS, "every malformed command is counted")


def _upgrade_request() -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
        f"Host: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


async def _break_a_websocket(pod: Gateway, garbage: bytes) -> None:
    async with tcp_stream(pod.ws_port) as (reader, writer):
        writer.write(_upgrade_request())
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(garbage)
        await _read_to_the_end(reader)


async def _read_to_the_end(reader: asyncio.StreamReader) -> None:
    """The server must end the connection by itself, politely or not."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        try:
            await reader.read()
        except ConnectionResetError:
            return


async def _counts(pod: Gateway, gauges: Iterable[str]) -> dict[str, float]:
    return {name: await pod.metric(name) for name in gauges}


async def _counts_return(pod: Gateway, most: dict[str, float]) -> None:
    """Wait until no gauge is above what it may show; say which one is, where it stays there."""

    async def excess() -> dict[str, float]:
        now = await _counts(pod, most)
        return {name: count for name, count in now.items() if count > most[name]}

    async def is_back() -> bool:
        return not await excess()

    try:
        await eventually(is_back, PATIENCE_SECONDS, "counts are back")
    except AssertionError:
        raise AssertionError(f"{await excess()} instead of {most}") from None
