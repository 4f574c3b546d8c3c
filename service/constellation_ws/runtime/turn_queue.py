"""One queue for the work that connections cause beyond a small read, and one slice of it in each
turn of the event loop.

A bound for each connection is not enough: ten connections that use theirs in the same turn hold the
loop ten times as long. `share` decides how long a slice is.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from constellation_ws.runtime.share import AT_ONCE, SLICE_SECONDS, slice_seconds

Work = Callable[[], bool]
"""Returns whether what it has begun runs in the next turn of the loop, as tasks do."""
_FIRST_IN_A_ROW = 4
"""How many of those who begin are served before one who goes on."""
_ENDS_AT_ONCE = 5
"""How many connections end in one slice. Most of their cost, 40 to 140 us for each, comes in the
next turn: the system call that closes, and what their sessions leave behind."""


class TurnQueue:
    """Work waits here for its turn. Made once for all ports.

    Who begins comes before who goes on with the rest of a large read, so that a new client, or a
    probe, need not wait for hundreds that flood.
    """

    def __init__(
        self,
        count_pause: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """`count_pause` is called when a connection is not read because of its share."""
        self.clock = clock
        self._cpu_clock = cpu_clock
        self.count_pause = count_pause
        self._first: deque[Work] = deque()
        self._rest: deque[Work] = deque()
        self._ends: deque[Callable[[], None]] = deque()
        self._in_a_row = 0
        self._is_due = False
        self._has_begun = False
        """Whether what the last turn has begun runs in this one."""
        self._cpu_at = 0.0
        """What the thread had used of the CPU after the last slice. Time in which the machine ran
        others would make slices longer just when there is too little of it."""
        self._free_at = 0.0

    def may_begin(self, now: float) -> bool:
        """Return whether something small need not wait: nothing waits, and not too much was done
        in this way."""
        return now >= self._free_at and not self._is_due

    def note(self, began: float, ended: float) -> None:
        """Note the time of what has not waited."""
        self._free_at = AT_ONCE.free_at(self._free_at, began, ended)

    def put(self, work: Work, *, is_rest: bool = False) -> None:
        """Run this in one of the next turns. It should not take longer than a slice.

        `is_rest` means that it goes on with what has had a turn already.
        """
        (self._rest if is_rest else self._first).append(work)
        if not self._is_due:
            self._is_due = True
            self._cpu_at = self._cpu_clock()
            asyncio.get_running_loop().call_soon(self._run)

    def put_end(self, end: Callable[[], None]) -> None:
        """End a connection in one of the next turns, a few in each: thousands end together when a
        balancer does."""
        self._ends.append(end)
        if len(self._ends) == 1:
            self.put(self._run_ends, is_rest=True)

    async def wait(self) -> None:
        """Return when the caller may do as much as a slice."""
        now = self.clock()
        if self.may_begin(now):
            self.note(now, now + SLICE_SECONDS)
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def begin() -> bool:
            if mine.done():
                return False  # its task was cancelled
            mine.set_result(None)
            return True

        self.put(begin)
        await mine

    def _run_ends(self) -> bool:
        for _ in range(min(len(self._ends), _ENDS_AT_ONCE)):
            self._ends.popleft()()
        if self._ends:
            self.put(self._run_ends, is_rest=True)
        return True

    def _run(self) -> None:
        """Run what waits for longest, until the slice is used up."""
        if self._has_begun:
            self._has_begun = False
        else:
            self._run_slice()
        self._is_due = bool(self._first or self._rest or self._has_begun)
        if self._is_due:
            asyncio.get_running_loop().call_soon(self._run)

    def _run_slice(self) -> None:
        now = self.clock()
        until = now + slice_seconds(self._cpu_clock() - self._cpu_at)
        while True:
            work = self._pop()
            if work():
                self._has_begun = True
                until -= SLICE_SECONDS
            now = self.clock()
            if not (self._first or self._rest) or now >= until:
                break
        self._cpu_at = self._cpu_clock()

    def _pop(self) -> Work:
        if self._first and (self._in_a_row < _FIRST_IN_A_ROW or not self._rest):
            self._in_a_row += 1
            return self._first.popleft()
        self._in_a_row = 0
        return self._rest.popleft()
