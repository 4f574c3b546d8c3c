"""A tunnel that opens: what its client is answered, and when it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from constellation_ws.peers.link import Link
from constellation_ws.peers.tunnel_entrance import OPEN_SECONDS
from constellation_ws.peers.tunnel_exit import TunnelExit
from tests.unit.peers.tunnels import BOUND, REFUSAL, WELCOME, Tunnel


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
        tunnel.exit = TunnelExit(link, stream, lambda: None)
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
    tunnel.is_refused = True
    tunnel.entrance.open(tunnel.two.a, b"opening")
    tunnel.two.settle()
    assert tunnel.client.taken() == REFUSAL
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
    assert tunnel.client.taken() == REFUSAL
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
    assert tunnel.client.taken() == REFUSAL
    tunnel.two.settle()  # the answer comes all the same
    assert tunnel.client.taken() == b""
    assert tunnel.owner.lost_count == 1
    assert tunnel.stream_count == (0, 0)
