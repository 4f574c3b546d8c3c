"""A forwarded request: one answer or none, and an end at both pods however it ends."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from constellation_ws.peers.forwarding import Forwarded, Served
from constellation_ws.peers.link import Link
from constellation_ws.peers.wire import ForwardedRequest, ForwardedResponse, Kind
from tests.peer_lines import Two
from tests.waiting import PATIENCE_SECONDS

REQUEST = ForwardedRequest("POST", "b-session", b"\x00\xff4binary\x1e4text", "00-trace-span-01")
ANSWER = ForwardedResponse(200, [(b"content-type", b"text/plain; charset=UTF-8")], b"\xffok")


class Pair:
    """Pod `a` asks, pod `b` serves."""

    def __init__(self) -> None:
        self.two = Two(begin=self._begin).greet()
        self.questions: list[ForwardedRequest] = []
        self.served: list[Served] = []
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def _begin(self, link: Link, kind: int, stream: int, payload: bytes) -> None:
        if kind == Kind.REQUEST:
            self.questions.append(msgspec.msgpack.decode(payload, type=ForwardedRequest))
            self.served.append(Served(link, stream))

    async def ask(self) -> tuple[Forwarded, asyncio.Task[ForwardedResponse | None]]:
        forwarded = Forwarded(self.two.a, REQUEST)
        task = asyncio.create_task(forwarded.response(self.gone))
        await asyncio.sleep(0)
        self.two.settle()
        return forwarded, task

    @property
    def stream_count(self) -> tuple[int, int]:
        return len(self.two.a.streams), len(self.two.b.streams)


async def until_done(task: asyncio.Task[ForwardedResponse | None]) -> ForwardedResponse | None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await task


async def test_a_question_crosses_as_it_is_and_so_does_its_answer() -> None:
    pair = Pair()
    _, task = await pair.ask()
    assert pair.questions == [REQUEST]
    pair.served[0].respond(ANSWER)
    pair.two.settle()
    assert await until_done(task) == ANSWER
    assert pair.stream_count == (0, 0)


async def test_answers_come_in_any_order() -> None:
    pair = Pair()
    tasks = [(await pair.ask())[1] for _ in range(3)]
    for number in (2, 0, 1):
        pair.served[number].respond(ForwardedResponse(200, [], b"%d" % number))
    pair.two.settle()
    answers = [await until_done(task) for task in tasks]
    assert [answer and answer.body for answer in answers] == [b"0", b"1", b"2"]


async def test_a_client_that_hangs_up_ends_the_request_at_both_pods() -> None:
    pair = Pair()
    _, task = await pair.ask()
    pair.gone.set_result(None)
    assert await until_done(task) is None
    pair.two.settle()
    assert pair.served[0].gone.done()
    assert pair.stream_count == (0, 0)
    pair.served[0].respond(ANSWER)  # nobody waits for it
    pair.two.settle()
    assert not pair.two.line_of_a.is_aborted


async def test_a_client_that_hangs_up_as_the_answer_comes_cancels_nothing() -> None:
    pair = Pair()
    _, task = await pair.ask()
    pair.served[0].respond(ANSWER)
    pair.two.settle()
    pair.gone.set_result(None)
    assert await until_done(task) == ANSWER
    pair.two.settle()
    assert not pair.served[0].gone.done()


async def test_a_request_that_is_cancelled_here_is_cancelled_there() -> None:
    pair = Pair()
    _, task = await pair.ask()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pair.two.settle()
    assert pair.served[0].gone.done()
    assert pair.stream_count == (0, 0)


async def test_the_end_of_the_link_ends_the_request_at_both_pods() -> None:
    pair = Pair()
    _, task = await pair.ask()
    pair.two.line_of_a.lose()
    pair.two.line_of_b.lose()
    assert await until_done(task) is None
    assert pair.served[0].gone.done()
    assert pair.stream_count == (0, 0)


async def test_a_pod_that_is_about_to_stop_lets_the_poll_end() -> None:
    pair = Pair()
    forwarded, task = await pair.ask()
    forwarded.finish()
    forwarded.finish()
    pair.two.settle()
    assert pair.served[0].finish.done()
    assert not task.done(), "it is answered, and not given up"
    pair.served[0].respond(ANSWER)
    pair.two.settle()
    assert await until_done(task) == ANSWER


async def test_what_is_no_answer_changes_nothing() -> None:
    pair = Pair()
    _, task = await pair.ask()
    (stream,) = pair.two.b.streams
    for kind in (Kind.DATA, Kind.ACCEPT, Kind.SESSION, Kind.PONG):
        pair.two.b.send(kind, stream, b"x")
    for kind in (Kind.DATA, Kind.OFFER, Kind.REQUEST):
        pair.two.a.send(kind, stream, b"x")
    pair.two.settle()
    pair.served[0].respond(ANSWER)
    pair.two.settle()
    assert await until_done(task) == ANSWER


async def test_an_answer_that_makes_no_sense_ends_the_link() -> None:
    pair = Pair()
    _, task = await pair.ask()
    (stream,) = pair.two.b.streams
    pair.two.b.send(Kind.RESPONSE, stream, b"\xff")
    pair.two.settle()
    assert pair.two.line_of_a.is_aborted
    pair.two.line_of_a.lose()
    assert await until_done(task) is None
