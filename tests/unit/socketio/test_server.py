"""The Socket.IO server: connecting, leaving, being disconnected, and handlers that take time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from socketio.exceptions import ConnectionRefusedError as ConnectRefused

from constellation_ws.delivery.rooms import Member, Stage
from constellation_ws.delivery.welcome import RetryLater
from constellation_ws.engine.pending_closes import CLOSE_SECONDS
from constellation_ws.messages.admission import TOO_MANY_REQUESTS, Denied
from constellation_ws.socketio.admission import MAX_CONNECTS_PER_HEARTBEAT
from tests.conformance.wire import Wire
from tests.unit.engine.world import World, heard, join, serving
from tests.waiting import PATIENCE_SECONDS, eventually
from tests.websocket_frames import CLOSE

DENIED = Denied(TOO_MANY_REQUESTS)
ANSWER = json.dumps([TOO_MANY_REQUESTS.acknowledgement()], separators=(",", ":"))


class Gate:
    """A connect handler that waits until it is let go on, and what became of it."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.entered = 0
        self.left: list[str] = []

    async def connect(self, sid: str, handshake: Any, auth: Any) -> None:
        self.entered += 1
        await self.open.wait()

    def disconnect(self, sid: str, reason: str) -> None:
        self.left.append(reason)


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with serving() as world:
        yield world


@pytest_asyncio.fixture
async def gate(world: World) -> AsyncIterator[Gate]:
    gate = Gate()
    world.on("connect", gate.connect)
    world.on("disconnect", gate.disconnect)
    yield gate
    gate.open.set()


async def knock(world: World, gate: Gate, client: Wire) -> None:
    """Ask to connect, and wait until the handler waits."""
    await client.message()
    await client.send("40/chats")
    await eventually(lambda: gate.entered, PATIENCE_SECONDS, "the handler has begun")


@pytest.mark.parametrize("ending", ["reset", "half-close", "close packet", "time"])
async def test_who_vanishes_while_it_connects_leaves_nothing(
    world: World, gate: Gate, ending: str
) -> None:
    async with world.websocket() as client:
        await knock(world, gate, client)
        if ending == "reset":
            client.reset()
        elif ending == "half-close":
            client.half_close()
        elif ending == "close packet":
            await client.send("1")
        else:
            world.pass_seconds(50)
        await eventually(lambda: not world.sids, PATIENCE_SECONDS, "the session is gone")
        assert len(world.rooms) == 1, "as long as the handler waits"
        world.publish(1)
        gate.open.set()
        if ending not in ("reset", "half-close"):
            messages, _ = await client.messages_to_the_end()
            assert not [one for one in messages if isinstance(one, str) and one[:2] == "40"]
    await world.empty()
    assert len(gate.left) == 1, "whoever counts it as there is told"


async def test_who_polls_and_closes_while_it_connects_leaves_nothing(
    world: World, gate: Gate
) -> None:
    """python-socketio keeps such a session and its rooms for good."""
    async with world.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        await eventually(lambda: gate.entered, PATIENCE_SECONDS, "the handler has begun")
        await polling.send("1")
        gate.open.set()
    await world.empty()
    assert len(gate.left) == 1


async def test_what_is_sent_while_it_connects_is_handled_behind_it(
    world: World, gate: Gate
) -> None:
    asked: list[str] = []
    world.on("ask", asked.append)
    async with world.websocket() as client:
        await knock(world, gate, client)
        await client.send('42/chats,1["ask"]')
        world.publish(1)  # to nobody: it is not connected yet
        gate.open.set()
        answer = await client.message()
        assert isinstance(answer, str)
        assert answer.startswith("40/chats,")
        assert await client.message() == "43/chats,1[]"
    assert len(asked) == 1


async def test_who_connects_slowly_is_not_disconnected_by_its_own_second_try(
    world: World, gate: Gate
) -> None:
    async with world.websocket() as client:
        await knock(world, gate, client)
        await client.send("40/chats")
        gate.open.set()
        messages, code = await client.messages_to_the_end()
    assert len(messages) == 1
    assert code == 1000
    await world.empty()


async def test_a_refusal_tells_why_and_leaves_the_connection_for_another_try(
    world: World,
) -> None:
    answers = iter([ConnectRefused("No.", {"code": "unauthorized"}), None])

    def connect(sid: str, handshake: Any, auth: Any) -> None:
        answer = next(answers)
        if answer is not None:
            raise answer

    world.on("connect", connect)
    async with world.websocket() as client:
        await client.message()
        await client.send("40/chats")
        expected = '44/chats,{"message":"No.","data":{"code":"unauthorized"}}'
        assert await client.message() == expected
        assert not len(world.rooms)
        await join(client)
        world.publish(1)
        assert await client.packet() == heard(1)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_refusal_that_passes_by_itself_closes_the_transport(
    world: World, transport: str
) -> None:
    """A CONNECT_ERROR would be the last that socket.io-client does."""

    def connect(sid: str, handshake: Any, auth: Any) -> None:
        raise RetryLater("draining")

    world.on("connect", connect)
    if transport == "websocket":
        async with world.websocket() as client:
            await client.message()
            await client.send("40/chats")
            assert await client.messages_to_the_end() == ([], 1012)
    else:
        async with world.http() as http:
            polling = await http.open()
            await polling.send("40/chats")
            assert await polling.packets() == ["1"]
    await world.empty()


async def test_a_connect_handler_that_fails_closes_and_leaves_nothing(world: World) -> None:
    def connect(sid: str, handshake: Any, auth: Any) -> None:
        raise RuntimeError("the handler's own fault")

    world.on("connect", connect)
    async with world.websocket() as client:
        await client.message()
        await client.send("40/chats")
        assert await client.messages_to_the_end() == ([], 1000)
    await world.empty()


async def test_an_unknown_namespace_is_refused_with_a_word_and_a_sentence(world: World) -> None:
    async with world.websocket() as client:
        await client.message()
        await client.send("40/elsewhere")
        answer = await client.message()
    assert isinstance(answer, str)
    assert answer.startswith('44/elsewhere,{"message":"')
    assert answer.endswith('"data":{"code":"invalid_namespace"}}')
    assert world.refused == ["invalid_namespace"]


async def test_namespaces_that_clients_name_are_not_remembered(world: World) -> None:
    async with world.member() as client:
        for number in range(50):
            await client.send(f'42/name-{number},["x"]')
            await client.send(f"41/name-{number},")
            await client.send(f"43/name-{number},1[]")
        for number in range(50):
            await client.send(f"40/name-{number},")
            await client.packet()
        assert list(world.server.membership.rooms) == ["/chats"]


async def test_who_is_disconnected_is_told_and_hung_up_on_if_it_stays(world: World) -> None:
    reasons: list[str] = []
    world.on("disconnect", lambda sid, reason: reasons.append(reason))
    async with world.member() as client:
        (member,) = world.rooms
        await world.server.disconnect(member.sid, namespace="/chats")
        assert await client.message() == "41/chats,"
        assert reasons == ["server disconnect"]
        assert not len(world.rooms)
        world.publish(1)
        world.pass_seconds(24)
        assert await client.message() == "2"
        await client.send("3")
        await eventually(
            lambda: not any(one.awaits_pong for one in world.engine.sockets.values()),
            PATIENCE_SECONDS,
            "it has answered",
        )
        world.pass_seconds(22)
        _, code = await client.messages_to_the_end()
        assert code == 1000
    await world.empty()


async def test_who_is_disconnected_may_come_back_on_the_same_connection(world: World) -> None:
    async with world.member() as client:
        (member,) = world.rooms
        await world.server.disconnect(member.sid, namespace="/chats")
        assert await client.message() == "41/chats,"
        await join(client)
        world.pass_seconds(16)
        world.publish(1)
        assert await client.packet() == heard(1)


async def test_who_is_disconnected_while_it_talks_is_closed_and_not_heard(world: World) -> None:
    asked: list[int] = []
    world.on("ask", lambda sid, number: asked.append(number))
    async with world.member() as client:
        (member,) = world.rooms
        await world.server.disconnect(member.sid, namespace="/chats")
        await client.send('42/chats,["ask",1]')
        messages, code = await client.messages_to_the_end()
    assert messages == ["41/chats,"]
    assert code == 1000
    assert asked == []


async def test_disconnecting_nobody_does_nothing(world: World) -> None:
    await world.server.disconnect("nobody", namespace="/chats")
    assert not world.left()


async def test_the_gate_is_asked_about_requests_and_nothing_else(world: World) -> None:
    asked: list[int] = []

    def gate(member: Member, request_bytes: int) -> Denied:
        asked.append(request_bytes)
        return DENIED

    world.gate = gate
    async with world.member() as client:
        (member,) = world.rooms
        await client.send('42/chats,7["join","ю"]')
        await client.send("43/chats,1[]")
        await client.send('451-/chats,8["x",{"_placeholder":true,"num":0}]')
        await client.send(b"not asked about, as its packet was refused")
        await client.send("41/chats")
        await eventually(lambda: not len(world.rooms), PATIENCE_SECONDS, "it has left")
        assert member.stage is Stage.LEAVING
        assert await client.message() == f"43/chats,7{ANSWER}"
        assert await client.message() == f"43/chats,8{ANSWER}"
    assert len(asked) == 2
    assert asked[0] == len('2/chats,7["join","ю"]'.encode())


class Counter:
    """A gate with a limit of size, which refuses with an acknowledgement as the namespace does."""

    def __init__(self, world: World, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.asked: list[int] = []
        world.gate = self.ask

    def ask(self, member: Member, request_bytes: int) -> Denied | None:
        self.asked.append(request_bytes)
        return None if request_bytes <= self._most_bytes else DENIED


PLACES = ",".join(f'{{"_placeholder":true,"num":{number}}}' for number in range(3))


async def test_a_request_counts_with_its_attachments_and_is_refused_once(world: World) -> None:
    asked: list[tuple[Any, ...]] = []
    world.on("ask", lambda sid, *data: asked.append(data) or "taken")
    gate = Counter(world, most_bytes=200)
    async with world.member() as client:
        text = f'53-/chats,7["ask",{PLACES}]'
        await client.send(f"4{text}")
        for size in (20, 200, 50_000):  # the second is one too many, the third is not kept
            await client.send(b"x" * size)
        assert await client.message() == "43/chats,7" + ANSWER
        assert gate.asked == [len(text), len(text) + 20, len(text) + 220]
        await client.send(f"4{text}")
        for _ in range(3):
            await client.send(b"yes")
        assert await client.message() == '43/chats,7["taken"]'
    assert asked == [(b"yes", b"yes", b"yes")]
    await world.empty()


async def test_of_a_request_that_was_refused_no_attachment_is_kept(world: World) -> None:
    gate = Counter(world, most_bytes=100)
    async with world.member() as client:
        (sid,) = world.sids
        await client.send('4551-/chats,7["ask"]')
        for _ in range(50):
            await client.send(b"x" * 90_000)
        assert await client.message() == "43/chats,7" + ANSWER
        packet = world.server._incomplete[sid]
        assert packet.filled() is None
        assert packet.size < 100
        await client.send(b"the last")
        await client.send('42/chats,8["ask"]')
        await eventually(lambda: not world.server._incomplete, PATIENCE_SECONDS, "it is complete")
    assert len(gate.asked) == 3


@pytest.mark.parametrize("packet", ['43/chats,7["%s"]', '461-/chats,7["%s"]'])
async def test_an_acknowledgement_that_is_too_large_is_not_read(world: World, packet: str) -> None:
    gate = Counter(world, most_bytes=0)
    async with world.member() as client:
        await client.send(packet % ("x" * 50_000))
        if packet.startswith("46"):
            await client.send(b"attached")
        await client.send('42/chats,8["ask"]')
        assert await client.message() == "43/chats,8" + ANSWER
    assert len(gate.asked) == 2


async def test_what_is_sent_to_connect_has_a_limit_and_a_refusal(world: World) -> None:
    async with world.websocket() as client:
        await client.message()
        await client.send(f'40/chats,{{"token":"{"x" * 50_000}"}}')
        answer = await client.message()
        assert isinstance(answer, str)
        assert answer.startswith('44/chats,{"message":"')
        assert answer.endswith('"data":{"code":"payload_too_large"}}')
        await join(client)
        assert world.refused == ["payload_too_large"]


@pytest.mark.parametrize("namespace", ["/elsewhere", "/" + "x" * 30_000])
async def test_what_is_too_large_and_for_no_namespace_is_no_packet(
    world: World, namespace: str
) -> None:
    async with world.websocket() as client:
        await client.message()
        await client.send(f'40{namespace},{{"token":"{"x" * 50_000}"}}')
        assert await client.messages_to_the_end() == ([], 1000)


async def test_connects_are_counted_for_what_they_may_cost() -> None:
    refusal = ConnectRefused("No.", {"code": "unauthorized"})
    tries = 0

    def connect(sid: str, handshake: Any, auth: Any) -> None:
        nonlocal tries
        tries += 1
        raise refusal

    async with serving(max_packets_per_ping_interval=10_000) as world, world.websocket() as client:
        world.on("connect", connect)
        await client.message()
        for _ in range(200):
            await client.send("40/chats")
        opcode, payload = await client.frame()
        while opcode != CLOSE:
            opcode, payload = await client.frame()
        assert int.from_bytes(payload[:2]) == 1008
        # The frames count as well.
        assert MAX_CONNECTS_PER_HEARTBEAT * 9 // 10 < tries < MAX_CONNECTS_PER_HEARTBEAT
        world.pass_seconds(CLOSE_SECONDS + 1)
        await world.empty()


async def test_an_event_of_a_namespace_that_is_not_entered_is_answered_to_nobody(
    world: World,
) -> None:
    """A request of the one that is entered may wait for an answer under the same number."""
    gate = Counter(world, most_bytes=100)
    async with world.member() as client:
        await client.send(f'42/elsewhere,7["ask","{"x" * 200}"]')
        await client.send(f'42/chats,8["ask","{"x" * 200}"]')
        assert await client.message() == "43/chats,8" + ANSWER
    assert len(gate.asked) == 2


@pytest.mark.parametrize("name", ["42", "null", "[]", '"*"', '"disconnect"', '"connect"'])
async def test_whatever_an_event_is_called_it_is_acknowledged_as_unknown(
    world: World, name: str
) -> None:
    called: list[str] = []
    left: list[str] = []
    world.on("*", lambda event, sid, *data: called.append(event) or "unknown")
    world.on("disconnect", lambda sid, reason: left.append(reason))
    async with world.member() as client:
        await client.send(f"42/chats,7[{name},1]")
        assert await client.message() == '43/chats,7["unknown"]'
        assert left == []
    assert called == ["42" if name == "42" else ""]


async def test_who_keeps_on_past_the_gate_is_closed_and_comes_back(world: World) -> None:
    world.gate = lambda member, request_bytes: Denied(DENIED.refusal, closes=True)
    async with world.member() as client:
        await client.send('42/chats,7["join"]')
        assert await client.messages_to_the_end() == ([], 1012)


async def test_python_socketios_own_emit_reaches_members_rooms_and_all(world: World) -> None:
    async with world.member() as one, world.member() as two:
        first, second = world.rooms
        await world.server.enter_room(first.sid, "room", namespace="/chats")
        emit = world.server.emit
        await emit("x", 1, to=second.sid, namespace="/chats")
        assert await two.message() == '42/chats,["x",1]'
        await emit("x", (2, b"\x00"), room="room", namespace="/chats")
        expected = '451-/chats,["x",2,{"_placeholder":true,"num":0}]'
        assert (await one.message(), await one.message()) == (expected, b"\x00")
        await emit("x", 3, namespace="/chats", skip_sid=first.sid)
        assert await two.message() == '42/chats,["x",3]'
        await emit("x", 4, namespace="/chats")
        assert await one.message() == await two.message() == '42/chats,["x",4]'
        await emit("x", 5, namespace="/elsewhere")
        await world.server.close_room("room", namespace="/chats")
        await emit("x", 6, room="room", namespace="/chats")
        world.publish(7)
        assert await one.message() == await two.message() == heard(7)
    assert list(world.server.membership.rooms) == ["/chats"]


async def test_an_acknowledgement_is_passed_on_with_its_first_argument(world: World) -> None:
    async with world.member() as client:
        (member,) = world.rooms
        await client.send('43/chats,7[{"at":12345678901234567890.50},2]')
        await client.send("43/chats,8[]")
        await client.send('461-/chats,9[{"_placeholder":true,"num":0}]')
        await client.send(b"\x01\x02")
        await client.send('43/chats,["without an id"]')
        await client.send('43,7["in no namespace of its"]')
        await eventually(lambda: len(world.acks) == 3, PATIENCE_SECONDS, "the acks")
    await world.empty()
    assert world.acks == [
        (member, 7, b'{"at":12345678901234567890.50}'),
        (member, 8, b"null"),
        (member, 9, b'{"type":"Buffer","data":[1,2]}'),
    ]
