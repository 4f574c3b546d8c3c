"""A link: nothing for strangers, frames to their streams, and an end that all of them learn of."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from structlog.testing import capture_logs

from constellation_ws.peers import link as link_module
from constellation_ws.peers.link import (
    FULL_BYTES,
    MOST_BYTES,
    SILENCE_SECONDS,
    Link,
    Refused,
)
from constellation_ws.peers.proof import NONCE_BYTES, Challenge, sign_welcome
from constellation_ws.peers.wire import MAX_GREETING_BYTES, VERSION, Kind, frame
from tests.peer_lines import (
    KEY,
    OTHER_KEY,
    Heard,
    Two,
    challenge_frame,
    challenge_of,
    frames_of,
    proof_for,
    proof_frame,
    trusts,
)


def kinds(data: bytes) -> list[int]:
    return [one.kind for one in frames_of(data)]


async def refusal_of(link: Link) -> str:
    with pytest.raises(Refused) as refused:
        await link.greeted
    return str(refused.value)


# Greeting


async def test_two_pods_prove_to_each_other_who_they_are() -> None:
    two = Two()
    assert not trusts(two.a)
    assert not trusts(two.b)
    two.settle()
    assert trusts(two.a)
    assert trusts(two.b)
    assert two.refused_count == 0


@pytest.mark.parametrize("shared", [0, 1, 2], ids=["current", "previous", "next"])
async def test_pods_that_know_of_different_periods_still_meet(shared: int) -> None:
    keys = [bytes((number,)) * 32 for number in range(3)]
    Two(keys_of_a=[keys[shared]], keys_of_b=keys).greet()


async def test_pods_of_two_deployments_do_not_meet() -> None:
    two = Two(keys_of_a=[KEY], keys_of_b=[OTHER_KEY])
    two.settle()
    assert two.refused_count == 1
    assert two.line_of_b.is_aborted
    assert not trusts(two.b)
    two.line_of_a.lose()
    assert await refusal_of(two.a) == "the connection was closed"


async def test_a_pod_that_has_taken_the_address_of_another_refuses() -> None:
    two = Two(wanted="c")
    two.settle()
    assert (two.refused_count, two.line_of_b.is_aborted, trusts(two.b)) == (1, True, False)


async def test_a_pod_without_keys_neither_connects_nor_accepts() -> None:
    two = Two(keys_of_a=[])
    two.settle()
    assert two.line_of_a.is_aborted
    assert "no key" in await refusal_of(two.a)
    two = Two(keys_of_b=[])
    two.settle()
    assert two.line_of_b.is_aborted


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind != Kind.PROOF] + [0, 99, 255])
async def test_nothing_is_done_for_who_has_not_proven_to_be_a_pod(kind: int) -> None:
    two = Two()
    two.line_of_b.taken()
    two.b.data_received(frame(kind, 7, b"anything") + frame(Kind.REQUEST, 8))  # type: ignore[arg-type]
    assert two.line_of_b.is_aborted
    assert two.line_of_b.taken() == b""
    assert (two.begun, two.refused_count, trusts(two.b)) == ([], 1, False)


async def test_what_follows_a_wrong_proof_is_not_read() -> None:
    two = Two()
    proof = proof_for(challenge_of(two.line_of_b.taken()), key=OTHER_KEY)
    two.b.data_received(proof_frame(proof) + frame(Kind.REQUEST, 1, b"request"))
    assert (two.begun, two.line_of_b.taken(), two.line_of_b.is_aborted) == ([], b"", True)


async def test_what_follows_a_right_proof_in_the_same_read_is_taken() -> None:
    two = Two()
    proof = proof_for(challenge_of(two.line_of_b.taken()))
    large = b"x" * (4 * MAX_GREETING_BYTES)
    two.b.data_received(proof_frame(proof) + frame(Kind.OPEN, 1, large))
    assert two.begun == [(Kind.OPEN, 1, large)]


async def test_each_link_has_a_challenge_of_its_own() -> None:
    nonces = {challenge_of(Two().line_of_b.taken()).nonce for _ in range(100)}
    assert len(nonces) == 100
    assert {len(nonce) for nonce in nonces} == {NONCE_BYTES}


async def test_a_proof_that_was_overheard_opens_no_other_link() -> None:
    first, second = Two(), Two()
    first.carry()
    overheard = first.line_of_a.taken()
    first.b.data_received(overheard)
    second.b.data_received(overheard)
    assert trusts(first.b)
    assert not trusts(second.b)
    assert second.line_of_b.is_aborted


async def test_a_proof_said_twice_on_its_own_link_changes_nothing() -> None:
    two = Two()
    said = proof_frame(proof_for(challenge_of(two.line_of_b.taken())))
    two.b.data_received(said + said)
    assert (trusts(two.b), two.line_of_b.is_aborted) == (True, False)
    assert kinds(two.line_of_b.taken()) == [Kind.WELCOME]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"no message pack",
        msgspec.msgpack.encode(("a", "b", b"n" * NONCE_BYTES)),
        msgspec.msgpack.encode((1, 2, 3, 4)),
        msgspec.msgpack.encode({"instance": "a"}),
        msgspec.msgpack.encode(("a", "b", "n" * NONCE_BYTES, b"")),
        msgspec.msgpack.encode((b"\xff", "b", b"n" * NONCE_BYTES, b"")),
        b"\x94\xa1\xff\xa1b\xc4\x00\xc4\x00",  # a name that is not UTF-8
        b"\x95\xa1a\xa1b\xc4\x00\xc4\x00" + b"\x91" * 400,
    ],
)
async def test_a_proof_that_makes_no_sense_is_refused(payload: bytes) -> None:
    two = Two()
    two.b.data_received(frame(Kind.PROOF, 0, payload))
    assert (two.line_of_b.is_aborted, two.refused_count, trusts(two.b)) == (True, 1, False)


@pytest.mark.parametrize(
    "said",
    [
        b"GET /metrics HTTP/1.1\r\nHost: pod\r\n\r\n",
        b"\xff" * 9,
        b"\x00\x00\x00\x00\x0a\x00\x00\x00\x01",
        (MAX_GREETING_BYTES + 1).to_bytes(4) + b"\x02\x00\x00\x00\x00",
    ],
    ids=["HTTP", "huge", "shorter than its head", "a byte too large"],
)
async def test_garbage_from_a_stranger_ends_the_connection_and_is_counted(said: bytes) -> None:
    two = Two()
    with capture_logs() as logs:
        two.b.data_received(said)
    assert two.line_of_b.is_aborted
    assert two.refused_count == 1
    assert logs == [], "whoever scans ports must not fill the log"


async def test_a_silent_stranger_is_closed_after_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[float] = []

    class Timer:
        def cancel(self) -> None:
            asked.clear()

    loop = asyncio.get_running_loop()
    timers: list[object] = []

    def call_later(seconds: float, callback: object) -> Timer:
        asked.append(seconds)
        timers.append(callback)
        return Timer()

    monkeypatch.setattr(loop, "call_later", call_later)
    silent, pod = Two(), Two()
    pod.greet()
    give_up, give_up_pod = timers
    monkeypatch.undo()
    assert asked == [], "who has proven itself is not waited for"
    give_up()  # type: ignore[operator]
    give_up_pod()  # type: ignore[operator]
    assert (silent.line_of_b.is_aborted, silent.refused_count) == (True, 1)
    assert (pod.line_of_b.is_aborted, pod.refused_count) == (False, 0)


async def test_a_stranger_that_hangs_up_leaves_no_timer() -> None:
    two = Two()
    two.line_of_b.lose()
    assert await refusal_of(two.b) == "the connection was closed"
    assert two.b._timer.cancelled()


@pytest.mark.parametrize(
    "said",
    [
        frame(Kind.WELCOME, 0, b"w" * 32),
        frame(Kind.RESPONSE, 1, b""),
        frame(Kind.SESSION, 1, b""),
        frame(Kind.PING, 0),
        challenge_frame(version=VERSION + 1),
        challenge_frame(nonce=b"c" * (NONCE_BYTES - 1)),
        challenge_frame(nonce=b""),
        frame(Kind.CHALLENGE, 0, b"\xff"),
        challenge_frame() + challenge_frame(),
        challenge_frame() + frame(Kind.WELCOME, 0, b"w" * 32),
        challenge_frame() + frame(Kind.WELCOME, 0, b""),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_whoever_listens_there_has_to_prove_to_be_a_pod_too(said: bytes) -> None:
    two = Two()
    stream = Heard()
    two.open(stream)
    two.a.data_received(said)
    # On a machine that stands still what is left of a read is handled in the loop's next turn.
    assert await refusal_of(two.a)
    assert two.line_of_a.is_aborted
    assert stream.frames == []


async def test_a_welcome_for_the_proof_of_another_link_is_refused() -> None:
    two, other = Two(), Two()
    two.carry()
    other.carry()
    challenge = Challenge(VERSION, b"c" * NONCE_BYTES)
    foreign = sign_welcome(KEY, challenge, proof_for(challenge))
    two.a.data_received(frame(Kind.WELCOME, 0, foreign))
    assert not trusts(two.a)
    assert two.line_of_a.is_aborted


# Streams


async def test_frames_reach_their_own_stream_both_ways() -> None:
    two = Two().greet()
    one, other = Heard(), Heard()
    numbers = two.open(one), two.open(other)
    assert len(set(numbers)) == 2
    for number in numbers:
        two.a.send(Kind.OPEN, number, b"%d" % number)
    two.settle()
    assert two.begun == [(Kind.OPEN, number, b"%d" % number) for number in numbers]
    for number in reversed(numbers):
        two.b.send(Kind.DATA, number, b"for %d" % number)
    two.settle()
    assert one.frames == [(Kind.DATA, b"for %d" % numbers[0])]
    assert other.frames == [(Kind.DATA, b"for %d" % numbers[1])]


async def test_what_comes_for_a_stream_that_has_ended_is_ignored() -> None:
    two = Two().greet()
    stream = Heard()
    number = two.open(stream)
    two.a.release(number)
    two.b.send(Kind.DATA, number, b"late")
    two.b.send(Kind.SESSION, 4_000, b"never begun")
    two.settle()
    assert stream.frames == []
    assert not two.line_of_a.is_aborted


async def test_unknown_kinds_are_ignored_by_streams_that_do_not_exist() -> None:
    two = Two().greet()
    two.a.data_received(b"\x00\x00\x00\x05\xc8\x00\x00\x00\x09")
    two.a.data_received(b"\x00\x00\x00\x05\xc8\x00\x00\x00\x00")
    assert not two.line_of_a.is_aborted


async def test_stream_numbers_are_not_given_twice_when_they_begin_again() -> None:
    two = Two().greet()
    first = two.open(Heard())
    two.a._last = 0xFFFF_FFFE
    assert two.open(Heard()) == 0xFFFF_FFFF
    assert two.open(Heard()) == first + 1, "0 is the link, and the first one is in use"


async def test_a_ping_is_answered_and_reaches_no_stream() -> None:
    two = Two().greet()
    two.b.data_received(frame(Kind.PING, 0))
    assert kinds(two.line_of_b.taken()) == [Kind.PONG]
    two.b.data_received(frame(Kind.PONG, 0))
    assert two.begun == []


async def test_too_large_a_frame_of_a_pod_ends_the_link_and_is_logged() -> None:
    two = Two().greet()
    with capture_logs() as logs:
        two.a.data_received((64 * 1024 * 1024 + 1).to_bytes(4) + b"\x17\x00\x00\x00\x01")
    assert two.line_of_a.is_aborted
    assert [one["event"] for one in logs] == ["a link to another pod is closed"]


async def test_the_end_of_a_link_is_reported_to_each_of_its_streams_once() -> None:
    two = Two().greet()
    streams = [Heard() for _ in range(3)]
    for stream in streams:
        two.open(stream)
    two.line_of_a.lose()
    two.a.connection_lost(None)
    assert [stream.lost_count for stream in streams] == [1, 1, 1]
    assert two.a.closed.done()
    assert two.a.streams == {}


async def test_a_stream_that_begins_on_a_link_that_has_ended_is_lost() -> None:
    two = Two().greet()
    two.line_of_a.lose()
    late = Heard()
    two.open(late)
    await asyncio.sleep(0)
    assert late.lost_count == 1


async def test_a_stream_that_ends_another_while_the_link_ends_breaks_nothing() -> None:
    two = Two().greet()
    number = 0

    class Ending(Heard):
        def lost(self) -> None:
            super().lost()
            two.a.release(number)

    one, other = Ending(), Heard()
    two.open(one)
    number = two.open(other)
    two.line_of_a.lose()
    assert (one.lost_count, other.lost_count) == (1, 1)


async def test_nothing_is_sent_once_the_link_is_gone() -> None:
    two = Two().greet()
    two.a.abort()
    two.a.send(Kind.DATA, 1, b"late")
    assert two.line_of_a.taken() == b""


# Signs of life, and what is too much


async def test_a_link_that_is_silent_for_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Two().greet()
    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(two.a._loop, "time", lambda: now)
    two.a.last_received_at = now - SILENCE_SECONDS + 0.1
    two.a.check()
    assert kinds(two.line_of_a.taken()) == [Kind.PING]
    two.a.last_received_at = now - SILENCE_SECONDS - 0.1
    with capture_logs() as logs:
        two.a.check()
    assert two.line_of_a.is_aborted
    assert [one["log_level"] for one in logs] == ["warning"]


async def test_any_byte_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large frame may take long to come, and no other can come meanwhile."""
    two = Two().greet()
    monkeypatch.setattr(two.a._loop, "time", lambda: 1e9)
    two.a.data_received(b"\x00")
    two.a.check()
    assert not two.line_of_a.is_aborted


async def test_a_link_that_takes_too_little_ends_and_its_streams_with_it() -> None:
    two = Two().greet()
    stream = Heard()
    number = two.open(stream)
    two.line_of_a.unsent_bytes = MOST_BYTES
    two.a.send(Kind.DATA, number, b"x")
    two.a.flush()
    assert not two.line_of_a.is_aborted
    two.line_of_a.unsent_bytes = MOST_BYTES + 1
    two.a.send(Kind.DATA, number, b"x")
    two.a.flush()
    assert two.line_of_a.is_aborted
    two.line_of_a.lose()
    assert stream.lost_count == 1


async def test_streams_learn_that_the_link_is_full_and_that_it_is_not() -> None:
    two = Two().greet()
    stream = Heard()
    two.open(stream)
    assert two.line_of_a.high_bytes == FULL_BYTES
    two.a.pause_writing()
    assert two.a.is_full
    two.a.resume_writing()
    assert not two.a.is_full
    assert stream.fullness == [True, False]


async def test_a_read_of_many_frames_is_taken_in_turns_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Forty thousand frames in one read must not hold everybody else up."""

    class OneEach:
        is_over = True

    monkeypatch.setattr(link_module, "Turn", OneEach)
    two = Two().greet()
    await _turns(5)
    two.b.data_received(b"".join(frame(Kind.REQUEST, number) for number in range(1, 101)))
    assert len(two.begun) == 1
    assert not two.line_of_b.is_read, "else what follows would overtake"
    await _turns(101)
    assert [stream for _, stream, _ in two.begun] == list(range(1, 101))
    assert two.line_of_b.is_read


async def test_frames_that_wait_for_their_turn_are_dropped_with_the_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class OneEach:
        is_over = True

    two = Two().greet()
    monkeypatch.setattr(link_module, "Turn", OneEach)
    two.b.data_received(frame(Kind.REQUEST, 1) + frame(Kind.REQUEST, 2))
    two.line_of_b.lose()
    await _turns(3)
    assert [stream for _, stream, _ in two.begun] == [1]


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
