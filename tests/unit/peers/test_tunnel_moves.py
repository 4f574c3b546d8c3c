"""A session that is offered to the pod of its client through the tunnel, and moves there."""

from __future__ import annotations

import asyncio

import pytest

from constellation_ws.peers import tunnel_exit
from constellation_ws.peers.wire import Kind
from tests.peer_lines import frames_of
from tests.unit.peers.tunnels import Tunnel


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
    tunnel.exit.send_session(b"session")
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
    tunnel.exit.send_session(b"session")
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
    tunnel.exit.send_session(b"session")
    tunnel.two.settle()
    assert tunnel.client.taken() == b"an event"
    assert tunnel.arrivals.taken == [(b"session", 1_001, tunnel.client, b"")]


async def test_an_offer_that_is_not_answered_in_time_is_withdrawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tunnel_exit, "OFFER_SECONDS", 0)
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
    monkeypatch.setattr(tunnel_exit, "OFFER_SECONDS", 0)
    first = await offering(tunnel)
    tunnel.two.carry(to_b=False)
    tunnel.arrivals.answers[0](True)  # it is on its way when the owner gives up
    assert not await first
    monkeypatch.undo()
    second = await offering(tunnel)
    tunnel.two.carry(to_a=False)  # the late answer
    await asyncio.sleep(0)
    assert not second.done(), "it was given to another request"
    tunnel.two.carry(to_b=False)  # the withdrawal, and the second offer
    tunnel.say(b"early")
    tunnel.arrivals.answers[1](True)
    tunnel.two.settle()
    assert await second
    tunnel.exit.send_session(b"session")
    tunnel.two.settle()
    assert tunnel.arrivals.taken == [(b"session", 1_002, tunnel.client, b"early")]


async def test_a_refusal_that_is_late_does_not_read_on_into_the_next_offer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tunnel = Tunnel().open()
    monkeypatch.setattr(tunnel_exit, "OFFER_SECONDS", 0)
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
    tunnel.exit.send_session(b"session")
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
    tunnel.exit.send_session(b"session")
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
    tunnel.exit.send_session(b"session")
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
    for kind in (Kind.TAKE, Kind.DECLINE, Kind.ACCEPT, Kind.REQUEST, Kind.OPEN):
        tunnel.two.a.send(kind, stream)
    tunnel.two.settle()
    assert (tunnel.owner.lost_count, tunnel.client.is_read) == (0, True)
    assert frames_of(tunnel.two.line_of_b.taken()) == []
