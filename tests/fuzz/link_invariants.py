"""What has to be true of a link between pods whatever the other side writes.

Nothing but the end of the link may come of it: what is raised ends in no task and no callback of
the process. Not here: where the bytes come from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import structlog

from constellation_ws.moving.client import decode_client, decode_offer
from constellation_ws.observability.metrics import Metrics
from constellation_ws.peers.directory import read_entry
from constellation_ws.peers.forwarding import Forwarded
from constellation_ws.peers.link import IncomingLink, Link, OutgoingLink
from constellation_ws.peers.peers import Peers
from constellation_ws.peers.tunnel_entrance import TunnelEntrance
from constellation_ws.peers.tunnel_exit import TunnelExit
from constellation_ws.peers.wire import (
    UNREADABLE,
    ForwardedRequest,
    ForwardedResponse,
    Kind,
    Opening,
    frame,
)
from tests.peer_lines import (
    KEY,
    Line,
    challenge_of,
    frames_of,
    proof_for,
    proof_frame,
    trusts,
)
from tests.websocket_frames import chopped

_LOOP = asyncio.new_event_loop()
_METRICS = Metrics()
_QUESTION = ForwardedRequest("GET", "b-session", b"")


def check(data: bytes) -> None:
    """Take any bytes as a stream, and as frames. AssertionError where a promise is broken."""
    _LOOP.run_until_complete(_check(data))


async def _check(data: bytes) -> None:
    with structlog.testing.capture_logs():
        for pieces in ([data], chopped(data, 1), chopped(data, 1 + len(data) % 7)):
            _check_strangers(pieces)
            await _check_pod_that_asks(pieces)
            await _check_pod_that_answers(pieces)
        framed = _frames_in(data)
        await _check_pod_that_asks([framed])
        await _check_pod_that_answers([framed])
    _check_values(data)


def _frames_in(data: bytes) -> bytes:
    """Take bytes for kinds, streams and short payloads: chance hardly ever writes a length."""
    said, at = [], 0
    while at + 2 < len(data):
        kind, stream, size = data[at], data[at + 1] % 5, data[at + 2] % 64
        said.append(frame(cast("Kind", kind), stream, data[at + 3 : at + 3 + size]))
        at += 3 + size
    return b"".join(said)


def _check_strangers(pieces: list[bytes]) -> None:
    """Whoever knows no key is served nothing, and believed nothing."""
    pod, refused = Pod(), list[None]()
    link = IncomingLink("b", lambda: [KEY], pod.peers._begin, lambda: refused.append(None))
    line = connect(link)
    line.taken()
    feed(link, line, pieces)
    assert not trusts(link)
    assert (line.taken(), pod.began) == (b"", 0)
    assert len(refused) == line.is_aborted
    line.lose()
    outgoing = OutgoingLink("a", "b", lambda: [KEY])
    line = connect(outgoing)
    forwarded = Forwarded(outgoing, _QUESTION)
    line.taken()
    feed(outgoing, line, pieces)
    assert not trusts(outgoing)
    assert not forwarded._response.done()
    assert [one.kind for one in frames_of(line.taken())] in ([], [Kind.PROOF])
    line.lose()


async def _check_pod_that_asks(pieces: list[bytes]) -> None:
    """Take anything from a pod that has connected."""
    pod = Pod()
    link = IncomingLink("b", lambda: [KEY], pod.peers._begin, lambda: None)
    line = connect(link)
    feed(link, line, [proof_frame(proof_for(challenge_of(line.taken())))])
    assert trusts(link)
    feed(link, line, pieces)
    await settle(line)
    line.lose()
    await pod.ended()
    frames_of(bytes(line.written))
    assert link.streams == {}


async def _check_pod_that_answers(pieces: list[bytes]) -> None:
    """Take anything from a pod that was connected to, for streams of each kind."""
    link = OutgoingLink("a", "b", lambda: [KEY])
    line = connect(link)
    link.trust()
    Forwarded(link, _QUESTION)
    clients = [Line() for _ in range(3)]
    entrances = [make_entrance(client) for client in clients]
    for entrance in entrances:
        entrance.open(link, b"")
    entrances[0].receive(Kind.ACCEPT, b"")
    clients[2].lose()
    entrances[0].data_received(b"from the client")
    feed(link, line, pieces)
    for client, entrance in zip(clients, entrances, strict=True):
        if not client.is_closing():
            entrance.data_received(b"more")
    await settle(line)
    line.lose()
    for client in clients:
        client.lose()
    frames_of(bytes(line.written))
    assert link.streams == {}


def _check_values(data: bytes) -> None:
    """Read what other pods write, there and in Redis."""
    peer = read_entry(data)
    assert peer is None or 0 < peer.port < 65_536
    for decode in cast("list[Callable[[bytes], object]]", [decode_offer, decode_client]):
        try:
            decode(data)
        except UNREADABLE:
            continue


class Pod:
    """A pod that serves whatever it is asked."""

    def __init__(self) -> None:
        self.began = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self.peers = Peers("b", cast("Any", None), self, _METRICS, self._spawn, set())

    async def respond(
        self, request: ForwardedRequest, gone: asyncio.Future[None], finish: asyncio.Future[None]
    ) -> ForwardedResponse:
        self.began += 1
        await asyncio.wait({gone, finish}, return_when=asyncio.FIRST_COMPLETED)
        return ForwardedResponse(200, [], request.body)

    def accept(
        self, opening: Opening, make_exit: Callable[[Callable[[], None]], TunnelExit]
    ) -> None:
        self.began += 1
        made = make_exit(lambda: None)
        if opening.sid.startswith("refused"):
            made.refuse()
        else:
            made.start(Owner(made))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> object:
        self._tasks.append(asyncio.create_task(work))
        return self._tasks[-1]

    async def ended(self) -> None:
        """See that all that was begun has come to its end."""
        await asyncio.gather(*self._tasks)


class Owner(asyncio.Protocol):
    """Who has a session: says back what it hears, and hears nothing after the end."""

    def __init__(self, transport: TunnelExit) -> None:
        self._transport = transport
        self._is_lost = False

    def data_received(self, data: bytes) -> None:
        assert not self._is_lost
        self._transport.write(data)
        if data[:1] == b"c":
            self._transport.close()
        elif data[:1] == b"a":
            self._transport.abort()

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        assert not self._is_lost, "lost twice"
        self._is_lost = True


class Arrivals:
    """Who takes sessions: reads what there is to read, as the real one does at once."""

    def expect(self, offer: bytes, answer: Callable[[bool], None]) -> int:
        decode_offer(offer)
        asyncio.get_running_loop().call_soon(answer, len(offer) % 2 == 0)
        return 1

    def take(
        self, session: bytes, expected: int, transport: asyncio.Transport, early: bytes
    ) -> None:
        decode_client(session)


def make_entrance(client: Line) -> TunnelEntrance:
    """Make the client's end of a tunnel."""
    made = TunnelEntrance(
        client,
        welcome=b"welcome",
        refusal=lambda: b"refused",
        arrivals=Arrivals(),
        closed=lambda entrance: None,
        max_waiting_bytes=1,
    )
    client.protocol = made
    return made


def connect(link: Link) -> Line:
    """Give a link a connection."""
    line = Line()
    line.protocol = link
    link.connection_made(line)
    return line


def feed(link: Link, line: Line, pieces: list[bytes]) -> None:
    """Let a link read, until it has had enough."""
    for piece in pieces:
        if line.is_closing():
            return
        link.data_received(piece)


async def settle(line: Line) -> None:
    """Let the rest of a long read have its turns, and callbacks theirs."""
    await asyncio.sleep(0)
    while not line.is_read and not line.is_closing():  # noqa: ASYNC110 - it is read again soon
        await asyncio.sleep(0)
    await asyncio.sleep(0)
