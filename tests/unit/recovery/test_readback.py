"""Reading back from the log: once for all who wait, page by page, and all or nothing."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from constellation_ws.delivery.routes import RoutedEvent
from constellation_ws.log.ids import BEGINNING, LogId, format_id
from constellation_ws.log.layout import Logged
from constellation_ws.log.reading import Page
from constellation_ws.log.recent_entries import RecentEntries
from constellation_ws.log.segment import Segment
from constellation_ws.messages.events import EventName, Fields
from constellation_ws.recovery import readback
from constellation_ws.recovery.readback import Gone, Readback
from constellation_ws.recovery.replay import DecodedEntries, Meaning, ReplayLimits, Walk
from constellation_ws.redis_io.link import RedisUnavailable
from tests.waiting import PATIENCE_SECONDS, cancelled

LIMITS = ReplayLimits(10_000, 1 << 20)


class Log:
    """A log in this process; its pages can be held up and watched."""

    def __init__(self) -> None:
        self.entries: list[Logged] = []
        self.gone_up_to: LogId = BEGINNING
        self.pages: list[int] = []
        """How many entries each page had that was read."""
        self.on_page: Callable[[], None] = lambda: None
        self.is_away = False

    def add(self, count: int, payload: bytes = b"") -> None:
        first = len(self.entries) + 1
        self.entries += [
            (format_id((n, 0)), b"c", payload or b"%d" % n) for n in range(first, first + count)
        ]

    def trim(self, up_to: int) -> None:
        self.gone_up_to = (up_to, 0)

    def _after(self, log_id: LogId) -> int:
        return bisect_right(self.entries, log_id, key=_id)

    async def page(self, after: LogId, up_to: LogId, count: int) -> Page:
        await asyncio.sleep(0)
        if self.is_away:
            raise RedisUnavailable
        first = self._after(max(after, self.gone_up_to))
        found = self.entries[first : min(first + count, self._after(up_to))]
        self.pages.append(len(found))
        self.on_page()
        return Page(found, len(found), is_last=len(found) < count)

    async def trimmed(self, up_to: LogId) -> LogId:
        await asyncio.sleep(0)
        if self.is_away:
            raise RedisUnavailable
        return self.gone_up_to

    async def holds(self, log_id: LogId) -> bool:
        await asyncio.sleep(0)
        before = self._after(log_id) - 1
        return before >= 0 and _id(self.entries[before]) == log_id > self.gone_up_to


def _id(entry: Logged) -> LogId:
    milliseconds, _, sequence = entry[0].partition(b"-")
    return int(milliseconds), int(sequence)


def read(channel: bytes, payload: bytes) -> Meaning:
    """An entry whose number ends with n is for user n; all others are for the crowd."""
    room = b"user:%b" % payload[-1:] if payload.isdigit() else b"crowd"
    return RoutedEvent(EventName("e"), Fields(), [room.decode()], (), ())


class Pod:
    """What reads back, with its memory, which begins where the test lets it."""

    def __init__(self, max_bytes: int = 1 << 26) -> None:
        self.log = Log()
        self.recent = RecentEntries(max_bytes)
        self.entries = DecodedEntries(read, 1 << 22)
        self.readback = Readback(self.log, self.recent, self.entries)  # type: ignore[arg-type]

    def remember_from(self, lower_bound: int) -> None:
        """Let memory hold what comes after an entry."""
        self.recent.start((lower_bound, 0))
        self.recent.append(self.log.entries[lower_bound:])

    async def resume(
        self, start: int, *rooms: str, limits: ReplayLimits = LIMITS, seen: int = 0
    ) -> list[int]:
        """Do what `missed` does with a session, without its deadline; give what was missed."""
        while True:
            walk = Walk(
                "sid", rooms, [], rooms_at=(start, 0), seen=(seen or start, 0), limits=limits
            )
            while walk.cursor < self.recent.lower_bound:
                if not await self.readback.lead(walk):
                    break
                if walk.is_too_much:
                    return [-1]
            else:
                assert self.recent.index(self.entries.concerned, 1 << 30)
                assert walk.advance(self.recent, self.entries, 1 << 30)
                return [int(frame.offset.partition(b"-")[0]) for frame in walk.end().frames]


@pytest.fixture
async def pod() -> AsyncIterator[Pod]:
    pod = Pod()
    task = asyncio.create_task(pod.readback.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        yield pod
    assert not task.done()
    await cancelled([task])


def multiples(of: int, after: int, up_to: int) -> list[int]:
    """Give the entries for a user, as `read` says them."""
    return [n for n in range(after + 1, up_to + 1) if n % 10 == of]


@pytest.mark.parametrize("count", [1, 31, 32, 33, 250, 5_000])
async def test_what_is_in_memory_no_more_is_read_from_the_log(pod: Pod, count: int) -> None:
    pod.log.add(count + 100)
    pod.remember_from(count)
    for start in {0, 1, count // 2, count - 1, count}:
        assert await pod.resume(start, "user:1", "user:7") == sorted(
            multiples(1, start, count + 100) + multiples(7, start, count + 100)
        )


async def test_twenty_at_once_read_the_log_once(pod: Pod) -> None:
    """Each read it for itself, and held all of it: memory rose from 161 to 1,848 MB."""
    pod.log.add(20_000)
    pod.remember_from(19_000)
    starts = [15_000 + 100 * n for n in range(20)]
    results = await asyncio.gather(
        *(pod.resume(start, f"user:{n % 10}") for n, start in enumerate(starts))
    )
    for n, start in enumerate(starts):
        assert results[n] == multiples(n % 10, start, 20_000)
    assert sum(pod.log.pages) == 4_000


async def test_what_was_read_back_is_in_memory_for_the_next(pod: Pod) -> None:
    pod.log.add(2_000)
    pod.remember_from(1_500)
    await pod.resume(500, "user:1")
    pages = len(pod.log.pages)
    assert pod.recent.lower_bound == (500, 0)
    assert await pod.resume(600, "user:3") == multiples(3, 600, 2_000)
    assert len(pod.log.pages) == pages


async def test_of_what_was_read_back_memory_keeps_what_there_is_room_for(pod: Pod) -> None:
    pod.log.add(30_000)
    pod.recent = RecentEntries(600_000)
    pod.remember_from(29_900)
    pod.readback = Readback(pod.log, pod.recent, pod.entries)  # type: ignore[arg-type]
    task = asyncio.create_task(pod.readback.run())
    assert await pod.resume(10, "user:3") == multiples(3, 10, 30_000)
    await cancelled([task])
    assert pod.recent.free_bytes >= 0
    assert (10, 0) < pod.recent.lower_bound < (29_900, 0)
    entries = [one for part in pod.recent.after(pod.recent.lower_bound) for one in _entries(part)]
    assert entries == pod.log.entries[pod.recent.lower_bound[0] :]


def _entries(segment: Segment) -> list[Logged]:
    return [segment.entry_at(place) for place in range(len(segment))]


async def test_large_entries_are_read_a_few_at_a_time(pod: Pod) -> None:
    pod.log.add(60, b"1")
    pod.log.add(600, b"x" * 100_000)
    pod.remember_from(650)
    await pod.resume(10, "user:1")
    assert max(pod.log.pages[3:]) * 100_000 < 2 * readback._PAGE_BYTES


async def test_who_comes_while_it_is_read_comes_along_or_waits_for_the_next(pod: Pod) -> None:
    pod.log.add(20_000)
    pod.remember_from(19_000)
    late: list[asyncio.Task[list[int]]] = []

    def come() -> None:
        if len(pod.log.pages) == 20:
            late.extend(
                asyncio.ensure_future(pod.resume(start, "user:2")) for start in (3, 8_000, 18_500)
            )

    pod.log.on_page = come
    assert await pod.resume(5_000, "user:1") == multiples(1, 5_000, 20_000)
    for task, start in zip(late, (3, 8_000, 18_500), strict=True):
        assert await task == multiples(2, start, 20_000)


async def test_who_comes_to_the_same_place_before_anything_is_read_comes_along(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod.log.add(2_000)
    pod.remember_from(1_500)
    late: list[asyncio.Task[list[int]]] = []
    holds = pod.log.holds

    async def come(log_id: LogId) -> bool:
        late.append(asyncio.ensure_future(pod.resume(500, "user:2")))
        await asyncio.sleep(0)
        return await holds(log_id)

    monkeypatch.setattr(pod.log, "holds", come)
    assert await pod.resume(500, "user:1") == multiples(1, 500, 2_000)
    assert await late[0] == multiples(2, 500, 2_000)
    assert sum(pod.log.pages) == 1_000


async def test_what_memory_lets_go_while_it_is_read_is_read_too(pod: Pod) -> None:
    pod.log.add(5_000)
    pod.remember_from(2_000)

    def forget() -> None:
        if len(pod.log.pages) == 4:
            pod.log.add(100)
            pod.remember_from(4_000)
            pod.recent.starts -= 1  # the same log

    pod.log.on_page = forget
    assert await pod.resume(100, "user:1") == multiples(1, 100, 5_100)


async def test_one_that_missed_too_much_does_not_hold_up_the_others(pod: Pod) -> None:
    pod.log.add(5_000)
    pod.remember_from(4_900)
    few = ReplayLimits(10, 1 << 20)
    results = await asyncio.gather(
        pod.resume(10, "user:1", limits=few), pod.resume(10, "user:2"), pod.resume(4_800, "user:3")
    )
    assert results == [[-1], multiples(2, 10, 5_000), multiples(3, 4_800, 5_000)]


async def test_what_all_have_found_is_bounded_and_nobody_is_lost(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readback, "_MAX_FOUND_BYTES", 3_000)
    pod.log.add(10_000)
    pod.remember_from(9_000)
    results = await asyncio.gather(*(pod.resume(10, f"user:{n}") for n in range(5)))
    assert results == [multiples(n, 10, 10_000) for n in range(5)]


GONE = [
    pytest.param(5, 6, id="the entry after it was trimmed"),
    pytest.param(5, 50, id="all of it was trimmed"),
]


@pytest.mark.parametrize(("start", "trimmed"), GONE)
async def test_a_session_whose_place_was_trimmed_gets_nothing(
    pod: Pod, start: int, trimmed: int
) -> None:
    pod.log.add(200)
    pod.remember_from(100)
    pod.log.trim(trimmed)
    others = [pod.resume(trimmed, "user:1"), pod.resume(60, "user:2")]
    gone, *rest = await asyncio.gather(pod.resume(start, "user:3"), *others, return_exceptions=True)
    assert isinstance(gone, Gone)
    assert rest == [multiples(1, trimmed, 200), multiples(2, 60, 200)]


@pytest.mark.parametrize("start", [5, 6, 49])
async def test_what_was_removed_behind_our_back_is_noticed(pod: Pod, start: int) -> None:
    """`DEL`, `XTRIM` or an eviction leave no mark; the entry that was seen last is missing then."""
    pod.log.add(200)
    pod.remember_from(100)
    del pod.log.entries[:50]
    results = await asyncio.gather(
        pod.resume(start, "user:3"), pod.resume(51, "user:2"), return_exceptions=True
    )
    assert isinstance(results[0], Gone)
    assert results[1] == multiples(2, 51, 200)


async def test_a_log_that_holds_nothing_any_more_is_no_proof(pod: Pod) -> None:
    """Neither the entry that was seen last nor any later one is there."""
    pod.log.add(100)
    pod.remember_from(100)
    pod.log.entries.clear()
    with pytest.raises(Gone):
        await pod.resume(40, "user:3")


async def test_what_is_trimmed_while_it_is_read_is_noticed(pod: Pod) -> None:
    pod.log.add(5_000)
    pod.remember_from(4_000)

    def trim() -> None:
        pod.log.trim(300)

    pod.log.on_page = trim
    results = await asyncio.gather(
        pod.resume(100, "user:3"), pod.resume(400, "user:2"), return_exceptions=True
    )
    assert isinstance(results[0], Gone)
    assert results[1] == multiples(2, 400, 5_000)


async def test_a_log_that_is_replaced_while_it_is_read_gives_nothing(pod: Pod) -> None:
    pod.log.add(5_000)
    pod.remember_from(4_000)
    pod.log.on_page = lambda: pod.recent.start((4_500, 0))
    with pytest.raises(Gone):
        await pod.resume(100, "user:3")


async def test_when_redis_is_away_everybody_learns_it(pod: Pod) -> None:
    pod.log.add(5_000)
    pod.remember_from(4_000)

    def leave() -> None:
        pod.log.is_away = len(pod.log.pages) > 3

    pod.log.on_page = leave
    waiting: Sequence[object] = await asyncio.gather(
        *(pod.resume(start, "user:3") for start in (10, 20, 3_000)), return_exceptions=True
    )
    assert [type(one) for one in waiting] == [RedisUnavailable] * 3
    pod.log.is_away, pod.log.on_page = False, lambda: None
    assert await pod.resume(10, "user:3") == multiples(3, 10, 5_000)


async def test_who_does_not_wait_any_more_is_not_read_for(pod: Pod) -> None:
    pod.log.add(20_000)
    pod.remember_from(19_000)
    impatient = asyncio.ensure_future(pod.resume(10, "user:1"))

    def give_up() -> None:
        if len(pod.log.pages) == 3:
            impatient.cancel()

    pod.log.on_page = give_up
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert await pod.resume(18_900, "user:2") == multiples(2, 18_900, 20_000)
    assert sum(pod.log.pages) < 10_000
