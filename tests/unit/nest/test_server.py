"""The TCP port over real loopback sockets, with handlers of our own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Self

import msgspec
import pytest
import uvloop
from structlog.testing import capture_logs

from constellation_ws.nest.connection import CloseReason, TcpLimits
from constellation_ws.nest.framing import NO_MESSAGE_HANDLER, FramingFault
from constellation_ws.nest.server import Handler, NestTcp, Pattern, RequestOutcome
from constellation_ws.runtime.listening import PortUnavailable
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.services.refusals import RequestRefused
from tests.spawning import spawn
from tests.waiting import PATIENCE_SECONDS

LIMITS = TcpLimits(
    max_frame_bytes=100_000,
    idle_seconds=60,
    frame_seconds=60,
    max_connections=10,
    request_seconds=2 * PATIENCE_SECONDS,
    max_in_hand=1_000,
)


class Recorded:
    """The port's reports, and a way to wait for one."""

    def __init__(self) -> None:
        self.open = 0
        self.requests: Counter[tuple[str, str]] = Counter()
        self.refusals: Counter[str] = Counter()
        self._changed = asyncio.Event()

    def connection_opened(self) -> None:
        self.open += 1
        self._changed.set()

    def connection_closed(self) -> None:
        self.open -= 1
        self._changed.set()

    def request(self, pattern: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.requests[pattern, outcome] += 1
        self._changed.set()

    def refused(self, reason: str) -> None:
        self.refusals[reason] += 1
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Client:
    """A NestJS client reduced to its bytes. Leaves without a word at the end of its block."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def write(self, text: str) -> None:
        self.writer.write(f"{len(text.encode('utf-16-le')) // 2}#{text}".encode())

    def send(self, pattern: object, data: object = None, packet_id: object = 1) -> None:
        packet = {"pattern": pattern, "data": data, "id": packet_id}
        self.write(json.dumps(packet, ensure_ascii=False))

    def emit(self, pattern: object, data: object = None) -> None:
        self.write(json.dumps({"pattern": pattern, "data": data}))

    async def receive_text(self) -> str:
        async with asyncio.timeout(PATIENCE_SECONDS):
            length = await self._reader.readuntil(b"#")
            return (await self._reader.readexactly(int(length[:-1]))).decode("ascii")

    async def receive(self) -> Any:
        return json.loads(await self.receive_text())

    async def ask(self, pattern: object, data: object = None) -> Any:
        self.send(pattern, data)
        return (await self.receive())["response"]

    async def is_closed_by_server(self) -> bool:
        """Wait for the end; False when something came instead."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self._reader.read() == b""
            except ConnectionError:
                return True


async def echo(data: bytes) -> object:
    return {"success": True, "data": msgspec.Raw(data)}


async def refuse(_: bytes) -> object:
    raise RequestRefused("invalid_user", "Кто это?")


async def fail(_: bytes) -> object:
    raise RuntimeError("secret of the gateway")


async def answer_strangely(_: bytes) -> object:
    return object()


def patterns(handlers: Mapping[str, Handler | Pattern]) -> dict[str, Pattern]:
    return {
        name: one if isinstance(one, Pattern) else Pattern(one) for name, one in handlers.items()
    }


Open = Callable[..., Awaitable[NestTcp]]
Test = Callable[[Open, Recorded], Coroutine[Any, Any, None]]
NewLoop = Callable[[], asyncio.AbstractEventLoop]


@contextlib.asynccontextmanager
async def ports(metrics: Recorded) -> AsyncIterator[Open]:
    """Opens ports; afterwards none has left a task, an open connection or an exception."""
    loop = asyncio.get_running_loop()
    unheard: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unheard.append(context))
    tasks_before = asyncio.all_tasks()
    async with contextlib.AsyncExitStack() as opened:

        async def open_port(
            handlers: Mapping[str, Handler | Pattern] | None = None, limits: TcpLimits = LIMITS
        ) -> NestTcp:
            served = patterns({"echo": echo, **(handlers or {})})
            tcp = NestTcp(served, metrics, limits, spawn, TurnQueue())
            await tcp.start("127.0.0.1", 0)
            opened.push_async_callback(tcp.aclose)
            return tcp

        yield open_port
    assert metrics.open == 0
    for _turn in range(5):  # what a task raised is reported after it, by a callback
        await asyncio.sleep(0)
    tasks_now = asyncio.all_tasks() - {asyncio.current_task()}
    assert tasks_now <= tasks_before
    assert unheard == []


@pytest.fixture
async def metrics() -> Recorded:
    return Recorded()


@pytest.fixture
async def open_port(metrics: Recorded) -> AsyncIterator[Open]:
    async with ports(metrics) as open_port:
        yield open_port


def on_loops(*new_loops: NewLoop) -> Callable[[Test], Callable[[NewLoop], None]]:
    """For what depends on the loop: production runs on uvloop, and the two differ at the edges."""

    def parametrized(test: Test) -> Callable[[NewLoop], None]:
        async def scenario() -> None:
            metrics = Recorded()
            async with ports(metrics) as open_port:
                await test(open_port, metrics)

        def run(new_loop: NewLoop) -> None:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(scenario())

        run.__name__ = test.__name__
        names = [new_loop.__module__.partition(".")[0] for new_loop in new_loops]
        return pytest.mark.parametrize("new_loop", new_loops, ids=names)(run)

    return parametrized


async def test_a_request_is_answered_with_its_id_and_nothing_but_nests_own_keys(
    open_port: Open, metrics: Recorded
) -> None:
    tcp = await open_port()
    async with Client(tcp.port) as client:
        client.send("echo", {"text": "hi"}, packet_id="3c2a")
        reply = await client.receive()
    assert reply == {
        "response": {"success": True, "data": {"text": "hi"}},
        "isDisposed": True,
        "id": "3c2a",
    }
    assert metrics.requests == {("echo", RequestOutcome.OK): 1}


async def test_an_object_pattern_means_the_same_as_its_name(open_port: Open) -> None:
    tcp = await open_port()
    async with Client(tcp.port) as client:
        assert await client.ask({"cmd": "echo"}, 5) == await client.ask("echo", 5)


async def test_an_event_is_handled_and_never_answered(open_port: Open, metrics: Recorded) -> None:
    heard: list[bytes] = []

    async def hear(data: bytes) -> object:
        heard.append(data)
        return {"success": True}

    tcp = await open_port({"hear": hear, "refuse": refuse, "fail": fail})
    async with Client(tcp.port) as client:
        client.emit("hear", [1])
        client.write('{"pattern":"hear"}')
        client.emit("refuse")
        client.emit("fail")
        client.emit("nobody-listens")
        client.send("echo", "the marker", packet_id=9)
        # What comes first is the marker's answer, so nothing came for those before it.
        assert (await client.receive())["id"] == 9
    assert heard == [b"[1]", b"null"]
    assert metrics.requests == {
        ("hear", RequestOutcome.OK): 2,
        ("refuse", RequestOutcome.REFUSED): 1,
        ("fail", RequestOutcome.FAILED): 1,
        ("unknown", RequestOutcome.UNKNOWN_PATTERN): 1,
        ("echo", RequestOutcome.OK): 1,
    }


async def test_an_unknown_pattern_answers_the_text_that_nestjs_answers(
    open_port: Open, metrics: Recorded
) -> None:
    tcp = await open_port()
    async with Client(tcp.port) as client:
        for pattern in ("nobody", {"cmd": "nobody"}, 42, None, "x" * 1000):
            client.send(pattern, packet_id="7")
            assert await client.receive_text() == (
                f'{{"id":"7","status":"error","err":"{NO_MESSAGE_HANDLER}"}}'
            )
    # One label for all of them: a client must not be able to make metrics grow.
    assert metrics.requests == {("unknown", RequestOutcome.UNKNOWN_PATTERN): 5}


async def test_a_refused_request_is_a_response_that_says_no(
    open_port: Open, metrics: Recorded
) -> None:
    tcp = await open_port({"refuse": refuse})
    with capture_logs() as logs:
        async with Client(tcp.port) as client:
            assert await client.ask("refuse") == {
                "success": False,
                "error": {"code": "invalid_user", "message": "Кто это?"},
                "message": "Кто это?",
            }
    assert metrics.requests == {("refuse", RequestOutcome.REFUSED): 1}
    assert logs == []


@pytest.mark.parametrize("handler", [fail, answer_strangely])
async def test_a_failing_handler_is_logged_and_the_connection_lives(
    open_port: Open, metrics: Recorded, handler: Handler
) -> None:
    tcp = await open_port({"broken": handler})
    with capture_logs() as logs:
        async with Client(tcp.port) as client:
            client.send("broken", packet_id="7")
            assert await client.receive() == {
                "err": {"status": "error", "message": "Internal server error"},
                "isDisposed": True,
                "id": "7",
            }
            assert await client.ask("echo", 1) == {"success": True, "data": 1}
    assert metrics.requests["broken", RequestOutcome.FAILED] == 1
    assert [(log["event"], log["pattern"]) for log in logs] == [("tcp request failed", "broken")]


async def test_numbers_and_ids_pass_through_as_they_were_spelt(open_port: Open) -> None:
    tcp = await open_port()
    async with Client(tcp.port) as client:
        client.write('{"id":18446744073709551615,"pattern":"echo","data":[9007199254740993,1.0]}')
        assert await client.receive_text() == (
            '{"response":{"success":true,"data":[9007199254740993,1.0]},'
            '"isDisposed":true,"id":18446744073709551615}'
        )


async def test_cyrillic_and_emoji_arrive_however_the_network_cuts_them(open_port: Open) -> None:
    tcp = await open_port()
    text = '{"pattern":"echo","data":"Привет, 😀!","id":"я"}'
    stream = f"{len(text.encode('utf-16-le')) // 2}#{text}".encode()
    async with Client(tcp.port) as client:
        for i in range(len(stream)):
            client.writer.write(stream[i : i + 1])
            await client.writer.drain()
            await asyncio.sleep(0)
        reply = await client.receive()
    assert reply["response"]["data"] == "Привет, 😀!"
    assert reply["id"] == "я"


class Held:
    """Handlers that wait until they are let go, and what has begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._changed = asyncio.Event()
        self._gates: dict[str, asyncio.Event] = {}

    async def handle(self, data: bytes) -> object:
        name = json.loads(data)
        self.begun.append(name)
        self._changed.set()
        await self._gate(name).wait()
        return name

    def let_go(self, *names: str) -> None:
        for name in names:
            self._gate(name).set()

    async def until_begun(self, *names: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.begun != list(names):
                self._changed.clear()
                await self._changed.wait()

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())


@on_loops(asyncio.new_event_loop, uvloop.new_event_loop)
async def test_requests_of_one_connection_are_worked_on_side_by_side(
    open_port: Open, metrics: Recorded
) -> None:
    held = Held()
    tcp = await open_port({"ask": held.handle})
    async with Client(tcp.port) as client:
        client.send("ask", "slow", packet_id=1)
        client.send("ask", "fast", packet_id=2)
        await held.until_begun("slow", "fast")
        assert (await client.ask("echo", "ping"))["data"] == "ping"
        held.let_go("fast")
        assert (await client.receive())["id"] == 2
        held.let_go("slow")
        assert (await client.receive())["id"] == 1


@on_loops(asyncio.new_event_loop, uvloop.new_event_loop)
async def test_requests_and_events_of_one_connection_begin_in_their_order(
    open_port: Open, metrics: Recorded
) -> None:
    held = Held()
    tcp = await open_port(
        {"write": Pattern(held.handle, is_question=False), "ask": Pattern(held.handle)}
    )
    names = [f"{number}" for number in range(500)]
    async with Client(tcp.port) as client:
        for number, name in enumerate(names):
            if number % 3 == 0:
                client.emit("write", name)
            else:
                client.send("write" if number % 3 == 1 else "ask", name, packet_id=name)
        await held.until_begun(*names)
        held.let_go(*names)
        replies = [await client.receive() for number in range(500) if number % 3]
    assert {reply["id"] for reply in replies} == {n for k, n in enumerate(names) if k % 3}


@on_loops(asyncio.new_event_loop, uvloop.new_event_loop)
async def test_a_request_that_takes_too_long_is_answered_and_holds_up_nothing_more(
    open_port: Open, metrics: Recorded
) -> None:
    held = Held()
    limits = replace(LIMITS, request_seconds=0.2)
    tcp = await open_port({"write": Pattern(held.handle, is_question=False)}, limits)
    async with Client(tcp.port) as client:
        for number in range(3):
            client.send("write", f"{number}", packet_id=number)
        assert (await client.ask("echo", 1))["data"] == 1
        for number in range(3):
            reply = await client.receive()
            assert reply["id"] == number
            assert reply["response"]["success"] is False
            assert reply["response"]["error"]["code"] == "unavailable"
        held.let_go("later")
        assert await client.ask("write", "later") == "later"
    assert metrics.requests["write", RequestOutcome.TIMEOUT] == 3


async def test_a_handler_that_swallows_its_cancellation_is_answered_for_in_time(
    open_port: Open, metrics: Recorded
) -> None:
    """As redis-py on Python 3.11 may, which sends inside `wait_for`."""
    release = asyncio.Event()

    async def swallow(_: bytes) -> object:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await release.wait()
        return "too late"

    tcp = await open_port({"swallow": swallow}, replace(LIMITS, request_seconds=0.1))
    async with Client(tcp.port) as client:
        assert (await client.ask("swallow"))["error"]["code"] == "unavailable"
        release.set()
        assert (await client.ask("echo", 1))["data"] == 1


async def test_an_event_that_is_lost_is_logged_and_a_slow_one_is_waited_for(
    open_port: Open, metrics: Recorded
) -> None:
    held = Held()
    limits = replace(LIMITS, request_seconds=0.05)
    tcp = await open_port({"hear": held.handle, "ask": held.handle, "refuse": refuse}, limits)
    with capture_logs() as logs:
        async with Client(tcp.port) as client:
            client.emit("refuse")
            client.emit("hear", "slow")
            assert (await client.ask("ask", "slower"))["error"]["code"] == "unavailable"
            held.let_go("slow")
            await metrics.until(lambda: metrics.requests["hear", RequestOutcome.OK] == 1)
    assert [(log["event"], log["pattern"], log["code"]) for log in logs] == [
        ("tcp event dropped", "refuse", "invalid_user")
    ]


@pytest.mark.parametrize("limit", ["requests", "bytes"])
async def test_a_connection_with_too_much_in_hand_is_not_read_any_further(
    open_port: Open, metrics: Recorded, limit: str
) -> None:
    held = Held()
    limits = replace(LIMITS, max_in_hand=5)
    padding = ""
    if limit == "bytes":
        limits = replace(LIMITS, max_frame_bytes=1_000)
        padding = 750 * "x"  # five are above four frames, four are not
    tcp = await open_port({"ask": held.handle}, limits)
    names = [f"{number}" for number in range(12)]
    async with Client(tcp.port) as client, Client(tcp.port) as other:
        for name in names:
            client.write(json.dumps({"pattern": "ask", "data": name, "id": name, "x": padding}))
        await held.until_begun(*names[:5])
        assert (await other.ask("echo", 1))["data"] == 1
        assert held.begun == names[:5]
        for done, name in enumerate(names):
            held.let_go(name)
            assert (await client.receive())["id"] == name
            await held.until_begun(*names[: done + 6])


@on_loops(asyncio.new_event_loop, uvloop.new_event_loop)
async def test_what_was_sent_before_the_end_of_a_connection_is_done(
    open_port: Open, metrics: Recorded
) -> None:
    held = Held()
    tcp = await open_port({"hear": held.handle})
    async with Client(tcp.port) as client:
        client.emit("hear", "a")
        client.emit("hear", "b")
        client.send("hear", "c")
        client.writer.write_eof()
        await held.until_begun("a", "b", "c")
        held.let_go("a", "b", "c")
        assert (await client.receive())["response"] == "c"
        assert await client.is_closed_by_server()
    await metrics.until(lambda: metrics.open == 0)
    assert metrics.requests == {("hear", RequestOutcome.OK): 3}


async def test_a_slow_request_does_not_hold_up_another_connection(open_port: Open) -> None:
    release = asyncio.Event()

    async def wait(_: bytes) -> object:
        await release.wait()
        return "waited"

    tcp = await open_port({"wait": wait})
    async with Client(tcp.port) as first, Client(tcp.port) as second:
        first.send("wait")
        assert (await second.ask("echo", 1))["data"] == 1
        release.set()
        assert (await first.receive())["response"] == "waited"


@on_loops(asyncio.new_event_loop, uvloop.new_event_loop)
async def test_a_flood_of_events_lets_others_have_their_turn(
    open_port: Open, metrics: Recorded
) -> None:
    handled = 0

    async def count(_: bytes) -> object:
        nonlocal handled
        handled += 1
        return None

    tcp = await open_port({"count": count})
    event, events = b'19#{"pattern":"count"}', 10_000
    seen_by_others = [0]
    async with Client(tcp.port) as client:
        client.writer.write(event * events)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while handled < events:
                await asyncio.sleep(0)
                seen_by_others.append(handled)
    most_at_once = max(after - before for before, after in itertools.pairwise(seen_by_others))
    assert most_at_once <= 64


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", FramingFault.NOT_A_NUMBER),
        (b"\x16\x03\x01\x02\x00", FramingFault.NOT_A_NUMBER),
        (b"5#\xff\xff\xff\xff\xff", FramingFault.NOT_UTF8),
        ("1#😀".encode(), FramingFault.SPLIT_CHARACTER),
        (b"100001#", FramingFault.TOO_LONG),
        (b"1" * 50, FramingFault.TOO_LONG),
        (b"4#nope", FramingFault.INVALID_JSON),
        (b"2#[]", FramingFault.INVALID_JSON),
        (b"0#", FramingFault.INVALID_JSON),
    ],
)
async def test_a_broken_stream_closes_its_connection_and_no_other(
    open_port: Open, metrics: Recorded, garbage: bytes, reason: FramingFault
) -> None:
    tcp = await open_port()
    async with Client(tcp.port) as neighbour, Client(tcp.port) as client:
        assert (await client.ask("echo", 1))["data"] == 1
        with capture_logs() as logs:
            client.writer.write(garbage)
            assert await client.is_closed_by_server()
        assert (await neighbour.ask("echo", 2))["data"] == 2
        assert metrics.refusals == {reason: 1}
        assert [(log["event"], log["reason"], log["log_level"]) for log in logs] == [
            ("tcp connection closed", reason, "warning")
        ]


async def test_what_was_asked_before_the_garbage_is_answered(open_port: Open) -> None:
    tcp = await open_port()
    async with Client(tcp.port) as client:
        client.send("echo", 1)
        client.writer.write(b"garbage")
        assert (await client.receive())["response"]["data"] == 1
        assert await client.is_closed_by_server()


@pytest.mark.parametrize("seed", range(20))
async def test_random_bytes_leave_nothing_behind(
    open_port: Open, metrics: Recorded, seed: int
) -> None:
    tcp = await open_port()
    noise = random.Random(seed).randbytes(3_000)
    async with Client(tcp.port) as neighbour, Client(tcp.port) as client:
        await metrics.until(lambda: metrics.open == 2)
        client.writer.write(noise)
        client.writer.write_eof()
        await metrics.until(lambda: metrics.open == 1)
        assert (await neighbour.ask("echo", 1))["data"] == 1


@on_loops(asyncio.new_event_loop, uvloop.new_event_loop)
async def test_a_client_that_leaves_in_the_middle_of_a_frame_is_no_fault(
    open_port: Open, metrics: Recorded
) -> None:
    tcp = await open_port()
    async with Client(tcp.port) as client:
        client.writer.write(b'100#{"pattern"')
        await metrics.until(lambda: metrics.open == 1)
    await metrics.until(lambda: metrics.open == 0)
    assert metrics.refusals == {}


@on_loops(asyncio.new_event_loop, uvloop.new_event_loop)
async def test_a_client_that_resets_while_its_request_is_in_hand_is_no_fault(
    open_port: Open, metrics: Recorded
) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def wait(_: bytes) -> object:
        begun.set()
        await release.wait()
        for _turn in range(50):  # for the loop to notice the reset before there is an answer
            await asyncio.sleep(0)
        return "x" * 1_000_000

    tcp = await open_port({"wait": wait})
    async with Client(tcp.port) as client:
        client.send("wait")
        client.send("echo")
        await begun.wait()
        raw = client.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
    release.set()
    await metrics.until(lambda: metrics.open == 0)
    assert metrics.refusals == {}


@on_loops(asyncio.new_event_loop, uvloop.new_event_loop)
async def test_a_quiet_connection_is_closed_after_its_time(
    open_port: Open, metrics: Recorded
) -> None:
    tcp = await open_port(limits=replace(LIMITS, idle_seconds=0.1))
    with capture_logs() as logs:
        async with Client(tcp.port) as client:
            assert (await client.ask("echo", 1))["data"] == 1
            assert await client.is_closed_by_server()
    assert metrics.refusals == {CloseReason.IDLE: 1}
    assert [log["log_level"] for log in logs] == ["info"]


@on_loops(asyncio.new_event_loop, uvloop.new_event_loop)
async def test_a_byte_now_and_then_does_not_keep_a_connection(
    open_port: Open, metrics: Recorded
) -> None:
    tcp = await open_port(limits=replace(LIMITS, max_frame_bytes=10**9, idle_seconds=0.2))
    async with Client(tcp.port) as client:
        client.writer.write(b"1000000000#")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not metrics.refusals:
                client.writer.write(b" ")
                await asyncio.sleep(0)
    assert metrics.refusals == {CloseReason.SLOW_FRAME: 1}


@pytest.mark.parametrize("begun", [b"1", b"1000", b"1000#", b'1000#{"pattern":'])
async def test_a_frame_that_does_not_come_to_its_end_costs_its_connection(
    open_port: Open, metrics: Recorded, begun: bytes
) -> None:
    tcp = await open_port(limits=replace(LIMITS, frame_seconds=0.2))
    async with Client(tcp.port) as client, Client(tcp.port) as quiet:
        assert (await client.ask("echo", 1))["data"] == 1
        client.writer.write(begun)
        assert await client.is_closed_by_server()
        assert (await quiet.ask("echo", 1))["data"] == 1  # who has begun nothing may be quiet
    assert metrics.refusals == {CloseReason.SLOW_FRAME: 1}


async def test_the_time_of_a_handler_does_not_count_as_idle(
    open_port: Open, metrics: Recorded
) -> None:
    idle_seconds = 0.1
    loop = asyncio.get_running_loop()

    async def take_longer(_: bytes) -> object:
        # Real time must pass here: it is what the test is about.
        await asyncio.sleep(2 * idle_seconds)
        return loop.time()

    tcp = await open_port({"long": take_longer}, replace(LIMITS, idle_seconds=idle_seconds))
    async with Client(tcp.port) as client:
        answered_at = await client.ask("long")
        assert await client.is_closed_by_server()
        assert loop.time() - answered_at >= idle_seconds
    assert metrics.refusals == {CloseReason.IDLE: 1}


@on_loops(asyncio.new_event_loop, uvloop.new_event_loop)
async def test_a_client_that_does_not_read_its_replies_is_closed_and_asks_no_more(
    open_port: Open, metrics: Recorded
) -> None:
    reply = "x" * 50_000_000  # more than the kernel takes for one connection

    async def talk(_: bytes) -> object:
        return reply

    tcp = await open_port({"talk": talk}, replace(LIMITS, idle_seconds=0.3))
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, ("127.0.0.1", tcp.port))
        request = b'25#{"pattern":"talk","id":1}'
        await loop.sock_sendall(deaf, request)
        await metrics.until(lambda: metrics.requests != {})
        await asyncio.sleep(0.1)  # the others would wait until later
        await loop.sock_sendall(deaf, request * 4)
        await metrics.until(lambda: metrics.refusals != {} and metrics.open == 0)
    assert metrics.refusals == {CloseReason.SLOW_READER: 1}
    assert metrics.requests == {("talk", RequestOutcome.OK): 1}


@on_loops(asyncio.new_event_loop, uvloop.new_event_loop)
async def test_a_connection_too_many_is_closed_at_once_and_leaves_room_when_others_go(
    open_port: Open, metrics: Recorded
) -> None:
    tcp = await open_port(limits=replace(LIMITS, max_connections=2))
    async with Client(tcp.port) as first, Client(tcp.port):
        await metrics.until(lambda: metrics.open == 2)
        with capture_logs() as logs:
            async with Client(tcp.port) as third:
                assert await third.is_closed_by_server()
        assert metrics.refusals == {CloseReason.TOO_MANY_CONNECTIONS: 1}
        assert [log["reason"] for log in logs] == [CloseReason.TOO_MANY_CONNECTIONS]
        assert (await first.ask("echo", 1))["data"] == 1
    await metrics.until(lambda: metrics.open == 0)
    async with Client(tcp.port) as later:
        assert (await later.ask("echo", 2))["data"] == 2


@on_loops(asyncio.new_event_loop, uvloop.new_event_loop)
async def test_closing_answers_the_requests_in_hand_and_begins_no_other(
    open_port: Open, metrics: Recorded
) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def wait(_: bytes) -> object:
        begun.set()
        await release.wait()
        return "done"

    tcp = await open_port({"wait": wait})
    async with Client(tcp.port) as busy, Client(tcp.port) as quiet:
        busy.send("wait", packet_id="in hand")
        await begun.wait()
        closing = asyncio.ensure_future(tcp.aclose(grace_seconds=60))
        assert await quiet.is_closed_by_server()
        busy.send("echo", packet_id="too late")
        await busy.writer.drain()
        assert not closing.done()
        release.set()
        assert await busy.receive() == {"response": "done", "isDisposed": True, "id": "in hand"}
        assert await busy.is_closed_by_server()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await closing
    assert metrics.open == 0
    assert metrics.refusals == {}


@on_loops(asyncio.new_event_loop, uvloop.new_event_loop)
async def test_closing_cuts_off_what_does_not_end_in_its_grace(
    open_port: Open, metrics: Recorded
) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_: bytes) -> object:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return None

    tcp = await open_port({"hang": hang})
    async with Client(tcp.port) as client:
        client.send("hang")
        await begun.wait()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await tcp.aclose(grace_seconds=0.05)
        assert cancelled.is_set()
        assert metrics.open == 0
        assert await client.is_closed_by_server()


# Only there: in a still narrower moment CPython's own loop loses such a connection by itself (its
# transport cannot be attached to a closed server), and nobody but the garbage collector closes it.
@on_loops(uvloop.new_event_loop)
async def test_whoever_comes_while_the_door_closes_is_sent_away(
    open_port: Open, metrics: Recorded
) -> None:
    for turns in range(8):  # one of them meets the moment between being accepted and being served
        tcp = await open_port()
        with socket.create_connection(("127.0.0.1", tcp.port)) as late:
            late.setblocking(False)
            for _turn in range(turns):
                await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await tcp.aclose()
                with contextlib.suppress(ConnectionError):
                    assert await asyncio.get_running_loop().sock_recv(late, 1) == b""
        assert metrics.open == 0


async def test_a_closed_door_lets_nobody_in_and_frees_its_port(open_port: Open) -> None:
    tcp = await open_port()
    port = tcp.port
    await tcp.aclose()
    await tcp.aclose()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_door_that_was_never_opened_can_be_closed(metrics: Recorded) -> None:
    await NestTcp({}, metrics, LIMITS, spawn, TurnQueue()).aclose()


async def test_a_taken_port_is_refused_with_a_sentence_that_names_the_setting(
    open_port: Open, metrics: Recorded
) -> None:
    port = (await open_port()).port
    with pytest.raises(PortUnavailable) as caught:
        await NestTcp({}, metrics, LIMITS, spawn, TurnQueue()).start("127.0.0.1", port)
    assert str(caught.value).startswith(f"Cannot listen on 127.0.0.1:{port} (TCP_HOST, TCP_PORT): ")
    assert isinstance(caught.value.__cause__, OSError)
