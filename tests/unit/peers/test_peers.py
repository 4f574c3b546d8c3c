"""The links of a pod, over real connections: made once, proven first, bounded, and found again."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import msgspec
import pytest
import pytest_asyncio

from constellation_ws.observability.metrics import Metrics
from constellation_ws.peers import peers as peers_module
from constellation_ws.peers.directory import Directory, Peer
from constellation_ws.peers.peers import MAX_STRANGERS, Peers
from constellation_ws.peers.tunnel_entrance import TunnelEntrance
from constellation_ws.peers.tunnel_exit import TunnelExit
from constellation_ws.peers.wire import ForwardedRequest, ForwardedResponse, Kind, Opening, frame
from tests.peer_lines import KEY, OTHER_KEY, Line, challenge_of, proof_for, proof_frame
from tests.processes import HOST, tcp_stream
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

REQUEST = ForwardedRequest("GET", "b-session", b"")


class Known:
    """A directory without Redis."""

    def __init__(self, keys: list[bytes]) -> None:
        self.keys = keys
        self.peers: dict[str, Peer] = {}
        self.finds: list[str] = []
        self.has_left = False

    async def find(self, instance: str) -> Peer | None:
        self.finds.append(instance)
        await asyncio.sleep(0)
        return self.peers.get(instance)

    async def leave(self) -> None:
        self.has_left = True


class Sessions:
    """What a pod does for the clients of others."""

    def __init__(self) -> None:
        self.questions: list[ForwardedRequest] = []
        self.openings: list[Opening] = []
        self.exits: list[TunnelExit] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.gone_count = 0
        self.error: Exception | None = None

    async def respond(
        self, request: ForwardedRequest, gone: asyncio.Future[None], finish: asyncio.Future[None]
    ) -> ForwardedResponse:
        self.questions.append(request)
        if self.error is not None:
            raise self.error
        waits: asyncio.Future[Any] = asyncio.ensure_future(self.may_answer.wait())
        try:
            await asyncio.wait({waits, gone, finish}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waits.cancel()
        self.gone_count += gone.done()
        return ForwardedResponse(200, [], b"finished" if finish.done() else b"answered")

    def accept(
        self, opening: Opening, make_exit: Callable[[Callable[[], None]], TunnelExit]
    ) -> None:
        self.openings.append(opening)
        self.exits.append(make_exit(lambda: None))
        self.exits[-1].refuse()


class Pod:
    """One pod's links."""

    def __init__(self, name: str, keys: list[bytes]) -> None:
        self.name = name
        self.directory = Known(keys)
        self.sessions = Sessions()
        self.metrics = Metrics()
        self.tasks: set[asyncio.Task[None]] = set()
        self.tunnels: set[TunnelEntrance] = set()
        self.peers = Peers(
            name,
            cast("Directory", self.directory),
            self.sessions,
            self.metrics,
            self._spawn,
            self.tunnels,
        )

    async def start(self) -> None:
        listener = socket.create_server((HOST, 0), backlog=1024)
        listener.setblocking(False)
        await self.peers.start([listener])

    def knows(self, other: Pod, *, port: int | None = None, host: str = HOST) -> None:
        self.directory.peers[other.name] = Peer(other.name, host, port or other.peers.port)

    def failures(self, reason: str) -> int:
        value = self.metrics.peer_failures.labels(reason)._value.get()
        return int(value)

    async def ask(
        self, owner: str, request: ForwardedRequest = REQUEST
    ) -> ForwardedResponse | None:
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.peers.forward(owner, request, gone)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        return task

    async def stop(self) -> None:
        """End all links; a failure of what ran for them fails the test."""
        await self.peers.aclose()
        await eventually(lambda: not self.peers.link_count, PATIENCE_SECONDS, "no link is left")
        await cancelled(self.tasks)
        failures = [task.exception() for task in self.tasks if not task.cancelled()]
        assert [failure for failure in failures if failure is not None] == []


@asynccontextmanager
async def pods(*names: str, keys: dict[str, list[bytes]] | None = None) -> AsyncIterator[list[Pod]]:
    """Pods that know each other."""
    async with AsyncExitStack() as held:
        made = [Pod(name, (keys or {}).get(name, [KEY])) for name in names]
        for pod in made:
            await pod.start()
            held.push_async_callback(pod.stop)
        for pod in made:
            for other in made:
                if other is not pod:
                    pod.knows(other)
        yield made


@pytest_asyncio.fixture
async def two() -> AsyncIterator[tuple[Pod, Pod]]:
    """Two pods that know each other."""
    async with pods("a", "b") as (a, b):
        yield a, b


async def test_a_request_is_answered_by_the_pod_that_is_asked(two: tuple[Pod, Pod]) -> None:
    a, b = two
    request = ForwardedRequest("POST", "b-session", b"\x00" * 100_000, "trace")
    answer = await a.ask("b", request)
    assert answer == ForwardedResponse(200, [], b"answered")
    assert b.sessions.questions == [request]
    assert (a.peers.link_count, b.peers.link_count) == (1, 1)


async def test_one_link_serves_all_that_ask_at_the_same_time(two: tuple[Pod, Pod]) -> None:
    a, b = two
    answers = await asyncio.gather(*(a.ask("b") for _ in range(500)))
    assert answers == [ForwardedResponse(200, [], b"answered")] * 500
    assert b.peers.link_count == 1


async def test_pods_that_ask_each_other_have_a_link_each_way(two: tuple[Pod, Pod]) -> None:
    a, b = two
    assert await a.ask("b")
    assert await b.ask("a")
    assert (a.peers.link_count, b.peers.link_count) == (2, 2)


async def test_a_pod_that_nobody_knows_is_not_looked_for_on_the_network(
    two: tuple[Pod, Pod],
) -> None:
    a, _ = two
    assert await a.ask("nobody") is None
    assert a.failures("unreachable") == 0


async def test_a_dead_pod_is_tried_once_for_all_that_ask(two: tuple[Pod, Pod]) -> None:
    a, b = two
    with socket.create_server((HOST, 0)) as unused:
        port = unused.getsockname()[1]
    a.knows(b, port=port)
    assert await asyncio.gather(*(a.ask("b") for _ in range(200))) == [None] * 200
    assert await a.ask("b") is None
    assert a.failures("unreachable") == 1


async def test_a_pod_that_could_not_be_reached_is_found_again(
    two: tuple[Pod, Pod], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    monkeypatch.setattr(peers_module, "_PAUSE_SECONDS", 0)
    with socket.create_server((HOST, 0)) as unused:
        port = unused.getsockname()[1]
    a.knows(b, port=port)
    assert await a.ask("b") is None
    a.knows(b)
    assert await a.ask("b") is not None


@pytest.mark.parametrize("host", ["a..b", "x" * 64, "no-such-host.invalid", "\N{DEGREE SIGN}"])
async def test_an_address_that_is_none_costs_the_requests_alone(
    two: tuple[Pod, Pod], host: str
) -> None:
    """It is another pod's setting: this pod must not end for it."""
    a, b = two
    a.knows(b, host=host)
    assert await a.ask("b") is None
    assert a.failures("unreachable") == 1


async def test_a_pod_of_another_deployment_is_not_asked() -> None:
    async with pods("a", "b", keys={"b": [OTHER_KEY]}) as (a, b):
        assert await a.ask("b") is None
        assert (a.failures("refused"), b.failures("stranger")) == (1, 1)
        assert b.sessions.questions == []


async def test_an_address_that_is_another_pods_by_now_is_not_asked() -> None:
    async with pods("a", "b", "c") as (a, b, c):
        a.knows(b, port=c.peers.port)
        assert await a.ask("b") is None
        assert (a.failures("refused"), c.failures("stranger")) == (1, 1)
        assert (b.sessions.questions, c.sessions.questions) == ([], [])


async def test_requests_end_with_the_pod_that_serves_them_and_a_new_link_is_made(
    two: tuple[Pod, Pod],
) -> None:
    a, b = two
    b.sessions.may_answer.clear()
    asking = asyncio.create_task(a.ask("b"))
    await eventually(lambda: b.sessions.questions, PATIENCE_SECONDS, "the request has arrived")
    for link in list(b.peers._incoming):
        link.abort()
    assert await asking is None
    await eventually(lambda: a.failures("lost") == 1, PATIENCE_SECONDS, "it was counted")
    assert a.peers.link_count == 0
    b.sessions.may_answer.set()
    assert await a.ask("b") is not None


async def test_requests_end_with_the_pod_that_asks(two: tuple[Pod, Pod]) -> None:
    a, b = two
    b.sessions.may_answer.clear()
    asking = asyncio.create_task(a.ask("b"))
    await eventually(lambda: b.sessions.questions, PATIENCE_SECONDS, "the request has arrived")
    await a.peers.aclose()
    assert await asking is None
    assert a.directory.has_left
    await eventually(lambda: b.sessions.gone_count, PATIENCE_SECONDS, "its end is known")


async def test_a_drain_lets_polls_end_those_that_wait_and_those_that_come(
    two: tuple[Pod, Pod],
) -> None:
    a, b = two
    b.sessions.may_answer.clear()
    waiting = asyncio.create_task(a.ask("b"))
    posting = asyncio.create_task(a.ask("b", ForwardedRequest("POST", "b-session", b"4")))
    await eventually(
        lambda: len(b.sessions.questions) == 2, PATIENCE_SECONDS, "both requests have arrived"
    )
    a.peers.begin_drain()
    assert await waiting == ForwardedResponse(200, [], b"finished")
    assert await a.ask("b") == ForwardedResponse(200, [], b"finished")
    assert not posting.done(), "what a client brings is taken"
    b.sessions.may_answer.set()
    assert await posting == ForwardedResponse(200, [], b"answered")


async def test_a_request_that_cannot_be_served_is_answered_all_the_same(
    two: tuple[Pod, Pod],
) -> None:
    """Its client would wait for as long as it likes to."""
    a, b = two
    b.sessions.error = RuntimeError("a fault of ours")
    answer = await a.ask("b")
    assert answer is not None
    assert answer.status == 500
    b.sessions.error = None
    assert await a.ask("b") == ForwardedResponse(200, [], b"answered")
    assert a.failures("lost") == 0


async def test_a_websocket_is_led_to_the_pod_of_its_session(two: tuple[Pod, Pod]) -> None:
    a, b = two
    client = Line()
    a.peers.open_tunnel("b", Opening("b-session"), entrance(a, client))
    await eventually(client.is_closing, PATIENCE_SECONDS, "it was answered")
    assert b.sessions.openings == [Opening("b-session")]
    assert client.taken() == b"refused"
    assert a.tunnels == set()


async def test_a_websocket_for_a_pod_that_is_gone_is_refused(two: tuple[Pod, Pod]) -> None:
    a, _ = two
    client = Line()
    a.peers.open_tunnel("nobody", Opening("nobody-session"), entrance(a, client))
    assert len(a.tunnels) == 1
    await eventually(client.is_closing, PATIENCE_SECONDS, "it was answered")
    assert client.taken() == b"refused"
    assert a.tunnels == set()


# Strangers


async def test_the_oldest_stranger_goes_where_there_are_too_many(two: tuple[Pod, Pod]) -> None:
    _, b = two
    async with AsyncExitStack() as held:
        streams = []
        for _ in range(MAX_STRANGERS + 1):
            stream = await held.enter_async_context(tcp_stream(b.peers.port))
            await _read_challenge(stream[0])
            streams.append(stream)
        assert await _ended(streams[0][0])
        assert not streams[1][0].at_eof()
        assert b.failures("stranger") == 1


async def test_strangers_that_come_all_at_once_are_bounded_too(two: tuple[Pod, Pod]) -> None:
    """Connections are made before the first of them can be reported as lost."""
    _, b = two
    sockets = [socket.socket() for _ in range(MAX_STRANGERS + 30)]
    try:
        for one in sockets:
            one.connect((HOST, b.peers.port))  # the kernel accepts: the loop is not turning
        await eventually(
            lambda: len(b.peers._incoming) + b.failures("stranger") >= len(sockets),
            PATIENCE_SECONDS,
            "all were accepted",
        )
        await eventually(
            lambda: len(b.peers._incoming) <= MAX_STRANGERS, PATIENCE_SECONDS, "few are left"
        )
        assert b.failures("stranger") == len(sockets) - MAX_STRANGERS
    finally:
        for one in sockets:
            one.close()


async def test_strangers_do_not_keep_pods_out(two: tuple[Pod, Pod]) -> None:
    a, b = two
    async with AsyncExitStack() as held:
        for _ in range(2 * MAX_STRANGERS):
            await held.enter_async_context(tcp_stream(b.peers.port))
        assert await a.ask("b") is not None
        for _ in range(2 * MAX_STRANGERS):
            await held.enter_async_context(tcp_stream(b.peers.port))
        assert await a.ask("b") is not None
        assert a.failures("lost") == 0


@pytest.mark.parametrize(
    "said",
    [
        b"GET /socket.io/?EIO=4&transport=polling&sid=b-session HTTP/1.1\r\nHost: b\r\n\r\n",
        b"\x00" * 100,
        b"\xff" * 100,
        frame(Kind.REQUEST, 1, msgspec.msgpack.encode(REQUEST)),
        frame(Kind.OPEN, 1, msgspec.msgpack.encode(Opening("b-session"))),
        frame(Kind.PING, 0),
    ],
    ids=["HTTP", "zeros", "ones", "a request", "a WebSocket", "a sign of life"],
)
async def test_a_stranger_learns_nothing_and_is_hung_up_on(
    two: tuple[Pod, Pod], said: bytes
) -> None:
    _, b = two
    async with tcp_stream(b.peers.port) as (reader, writer):
        await _read_challenge(reader)
        writer.write(said)
        assert await _ended(reader)
    assert (b.sessions.questions, b.sessions.openings) == ([], [])
    assert b.failures("stranger") == 1


async def test_a_pod_that_asks_nonsense_loses_its_link_and_nothing_else(
    two: tuple[Pod, Pod],
) -> None:
    a, b = two
    for payload in (b"", b"\xff", msgspec.msgpack.encode((7, 7, b""))):
        for kind in (Kind.REQUEST, Kind.OPEN):
            async with tcp_stream(b.peers.port) as (reader, writer):
                challenge = challenge_of(await _read_challenge(reader))
                writer.write(proof_frame(proof_for(challenge)) + frame(kind, 1, payload))
                assert await _ended(reader, ignoring=frame(Kind.WELCOME, 0, b"w" * 32))
    assert await a.ask("b") is not None


def entrance(pod: Pod, client: Line) -> TunnelEntrance:
    made = TunnelEntrance(
        client,
        welcome=b"welcome",
        refusal=lambda: b"refused",
        arrivals=cast("Any", None),
        closed=pod.tunnels.discard,
        max_waiting_bytes=1,
    )
    client.protocol = made
    return made


async def _read_challenge(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE_SECONDS):
        length = await reader.readexactly(4)
        return length + await reader.readexactly(int.from_bytes(length))


async def _ended(reader: asyncio.StreamReader, ignoring: bytes = b"") -> bool:
    """Wait for the end of a connection on which nothing more comes, or so many bytes."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        try:
            rest = await reader.read()
        except ConnectionError:
            return True
    return len(rest) == len(ignoring)
