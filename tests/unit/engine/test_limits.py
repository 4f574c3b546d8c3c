"""What one address and one connection may take."""

from __future__ import annotations

import asyncio
import json

import pytest

from constellation_ws.engine.connection import MAX_UNUSED_LOAD
from constellation_ws.engine.limits import Sites
from constellation_ws.engine.pending_closes import CLOSE_SECONDS
from tests.conformance.wire import Response, Wire, request, upgrade_headers
from tests.unit.engine.world import PATH, TARGET, World, flood, join, serving
from tests.waiting import PATIENCE_SECONDS, eventually
from tests.websocket_frames import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    chopped,
    client_frame,
)

BOTH = pytest.mark.parametrize("transport", ["websocket", "polling"])
FLOODED = 1008


def test_a_site_is_full_until_one_leaves_and_is_then_forgotten() -> None:
    sites = Sites(2)
    for site in ("a", "a", "b"):
        sites.enter(site)
    assert (sites.is_full("a"), sites.is_full("b"), sites.is_full("c")) == (True, False, False)
    sites.leave("a")
    assert not sites.is_full("a")
    sites.leave("a")
    sites.leave("b")
    assert len(sites) == 0


async def ask(world: World, transport: str, forwarded_for: str = "") -> Response:
    headers = [("X-Forwarded-For", forwarded_for)] if forwarded_for else []
    headers += upgrade_headers() if transport == "websocket" else []
    async with world.wired() as wire:
        await wire.write(request(f"{PATH}/?EIO=4&transport={transport}", headers))
        return await wire.response()


@BOTH
async def test_an_address_may_have_so_many_connections_and_no_more(transport: str) -> None:
    async with (
        serving(max_connections_per_address=2) as world,
        world.member(),
        world.member() as leaving,
    ):
        refused = await ask(world, transport)
        assert (refused.status, world.refused) == (429, ["too_many_from_address"])
        assert json.loads(refused.body)["data"]["code"] == "too_many_from_address"
        await leaving.send("1")
        await leaving.closed()
        assert (await ask(world, "polling")).status == 200


@BOTH
async def test_behind_a_trusted_proxy_each_client_has_its_own_address(transport: str) -> None:
    async with serving(max_connections_per_address=1, proxies=("127.0.0.0/8",)) as world:
        for client in ("192.0.2.1", "192.0.2.2"):
            opened = await ask(world, "polling", client)
            assert opened.status == 200
            assert (await ask(world, transport, client)).status == 429
        # What the client itself has written stands to the left.
        assert (await ask(world, transport, "192.0.2.77, 192.0.2.1")).status == 429


async def test_without_trusted_proxies_a_forged_header_helps_nobody() -> None:
    async with serving(max_connections_per_address=1) as world, world.member():
        for forged in ("192.0.2.1", "192.0.2.2"):
            assert (await ask(world, "polling", forged)).status == 429


async def shut_out(world: World, client: Wire) -> int:
    """Read on to the close frame, and let the time for a goodbye pass: it is not listened to."""
    opcode, payload = await client.frame()
    while opcode != CLOSE:
        opcode, payload = await client.frame()
    world.pass_seconds(CLOSE_SECONDS + 1)
    await client.ended()
    return int.from_bytes(payload[:2])


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(client_frame(PING, b"x"), id="pings"),
        pytest.param(client_frame(PONG), id="pongs"),
        pytest.param(client_frame(TEXT, b"3"), id="answers to no heartbeat"),
        pytest.param(client_frame(TEXT, b"6"), id="packets that mean nothing"),
        pytest.param(client_frame(TEXT, b'43/chats,7["an answer"]'), id="acknowledgements"),
    ],
)
async def test_a_flood_of_what_is_no_request_is_closed_and_told_why(frame: bytes) -> None:
    ended: list[str] = []
    async with serving(max_packets_per_ping_interval=100) as world, world.member() as client:
        world.on("disconnect", lambda sid, reason: ended.append(reason))
        await client.write(frame * 20_000)
        assert await shut_out(world, client) == FLOODED
        await eventually(lambda: ended == ["packet flood"], PATIENCE_SECONDS, "it is told")


EMPTY_FRAGMENT = client_frame(CONTINUATION, last=False)


@pytest.mark.parametrize("is_connected", [True, False])
async def test_fragments_that_complete_nothing_count_one_each(is_connected: bool) -> None:
    """Counted by the read, three megabytes a second of them went unnoticed."""
    async with serving(max_packets_per_ping_interval=1_000) as world, world.websocket() as client:
        await client.message()
        if is_connected:
            await join(client)
        await client.write(client_frame(TEXT, b"6", last=False) + EMPTY_FRAGMENT * 900)
        await client.write(client_frame(PING))
        assert (await client.frame())[0] == PONG
        await client.write(EMPTY_FRAGMENT * 200)
        assert await shut_out(world, client) == FLOODED


async def test_payload_counts_by_its_size() -> None:
    large = client_frame(TEXT, b"3" + b"x" * 99_999)
    async with serving(max_packets_per_ping_interval=10) as world, world.member() as client:
        await client.write(large)
        await client.write(client_frame(PING))
        assert (await client.frame())[0] == PONG
        await client.write(large * 2)
        assert await shut_out(world, client) == FLOODED


async def test_how_the_network_cuts_a_message_does_not_count() -> None:
    async with serving(max_packets_per_ping_interval=15) as world, world.member() as client:
        frame = client_frame(TEXT, b"3" + b"x" * 999)
        await client.write(*chopped(frame * 8, 20))
        await client.write(client_frame(PING))
        assert (await client.frame())[0] == PONG


async def test_a_flood_that_does_not_stop_is_cut_off_when_the_goodbye_has_had_its_time() -> None:
    async with serving(max_packets_per_ping_interval=100) as world, world.member() as client:
        flooding = asyncio.create_task(flood(client))
        await eventually(lambda: not world.sids, PATIENCE_SECONDS, "the session is closed")
        assert world.left()["pending closes"] == 1
        world.pass_seconds(CLOSE_SECONDS + 1)
        with pytest.raises(ConnectionError):
            await flooding
        await world.empty()


async def test_who_goes_on_after_the_goodbye_of_its_session_is_not_read_for_long() -> None:
    async with serving(max_packets_per_ping_interval=1_000) as world, world.member() as client:
        (session,) = world.engine.sockets.values()
        world.engine.close(session, "enough")
        flooding = asyncio.create_task(flood(client))
        await eventually(
            lambda: session.packets_received > 1_000, PATIENCE_SECONDS, "it is too much"
        )
        heard = session.packets_received
        for _ in range(100):
            await asyncio.sleep(0)
        assert session.packets_received == heard
        world.pass_seconds(CLOSE_SECONDS + 1)
        with pytest.raises(ConnectionError):
            await flooding


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(client_frame(TEXT, b"4", last=False), id="a fragmented message"),
        pytest.param(client_frame(TEXT, b"4" + b"x" * 50_000)[:20], id="a frame"),
        pytest.param(client_frame(TEXT, b"4" + b"x" * 50_000)[:3], id="a header"),
        pytest.param(client_frame(PING, b"x" * 100)[:50], id="a control frame"),
    ],
)
async def test_what_a_client_begins_and_does_not_finish_ends_with_its_heartbeat(
    begun: bytes,
) -> None:
    """Nothing can come between, so no heartbeat can be answered: it needs no time limit."""
    async with serving() as world, world.member() as client:
        await client.write(begun)
        world.pass_seconds(26)
        assert await client.message() == "2"
        if begun[0] == TEXT:  # between fragments may come control frames, which answer nothing
            for frame in (client_frame(PONG), client_frame(CONTINUATION, b"x", last=False)):
                await client.write(frame)
        world.pass_seconds(21 + CLOSE_SECONDS)  # its answer to the goodbye is never understood
        await client.closed()
        assert not world.sids


@pytest.mark.parametrize("frame", [client_frame(PING), EMPTY_FRAGMENT, client_frame(TEXT, b"3")])
async def test_a_websocket_that_carries_no_session_may_send_little(frame: bytes) -> None:
    async with serving() as world, world.http() as http:
        polling = await http.open()
        async with world.websocket(f"{TARGET}&sid={polling.sid}") as probe:
            await probe.write(client_frame(TEXT, b"2", last=False) * (frame == EMPTY_FRAGMENT))
            await probe.write(frame * (MAX_UNUSED_LOAD + 1))
            await probe.ended()
        assert world.sids == [polling.sid]
        await polling.send("40/chats")
        (answer,) = await polling.packets()
        assert answer.startswith("40/chats,")


async def test_a_flood_before_the_namespace_is_counted_as_a_refusal() -> None:
    async with serving(max_packets_per_ping_interval=100) as world, world.websocket() as client:
        await client.message()
        await client.write(client_frame(PING) * 200)
        assert await shut_out(world, client) == FLOODED
        await world.empty()
    assert world.refused == ["packet_flood"]


async def test_a_post_with_too_many_packets_is_refused_before_it_is_read() -> None:
    async with serving(max_packets_per_ping_interval=100) as world, world.http() as http:
        polling = await http.open()
        answer = await polling.post("\x1e".join(["3"] * 20_000))
        assert (answer.status, world.refused[0]) == (429, "packet_flood")
        assert polling.sid not in world.engine.sockets


async def test_each_heartbeat_gives_as_many_packets_anew() -> None:
    async with serving(max_packets_per_ping_interval=30) as world, world.websocket() as client:
        await client.message()
        await join(client)
        for _ in range(5):
            await client.write(client_frame(PING) * 20)
            for _ in range(20):
                assert (await client.frame())[0] == PONG
            world.pass_seconds(world.engine.limits.ping_interval_seconds)
            assert await client.message() == "2"
            await client.send("3")
            await eventually(lambda: not _awaits_pong(world), PATIENCE_SECONDS, "answered")


def _awaits_pong(world: World) -> bool:
    (session,) = world.engine.sockets.values()
    return session.awaits_pong
