"""An open tunnel: bytes both ways, in order, and every way in which it can end."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.peers.tunnels import WELCOME, Tunnel


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
