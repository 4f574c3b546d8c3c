"""Acks of one event from all pods: when they are complete, and what does not count."""

from __future__ import annotations

import pytest
from msgspec import Raw

from constellation_ws.messages.acks import Acks
from constellation_ws.messages.events import Sid
from constellation_ws.redis_io import ack_collection
from constellation_ws.redis_io.ack_collection import (
    AckCollection,
    AckCollections,
    TooManyCollected,
)
from constellation_ws.redis_io.asking import Acked, Reached
from tests.waiting import PATIENCE_SECONDS

A, B, C = Sid("a"), Sid("b"), Sid("c")
YES = Raw(b"true")


def reached(pod: str, *sids: Sid) -> Reached:
    return Reached(list(sids), pod)


async def test_it_is_complete_when_all_pods_have_named_their_sockets_and_all_have_answered() -> (
    None
):
    one = AckCollection(7)
    for answer in (reached("p1", A, B), Acked(B, YES), reached("p2")):
        one.add(answer)
    one.expect(["p1", "p2"])
    assert await one.complete(0) == Acks({B: YES}, unanswered=1, is_complete=True)

    one.add(Acked(A, Raw(b"1")))
    assert await one.complete(PATIENCE_SECONDS) == Acks({A: Raw(b"1"), B: YES}, 0, True)


async def test_nobody_is_waited_for_where_nobody_was_reached() -> None:
    one = AckCollection(7)
    one.expect(["p1"])
    one.add(reached("p1"))
    assert await one.complete(PATIENCE_SECONDS) == Acks({}, 0, True)


async def test_a_pod_that_is_silent_makes_it_incomplete() -> None:
    one = AckCollection(7)
    one.add(reached("p1", A))
    one.add(Acked(A, YES))
    assert await one.complete(0) == Acks({A: YES}, 0, is_complete=False)  # which pods there are?
    one.expect(["p1", "p2"])
    assert await one.complete(0) == Acks({A: YES}, 0, is_complete=False)


async def test_a_socket_may_answer_on_a_pod_that_has_not_named_it_but_only_once() -> None:
    one = AckCollection(7)
    one.expect(["p1"])
    one.add(reached("p1"))
    one.add(Acked(C, YES))
    one.add(Acked(C, Raw(b"2")))
    assert await one.complete(0) == Acks({C: YES}, 0, True)


async def test_answers_beyond_the_bound_of_bytes_count_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ack_collection, "MAX_ACKS_BYTES", 5)
    one = AckCollection(7)
    one.expect(["p1"])
    for answer in (reached("p1", A, B), Acked(A, YES), Acked(B, YES)):
        one.add(answer)
    assert await one.complete(0) == Acks({A: YES}, 1, True)


async def test_the_answers_to_all_events_have_a_bound_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ack_collection, "MAX_ALL_BYTES", 5)
    collections = AckCollections()
    with collections.collecting() as one:
        with collections.collecting() as other:
            collections.add(one.ack_id, Acked(A, YES))
            collections.add(other.ack_id, Acked(B, YES))
            assert (await other.complete(0)).unanswered == 1
            assert (await one.complete(0)).by_sid == {A: YES}
        collections.add(one.ack_id, Acked(C, Raw(b"1")))
        assert (await one.complete(0)).by_sid == {A: YES, C: Raw(b"1")}


async def test_each_event_gets_its_own_acks_and_late_ones_get_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ack_collection, "MAX_COLLECTED", 2)
    monkeypatch.setattr(ack_collection, "MAX_ACK_ID", 1)
    collections = AckCollections()
    with collections.collecting() as one, collections.collecting() as other:
        assert {one.ack_id, other.ack_id} == {0, 1}
        with pytest.raises(TooManyCollected), collections.collecting():
            pass
        collections.add(one.ack_id, Acked(A, YES))
        assert (await one.complete(0)).by_sid == {A: YES}
        assert (await other.complete(0)).by_sid == {}
    collections.add(one.ack_id, Acked(A, YES))
