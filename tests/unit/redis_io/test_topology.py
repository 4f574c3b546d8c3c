"""Whom to believe, when to ask, and who is told. Real servers: test_redis_client, journeys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from constellation_ws.redis_io import topology as redis_topology
from constellation_ws.redis_io.address import Node
from constellation_ws.redis_io.topology import (
    FixedTopology,
    NoReport,
    ReportedTopology,
    TopologyReport,
    is_news,
    newest,
)
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

A, B, C = ("a", 1), ("b", 2), ("c", 3)


class Told:
    """A listener that keeps what it was told."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def moved(self, node: Node) -> None:
        self.nodes.append(node)


class World:
    """Three witnesses in the places of Sentinels, each with its own idea of the primary."""

    def __init__(self) -> None:
        self.reports: dict[Node, TopologyReport | Exception | None] = {
            node: TopologyReport(A, 1, ()) for node in (A, B, C)
        }
        """None hangs."""
        self.asked = 0
        self.topology = ReportedTopology(self, lambda node: Redis())

    def whom(self, last: TopologyReport | None) -> Sequence[Node]:
        return (A, B, C)

    async def ask(self, redis: Redis, node: Node) -> TopologyReport:
        self.asked += 1
        answer = self.reports[node]
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer

    def describe(self, faults: str) -> str:
        return f"nobody says ({faults})"

    def all_say(self, report: TopologyReport) -> None:
        self.reports = dict.fromkeys(self.reports, report)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(redis_topology, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(redis_topology, "_ROUND_SECONDS", 0.1)
    return World()


@asynccontextmanager
async def watching(world: World) -> AsyncIterator[None]:
    task = asyncio.create_task(world.topology.poll())
    try:
        yield
    finally:
        await cancelled([task])


async def rounds(world: World, count: int) -> None:
    """Wait until all have been asked so often again."""
    until = world.asked + 3 * (count + 1)
    await eventually(lambda: world.asked >= until, PATIENCE_SECONDS, "asked again")


def test_the_highest_epoch_counts_whatever_the_number_of_those_who_know_it() -> None:
    old, new = TopologyReport(A, 1, ()), TopologyReport(B, 2, ())
    assert newest([old, old, new]) == new
    assert newest([]) is None


def test_among_equal_epochs_the_most_count() -> None:
    one, other = TopologyReport(A, 0, ()), TopologyReport(B, 0, ())
    assert newest([one, other, other]) == other


@pytest.mark.parametrize(
    ("report", "news"),
    [
        (TopologyReport(B, 6, ()), True),
        (TopologyReport(A, 6, ()), True),
        (TopologyReport(A, 1, ()), True),  # the same node; its others may have changed
        (TopologyReport(B, 5, ()), False),
        (TopologyReport(B, 4, ()), False),
    ],
)
def test_without_a_fault_only_a_newer_epoch_moves_us(report: TopologyReport, news: bool) -> None:
    assert is_news(report, TopologyReport(A, 5, ())) is news
    assert is_news(report, None)


async def test_many_who_connect_at_once_ask_once(world: World) -> None:
    found = await asyncio.gather(*(world.topology.locate() for _ in range(50)))
    assert set(found) == {A}
    assert await world.topology.locate() == A
    assert world.asked == 3


async def test_many_who_fail_at_once_share_the_failure_and_its_reasons(world: World) -> None:
    world.reports = {A: redis.TimeoutError("x"), B: None, C: NoReport("it watches no such primary")}
    locating = (world.topology.locate() for _ in range(50))
    found = await asyncio.gather(*locating, return_exceptions=True)
    texts = {str(error) for error in found if isinstance(error, redis.ConnectionError)}
    assert texts == {
        "nobody says (a:1: it does not answer; b:2: it does not answer; "
        "c:3: it watches no such primary)"
    }
    assert len(found) == 50
    assert world.asked == 3


async def test_a_doubt_is_settled_by_asking_and_listeners_are_told(world: World) -> None:
    listener = Told()
    world.topology.listen(listener)
    assert await world.topology.locate() == A
    world.all_say(TopologyReport(B, 2, ()))
    assert await world.topology.locate() == A
    assert listener.nodes == []
    world.topology.doubt()
    assert await world.topology.locate() == B
    assert listener.nodes == [B]


async def test_a_witness_that_was_cut_off_is_not_believed_although_it_answers_first(
    world: World,
) -> None:
    class Late(World):
        async def ask(self, redis: Redis, node: Node) -> TopologyReport:
            if node != A:
                await asyncio.sleep(0)
            return await super().ask(redis, node)

    world = Late()
    world.all_say(TopologyReport(B, 2, ()))
    world.reports[A] = TopologyReport(A, 1, ())
    assert await world.topology.locate() == B


async def test_where_nobody_answers_the_last_one_known_is_tried(world: World) -> None:
    assert await world.topology.locate() == A
    world.reports = {node: redis.ConnectionError("gone") for node in world.reports}
    world.topology.doubt()
    asked = world.asked
    assert await world.topology.locate() == A
    assert await world.topology.locate() == A
    assert world.asked == asked + 3  # once: every command would wait for them
    world.topology.doubt()
    assert await world.topology.locate() == A
    assert world.asked == asked + 6


async def test_after_a_fault_a_lower_epoch_is_believed_where_all_say_so(world: World) -> None:
    world.all_say(TopologyReport(A, 9, ()))
    assert await world.topology.locate() == A
    world.all_say(TopologyReport(B, 1, ()))  # set up from scratch
    world.topology.doubt()
    assert await world.topology.locate() == B


async def test_a_watcher_finds_a_newer_primary_by_itself_also_where_one_hangs(world: World) -> None:
    listener = Told()
    world.topology.listen(listener)
    await world.topology.locate()
    async with watching(world):
        world.reports = {A: None, B: TopologyReport(B, 2, ()), C: TopologyReport(B, 2, ())}
        await eventually(lambda: listener.nodes == [B], PATIENCE_SECONDS, "told")
        assert await world.topology.locate() == B


async def test_a_watcher_is_not_moved_by_one_that_knows_only_what_was(world: World) -> None:
    world.all_say(TopologyReport(B, 2, ()))
    listener = Told()
    world.topology.listen(listener)
    await world.topology.locate()
    async with watching(world):
        world.reports = {A: TopologyReport(A, 1, ()), B: None, C: redis.ConnectionError("gone")}
        await rounds(world, 2)
    assert listener.nodes == []
    assert await world.topology.locate() == B


async def test_an_answer_that_makes_no_sense_is_a_fault_of_that_witness(world: World) -> None:
    world.reports[A] = IndexError("no such word")
    async with watching(world):
        await rounds(world, 2)
        assert await world.topology.locate() == A


async def test_an_answer_at_the_very_end_of_a_round_ends_nothing(world: World) -> None:
    class Late(World):
        async def ask(self, redis: Redis, node: Node) -> TopologyReport:
            try:
                return await super().ask(redis, node)
            except asyncio.CancelledError:
                return TopologyReport(A, 1, ())  # it had arrived already

    world = Late()
    world.reports = dict.fromkeys(world.reports)
    assert await world.topology.locate() == A


async def test_a_fixed_one_never_moves_and_names_the_form_that_a_cluster_needs() -> None:
    topology = FixedTopology(("::1", 6379))
    topology.doubt()
    assert await topology.locate() == ("::1", 6379)
    error: Any = topology.judge(redis.exceptions.MovedError("1 10.0.0.1:6379"))
    assert isinstance(error, redis.ConnectionError)
    assert str(error).startswith("[::1]:6379: it is one node of a Redis Cluster")
    assert "redis+cluster://" in str(error)
    other = redis.ResponseError("OOM")
    assert topology.judge(other) is other
