"""A tunnel: the bytes of a WebSocket both ways, in order, and every way in which it can end.

The client's end is on pod `a`, the session on pod `b`. Nothing is carried between them but by
`carry` and `settle`, so each test says what has crossed what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.peers import tunnel as tunnel_module
from constellation_ws.peers.link import Link
from constellation_ws.peers.tunnel import OPEN_SECONDS, Entrance, Exit
from constellation_ws.peers.wire import Kind
from tests.peer_lines import Line, Two, frames_of

WELCOME = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
BOUND = 262_144


class Owner(asyncio.Protocol):
    """Who has the session: keeps what it is told."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost_count = 0
        self.pauses: list[bool] = []

    def data_received(self, data: bytes) -> None:
        assert not self.lost_count, "bytes after the end"
        self.heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost_count += 1

    def pause_writing(self) -> None:
        self.pauses.append(True)

    def resume_writing(self) -> None:
        self.pauses.append(False)


class Arrivals:
    """Who takes sessions at the entrance: answers when a test does."""

    def __init__(self) -> None:
        self.answers: list[Callable[[bool], None]] = []
        self.offers: list[bytes] = []
        self.taken: list[tuple[bytes, int, asyncio.Transport, bytes]] = []

    def expect(self, offer: bytes, answer: Callable[[bool], None]) -> int:
        self.offers.append(offer)
        self.answers.append(answer)
        return 1_000 + len(self.offers)

    def take(
        self, session: bytes, expected: int, transport: asyncio.Transport, early: bytes
    ) -> None:
        self.taken.append((session, expected, transport, early))


class Tunnel:
    """A tunnel between two pods, not opened yet."""

    def __init__(self) -> None:
        self.two = Two(begin=self._begin).greet()
        self.client = Line()
        self.owner, self.arrivals = Owner(), Arrivals()
        self.refuses_with: str | None = None
        self.exit: Any = None
        self.closed_sessions = 0
        self.ended: list[Entrance] = []
        self.entrance = Entrance(
            self.client,
            welcome=WELCOME,
            refuse=lambda code: b"refused: " + code.encode(),
            arrivals=self.arrivals,
            closed=self.ended.append,
            max_waiting_bytes=BOUND,
        )
        self.client.protocol = self.entrance

    def open(self) -> Tunnel:
        """Lead the client to its session, until its handshake is answered."""
        self.entrance.open(self.two.a, b"opening")
        self.two.settle()
        assert self.client.taken() == WELCOME
        assert self.client.is_read
        return self

    def say(self, data: bytes) -> None:
        """Let the client send something."""
        self.entrance.data_received(data)

    @property
    def stream_count(self) -> tuple[int, int]:
        """Streams that either pod still keeps."""
        return len(self.two.a.streams), len(self.two.b.streams)

    def _begin(self, link: Link, kind: int, stream: int, payload: bytes) -> None:
        if kind != Kind.OPEN:
            return  # late news of a stream that has ended
        assert payload == b"opening"
        self.exit = Exit(link, stream, self._close_session)
        if self.refuses_with is not None:
            self.exit.refuse(self.refuses_with)
        else:
            self.exit.start(self.owner)

    def _close_session(self) -> None:
        self.closed_sessions += 1


# Opening


async def test_nothing_is_read_of_a_client_before_its_session_is_found() -> None:
    tunnel = Tunnel()
    assert not tunnel.client.is_read
    assert tunnel.client.high_bytes == BOUND
    tunnel.entrance.open(tunnel.two.a, b"opening")
    assert not tunnel.client.is_read
    tunnel.two.settle()
    assert tunnel.client.is_read


async def test_what_the_owner_writes_at_once_follows_the_handshake() -> None:
    tunnel = Tunnel()

    def begin(link: Link, kind: int, stream: int, payload: bytes) -> None:
        tunnel.exit = Exit(link, stream, lambda: None)
        tunnel.exit.write(b"early ")
        tunnel.exit.write(b"frames")
        tunnel.exit.start(tunnel.owner)

    tunnel.two.b._begin = begin
    tunnel.entrance.open(tunnel.two.a, b"opening")
    tunnel.two.settle()
    assert tunnel.client.taken() == WELCOME + b"early frames"


async def test_what_a_client_sends_with_its_handshake_reaches_the_owner_first() -> None:
    tunnel = Tunnel()
    tunnel.say(b"with the request ")
    tunnel.entrance.open(tunnel.two.a, b"opening")
    tunnel.say(b"before the answer ")
    tunnel.two.settle()
    tunnel.say(b"after it")
    tunnel.two.settle()
    assert tunnel.owner.heard == b"with the request before the answer after it"


async def test_a_client_that_sends_much_before_its_handshake_is_answered_is_cut_off() -> None:
    tunnel = Tunnel()
    tunnel.say(b"x" * 64 * 1024)
    assert not tunnel.client.is_aborted
    tunnel.say(b"x")
    assert tunnel.client.is_aborted


async def test_a_refusal_is_answered_and_the_client_is_hung_up_on() -> None:
    tunnel = Tunnel()
    tunnel.refuses_with = "unknown_session"
    tunnel.entrance.open(tunnel.two.a, b"opening")
    tunnel.two.settle()
    assert tunnel.client.taken() == b"refused: unknown_session"
    assert tunnel.client.is_closing()
    assert not tunnel.client.is_aborted
    assert (tunnel.stream_count, tunnel.ended) == ((0, 0), [tunnel.entrance])


async def test_a_client_that_has_gone_before_the_link_is_there_asks_for_nothing() -> None:
    tunnel = Tunnel()
    tunnel.client.lose()
    tunnel.entrance.open(tunnel.two.a, b"opening")
    tunnel.two.settle()
    assert (tunnel.exit, tunnel.stream_count) == (None, (0, 0))
    assert tunnel.client.taken() == b""
    assert set(tunnel.ended) == {tunnel.entrance}


async def test_a_client_that_goes_before_the_answer_ends_what_was_begun_for_it() -> None:
    tunnel = Tunnel()
    tunnel.entrance.open(tunnel.two.a, b"opening")
    tunnel.client.lose()
    tunnel.two.settle()
    assert tunnel.owner.lost_count == 1
    assert tunnel.client.taken() == b""
    assert tunnel.stream_count == (0, 0)


async def test_the_client_is_refused_where_the_link_ends_before_the_answer() -> None:
    tunnel = Tunnel()
    tunnel.entrance.open(tunnel.two.a, b"opening")
    tunnel.two.line_of_a.lose()
    assert tunnel.client.taken() == b"refused: unknown_session"
    assert tunnel.client.is_closing()
    assert tunnel.ended == [tunnel.entrance]


async def test_an_owner_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[tuple[float, Callable[[], None]]] = []

    class Timer:
        def cancel(self) -> None:
            timers.clear()

    def call_later(seconds: float, callback: Callable[[], None]) -> Timer:
        timers.append((seconds, callback))
        return Timer()

    tunnel = Tunnel()
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
    tunnel.entrance.open(tunnel.two.a, b"opening")
    ((seconds, give_up),) = timers
    assert seconds == OPEN_SECONDS
    give_up()
    assert tunnel.client.taken() == b"refused: unknown_session"
    tunnel.two.settle()  # the answer comes all the same
    assert tunnel.client.taken() == b""
    assert tunnel.owner.lost_count == 1
    assert tunnel.stream_count == (0, 0)


# Open


@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=50), st.booleans())))
def test_bytes_go_both_ways_in_order(steps: list[tuple[bool, bytes, bool]]) -> None:
    async def run() -> None:
        tunnel = Tunnel().open()
        for is_from_client, data, is_carried in steps:
            if is_from_client:
                tunnel.say(data)
            else:
                tunnel.exit.write(data)
            if is_carried:
                tunnel.two.carry()
        tunnel.two.settle()
        assert tunnel.owner.heard == b"".join(data for ours, data, _ in steps if ours)
        assert tunnel.client.taken() == b"".join(data for ours, data, _ in steps if not ours)

    asyncio.run(run())


async def test_a_client_that_takes_no_more_is_sent_no_more_until_it_does() -> None:
    tunnel = Tunnel().open()
    tunnel.exit.write(b"1 ")
    tunnel.two.settle()
    tunnel.entrance.pause_writing()
    tunnel.exit.write(b"2 ")  # crosses the news
    tunnel.two.settle()
    assert tunnel.owner.pauses == [True]
    tunnel.exit.write(b"3 ")
    tunnel.exit.write(b"4")
    tunnel.two.settle()
    assert tunnel.client.taken() == b"1 2 "
    assert tunnel.exit.get_write_buffer_size() == 3
    tunnel.entrance.resume_writing()
    tunnel.two.settle()
    assert tunnel.client.taken() == b"3 4"
    assert tunnel.owner.pauses == [True, False]
    assert tunnel.exit.get_write_buffer_size() == 0


async def test_a_client_is_not_read_while_its_owner_wants_no_more() -> None:
    tunnel = Tunnel().open()
    tunnel.exit.pause_reading()
    tunnel.two.settle()
    assert not tunnel.client.is_read
    tunnel.say(b"read before the pause took effect, ")
    tunnel.two.settle()
    assert tunnel.owner.heard == b""
    tunnel.exit.resume_reading()
    tunnel.two.settle()
    assert tunnel.client.is_read
    tunnel.say(b"and after")
    tunnel.two.settle()
    assert tunnel.owner.heard == b"read before the pause took effect, and after"


async def test_a_client_is_read_only_once_each_reason_to_wait_is_gone() -> None:
    tunnel = Tunnel().open()
    tunnel.exit.pause_reading()
    tunnel.two.settle()
    tunnel.two.a.pause_writing()
    tunnel.exit.resume_reading()
    tunnel.two.settle()
    assert not tunnel.client.is_read
    tunnel.two.a.resume_writing()
    assert tunnel.client.is_read


async def test_a_client_that_comes_while_the_link_is_full_is_not_read_either() -> None:
    tunnel = Tunnel()
    tunnel.two.a.pause_writing()
    tunnel.entrance.open(tunnel.two.a, b"opening")
    tunnel.two.settle()
    assert tunnel.client.taken() == WELCOME
    assert not tunnel.client.is_read
    tunnel.two.a.resume_writing()
    assert tunnel.client.is_read


async def test_the_session_ends_with_its_client() -> None:
    tunnel = Tunnel().open()
    tunnel.say(b"last words")
    tunnel.client.lose()
    tunnel.two.settle()
    assert (tunnel.owner.heard, tunnel.owner.lost_count) == (b"last words", 1)
    assert tunnel.exit.is_closing()
    tunnel.exit.write(b"too late")
    tunnel.exit.close()
    tunnel.exit.abort()
    tunnel.two.settle()
    await asyncio.sleep(0)
    assert (tunnel.owner.lost_count, tunnel.stream_count) == (1, (0, 0))
    assert tunnel.ended == [tunnel.entrance]


async def test_an_owner_that_hangs_up_has_all_written_first() -> None:
    tunnel = Tunnel().open()
    tunnel.entrance.pause_writing()
    tunnel.two.settle()
    tunnel.exit.write(b"goodbye")
    tunnel.exit.close()
    tunnel.exit.write(b"never said")
    tunnel.two.settle()
    assert tunnel.client.taken() == b"goodbye"
    assert tunnel.client.is_closing()
    assert not tunnel.client.is_aborted


async def test_an_owner_that_hangs_up_learns_when_the_client_is_gone() -> None:
    """As from a transport of its own: what it keeps for the connection would be left over."""
    tunnel = Tunnel().open()
    tunnel.exit.close()
    tunnel.two.settle()
    assert tunnel.owner.lost_count == 0
    tunnel.client.lose()
    tunnel.two.settle()
    assert tunnel.owner.lost_count == 1
    assert (tunnel.stream_count, tunnel.ended) == ((0, 0), [tunnel.entrance])


async def test_a_client_that_does_not_read_its_goodbye_can_still_be_cut_off() -> None:
    """Its connection would stay for as long as it likes, and be counted nowhere."""
    tunnel = Tunnel().open()
    tunnel.exit.write(b"goodbye")
    tunnel.exit.close()
    tunnel.two.settle()
    assert not tunnel.client.is_aborted
    assert tunnel.ended == [], "it still is a socket of this pod"
    tunnel.exit.abort()
    tunnel.two.settle()
    assert tunnel.client.is_aborted
    tunnel.client.lose()
    await asyncio.sleep(0)
    assert (tunnel.owner.lost_count, tunnel.stream_count) == (1, (0, 0))


async def test_an_owner_that_cuts_its_client_off_sends_nothing_that_waits() -> None:
    tunnel = Tunnel().open()
    tunnel.entrance.pause_writing()
    tunnel.two.settle()
    tunnel.exit.write(b"much")
    tunnel.exit.abort()
    assert tunnel.owner.lost_count == 0, "not within the call"
    tunnel.two.settle()
    assert tunnel.client.is_aborted
    assert tunnel.client.taken() == b""
    await asyncio.sleep(0)
    assert (tunnel.owner.lost_count, tunnel.stream_count) == (1, (0, 0))


async def test_the_end_of_the_link_ends_client_and_session() -> None:
    tunnel = Tunnel().open()
    tunnel.two.line_of_a.lose()
    tunnel.two.line_of_b.lose()
    assert tunnel.client.is_aborted
    assert tunnel.owner.lost_count == 1
    tunnel.client.lose()
    assert tunnel.owner.lost_count == 1
    assert set(tunnel.ended) == {tunnel.entrance}


async def test_a_pod_that_is_about_to_stop_has_the_session_closed() -> None:
    tunnel = Tunnel().open()
    tunnel.entrance.close_session()
    tunnel.two.settle()
    assert (tunnel.closed_sessions, tunnel.owner.lost_count) == (1, 0)


# Moving


async def offering(tunnel: Tunnel) -> asyncio.Task[bool]:
    """Let the owner offer its session."""
    task = asyncio.create_task(tunnel.exit.offer(b"offer"))
    await asyncio.sleep(0)
    return task


async def test_a_session_that_is_awaited_goes_over_with_what_came_for_it() -> None:
    tunnel = Tunnel().open()
    tunnel.say(b"before, ")
    offer = await offering(tunnel)
    tunnel.two.settle()
    assert tunnel.arrivals.offers == [b"offer"]
    assert not tunnel.client.is_read
    tunnel.arrivals.answers[0](True)
    tunnel.say(b"early")  # read before the pause took effect
    tunnel.two.settle()
    assert await offer
    assert tunnel.owner.heard == b"before, "
    tunnel.exit.write(b"the owner's last bytes")
    tunnel.exit.hand_over(b"session")
    tunnel.two.settle()
    assert tunnel.client.taken() == b"the owner's last bytes"
    assert tunnel.arrivals.taken == [(b"session", 1_001, tunnel.client, b"early")]
    assert not tunnel.client.is_read, "whoever takes it decides when"
    assert (tunnel.owner.lost_count, tunnel.stream_count) == (0, (0, 0))
    assert tunnel.ended == [tunnel.entrance]


async def test_bytes_that_cross_the_offer_reach_the_owner_before_its_answer() -> None:
    tunnel = Tunnel().open()
    offer = await offering(tunnel)
    tunnel.say(b"crosses the offer")
    tunnel.two.carry(to_b=False)
    tunnel.arrivals.answers[0](True)
    tunnel.two.settle()
    assert await offer
    assert tunnel.owner.heard == b"crosses the offer"


async def test_a_session_that_is_not_awaited_stays_and_no_byte_is_lost_or_doubled() -> None:
    tunnel = Tunnel().open()
    offer = await offering(tunnel)
    tunnel.two.settle()
    tunnel.say(b"held, ")
    tunnel.arrivals.answers[0](False)
    tunnel.say(b"and not")
    tunnel.two.settle()
    assert not await offer
    assert tunnel.client.is_read
    assert tunnel.owner.heard == b"held, and not"


async def test_a_session_that_is_kept_after_all_gets_what_was_held_back() -> None:
    tunnel = Tunnel().open()
    offer = await offering(tunnel)
    tunnel.two.settle()
    tunnel.arrivals.answers[0](True)
    tunnel.say(b"held, ")
    tunnel.two.settle()
    assert await offer
    assert tunnel.owner.heard == b""
    tunnel.exit.keep()
    tunnel.two.settle()
    tunnel.say(b"and not")
    tunnel.two.settle()
    assert tunnel.client.is_read
    assert tunnel.owner.heard == b"held, and not"
    assert tunnel.arrivals.taken == []


async def test_a_session_can_be_offered_again() -> None:
    tunnel = Tunnel().open()
    for number in (1, 2):
        offer = await offering(tunnel)
        tunnel.two.settle()
        tunnel.say(b"%d " % number)
        tunnel.arrivals.answers[-1](number == 2)
        tunnel.two.settle()
        assert await offer is (number == 2)
    tunnel.exit.hand_over(b"session")
    tunnel.two.settle()
    assert tunnel.owner.heard == b"1 "
    assert tunnel.arrivals.taken == [(b"session", 1_002, tunnel.client, b"2 ")]


async def test_what_waits_for_a_client_that_takes_no_more_goes_before_its_session() -> None:
    """It was written, so the session says that it was delivered: nobody would send it again."""
    tunnel = Tunnel().open()
    offer = await offering(tunnel)
    tunnel.two.settle()
    tunnel.arrivals.answers[0](True)
    tunnel.entrance.pause_writing()
    tunnel.two.settle()
    assert await offer
    tunnel.exit.write(b"an event")
    tunnel.exit.hand_over(b"session")
    tunnel.two.settle()
    assert tunnel.client.taken() == b"an event"
    assert tunnel.arrivals.taken == [(b"session", 1_001, tunnel.client, b"")]


async def test_an_offer_that_is_not_answered_in_time_is_withdrawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tunnel_module, "OFFER_SECONDS", 0)
    tunnel = Tunnel().open()
    assert not await tunnel.exit.offer(b"offer")
    tunnel.say(b"crosses it, ")
    tunnel.two.settle()
    assert tunnel.client.is_read
    tunnel.arrivals.answers[0](True)  # too late
    tunnel.two.settle()
    tunnel.say(b"and goes on")
    tunnel.two.settle()
    assert tunnel.owner.heard == b"crosses it, and goes on"
    assert tunnel.client.is_read


async def test_an_answer_that_is_late_does_not_answer_the_next_offer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The entrance reads its client between two offers: those bytes were lost with the session."""
    tunnel = Tunnel().open()
    monkeypatch.setattr(tunnel_module, "OFFER_SECONDS", 0)
    first = await offering(tunnel)
    tunnel.two.carry(to_b=False)
    tunnel.arrivals.answers[0](True)  # it is on its way when the owner gives up
    assert not await first
    monkeypatch.undo()
    second = await offering(tunnel)
    tunnel.two.carry(to_a=False)  # the late answer
    await asyncio.sleep(0)
    assert not second.done(), "it was given to another question"
    tunnel.two.carry(to_b=False)  # the withdrawal, and the second offer
    tunnel.say(b"early")
    tunnel.arrivals.answers[1](True)
    tunnel.two.settle()
    assert await second
    tunnel.exit.hand_over(b"session")
    tunnel.two.settle()
    assert tunnel.arrivals.taken == [(b"session", 1_002, tunnel.client, b"early")]


async def test_a_refusal_that_is_late_does_not_read_on_into_the_next_offer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tunnel = Tunnel().open()
    monkeypatch.setattr(tunnel_module, "OFFER_SECONDS", 0)
    first = await offering(tunnel)
    assert not await first
    monkeypatch.undo()
    second = await offering(tunnel)
    tunnel.two.settle()  # the offer, its withdrawal, and the second offer
    tunnel.arrivals.answers[0](False)
    tunnel.two.settle()
    assert not tunnel.client.is_read
    assert not second.done()
    tunnel.say(b"early")
    tunnel.arrivals.answers[1](True)
    tunnel.two.settle()
    assert await second
    assert tunnel.owner.heard == b""
    tunnel.exit.hand_over(b"session")
    tunnel.two.settle()
    assert tunnel.arrivals.taken == [(b"session", 1_002, tunnel.client, b"early")]


async def test_a_client_that_goes_while_its_session_is_offered_ends_it() -> None:
    tunnel = Tunnel().open()
    offer = await offering(tunnel)
    tunnel.two.settle()
    tunnel.client.lose()
    tunnel.arrivals.answers[0](True)
    tunnel.two.settle()
    assert not await offer
    assert (tunnel.owner.lost_count, tunnel.stream_count) == (1, (0, 0))


async def test_a_link_that_ends_while_a_session_is_offered_ends_both() -> None:
    tunnel = Tunnel().open()
    offer = await offering(tunnel)
    tunnel.two.settle()
    tunnel.two.line_of_a.lose()
    tunnel.two.line_of_b.lose()
    assert not await offer
    assert (tunnel.owner.lost_count, tunnel.client.is_aborted) == (1, True)
    tunnel.arrivals.answers[0](True)


async def test_a_client_that_goes_while_its_session_is_on_its_way_is_still_handed_over() -> None:
    """Whoever takes the session finds that its client has left: nobody else has it by then."""
    tunnel = Tunnel().open()
    offer = await offering(tunnel)
    tunnel.two.settle()
    tunnel.arrivals.answers[0](True)
    tunnel.two.settle()
    assert await offer
    tunnel.exit.hand_over(b"session")
    tunnel.client.lose()
    tunnel.two.settle()
    assert [taken[0] for taken in tunnel.arrivals.taken] == [b"session"]
    assert tunnel.client.is_closing()


async def test_a_session_is_gone_from_its_end_once_it_is_handed_over() -> None:
    tunnel = Tunnel().open()
    offer = await offering(tunnel)
    tunnel.two.settle()
    tunnel.arrivals.answers[0](True)
    tunnel.two.settle()
    assert await offer
    tunnel.exit.hand_over(b"session")
    assert tunnel.two.line_of_b.taken().endswith(b"session")
    tunnel.exit.write(b"late")
    tunnel.exit.close()
    tunnel.exit.abort()
    await asyncio.sleep(0)
    assert tunnel.two.line_of_b.taken() == b""
    tunnel.two.line_of_b.lose()
    assert tunnel.owner.lost_count == 0


async def test_what_is_said_for_no_offer_is_ignored() -> None:
    tunnel = Tunnel().open()
    (stream,) = tunnel.two.b.streams
    for kind in (Kind.TAKE, Kind.DECLINE, Kind.ACCEPT, Kind.ASK, Kind.OPEN):
        tunnel.two.a.send(kind, stream)
    tunnel.two.settle()
    assert (tunnel.owner.lost_count, tunnel.client.is_read) == (0, True)
    assert frames_of(tunnel.two.line_of_b.taken()) == []
