"""Who waits for a call: in turn, and not for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from constellation_ws.access import queue as access_queue
from constellation_ws.access.queue import MAX_WAIT_SECONDS, AccessQuery, Kind, Queue
from constellation_ws.messages.events import ChatId, UserId


class Waiting:
    """A queue, and whom it has refused."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.queue = Queue(lambda check: self.refused.append(check.user))

    def add(
        self, name: str, kind: Kind = Kind.JOIN, chats: int = 1, since: float = 0.0
    ) -> AccessQuery:
        check = AccessQuery(UserId(name), kind, 0, since)
        check.todo.extend(ChatId(str(n)) for n in range(chats))
        self.queue.add(check)
        return check

    def order(self, now: float = 0.0) -> Iterator[str]:
        while check := self.queue.next(now):
            yield check.user
            self.queue.step(check)


@pytest.fixture
async def waiting() -> Waiting:
    return Waiting()


async def test_joins_and_resumes_take_turns_and_each_kind_keeps_its_order(waiting: Waiting) -> None:
    for name in ("r1", "r2"):
        waiting.add(name, Kind.RESUME, chats=3)
    for name in ("j1", "j2"):
        waiting.add(name)
    assert list(waiting.order()) == ["j1", "r1", "j2", "r1", "r1", "r2", "r2", "r2"]
    assert not waiting.queue


async def test_nobody_waits_for_longer_than_the_bound(waiting: Waiting) -> None:
    late = waiting.add("late", Kind.RESUME, since=0)
    waiting.add("in time", Kind.RESUME, since=1)
    assert list(waiting.order(now=MAX_WAIT_SECONDS)) == ["in time"]
    assert waiting.refused == ["late"]
    assert late.done.result() is False


async def test_more_than_may_wait_of_a_kind_are_refused_and_the_other_kind_is_not(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_queue, "MAX_WAITING", 2)
    for name in ("r1", "r2", "r3"):
        waiting.add(name, Kind.RESUME)
    waiting.add("j1")
    assert waiting.refused == ["r3"]
    assert list(waiting.order()) == ["j1", "r1", "r2"]


async def test_a_check_that_is_over_is_passed_over(waiting: Waiting) -> None:
    waiting.add("gone").fail()
    waiting.add("stays")
    assert list(waiting.order()) == ["stays"]
    assert waiting.refused == []


async def test_a_check_that_must_ask_after_all_is_next(waiting: Waiting) -> None:
    first = waiting.add("first")
    waiting.queue.step(first)
    waiting.add("second")
    first.asked, first.done = 0, AccessQuery(UserId(""), Kind.JOIN, 0, 0).done
    first.todo.append(ChatId("x"))
    waiting.queue.put_back(first)
    waiting.queue.put_back(first)
    assert list(waiting.order()) == ["first", "second"]


async def test_those_that_came_until_a_moment_can_be_refused(waiting: Waiting) -> None:
    for kind in Kind:
        for since in (1, 2, 3):
            waiting.add(f"{kind} {since}", kind, since=since)
    waiting.queue.refuse_until(2)
    assert waiting.refused == ["join 1", "join 2", "resume 1", "resume 2"]
    waiting.queue.refuse_all()
    assert not waiting.queue
