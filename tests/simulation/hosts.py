"""Virtual time, and hosts that share it: each has an event loop of its own.

asyncio code runs here unchanged, without threads, sockets or sleeps. Time moves to the next timer
when no host has anything to do. A host can be paused, as a process by SIGSTOP, and killed.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.network import Network

WALL_CLOCK = 1_800_000_000.0
"""Unix time at virtual time 0."""
_BEGIN = 1_000.0
"""Small, so that the differences of floats stay exact to the nanosecond."""
_MOST_CANCELLED = 1_000
_READS = ("accept", "arrive")
"""Callbacks of the network; all others are the process's own."""
Report = Callable[["Host", str], None]


class Universe:
    """The time, the chance and the hosts of one run."""

    def __init__(self, seed: str, report: Report) -> None:
        """`report` is called for an exception that nobody has handled on a host."""
        self.now = _BEGIN
        self.chance = Random(seed)
        self.report = report
        self.graveyard: list[Any] = []
        """What killed hosts leave behind: were it freed, its `finally` blocks would run."""
        self.busy: deque[Host] = deque()
        """Hosts that have something to do, in the order of their turns."""
        self._timers: list[tuple[float, int, Any]] = []
        self._numbers = itertools.count()
        self._cancelled = 0

    @property
    def now_ms(self) -> int:
        """Virtual time since the beginning, in milliseconds."""
        return int((self.now - _BEGIN) * 1000)

    def run(self, seconds: float, is_done: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, or as much of it as it takes until something is done."""
        until, busy, timers = self.now + seconds, self.busy, self._timers
        try:
            while not is_done():
                while busy:
                    busy.popleft().turn()
                if not timers or timers[0][0] > until:
                    self.now = until
                    return
                self._advance()
        finally:
            events._set_running_loop(None)

    def _advance(self) -> None:
        """Go to the next timer; what is due at the same time happens in the order of calls."""
        timers = self._timers
        self.now = now = max(self.now, timers[0][0])
        while timers and timers[0][0] <= now:
            handle = heapq.heappop(timers)[2]
            if not handle._cancelled:
                handle._loop.ready(handle)

    # What hosts call

    def schedule(self, when: float, handle: asyncio.Handle) -> None:
        """Run a handle at this time."""
        heapq.heappush(self._timers, (when, next(self._numbers), handle))

    def note_cancelled(self) -> None:
        """Note that a timer was cancelled: when they are many they are removed."""
        self._cancelled += 1
        if self._cancelled > max(_MOST_CANCELLED, len(self._timers) // 2):
            self._cancelled = 0
            # In place: `run` is working with it.
            self._timers[:] = [entry for entry in self._timers if not entry[2]._cancelled]
            heapq.heapify(self._timers)


class _Handle(asyncio.Handle):
    """Asyncio's, without what it has for debugging: each world makes some fifty thousand."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: Host,
        context: Context | None = None,
    ) -> None:
        self._callback, self._args, self._loop = callback, args, loop
        self._context = copy_context() if context is None else context
        self._cancelled = False
        self._repr = self._source_traceback = None

    def cancel(self) -> None:
        self._cancelled = True
        self._callback = self._args = None  # type: ignore[assignment]  # asyncio's does so too


class _Timer(_Handle, asyncio.TimerHandle):
    """The same, at a time."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: Host,
        context: Context | None = None,
    ) -> None:
        self._when = when
        _Handle.__init__(self, callback, args, loop, context)

    def cancel(self) -> None:
        if not self._cancelled:
            self._loop.universe.note_cancelled()
            _Handle.cancel(self)


class Host(asyncio.BaseEventLoop):
    """One machine or process: an event loop whose time is the universe's."""

    def __init__(self, universe: Universe, name: str, address: str, network: Network) -> None:
        super().__init__()
        self.universe = universe
        self.name = name
        self.address = address
        self.network = network
        self.wall_offset = 0.0
        """By how many seconds its wall clock is wrong."""
        self.is_dead = False
        self.is_former = False
        """Whether the gateway here is of the release before packed entries."""
        self.signals: dict[int, Callable[[], None]] = {}
        self._handles: deque[asyncio.Handle] = deque()
        self._is_queued = False
        self._is_paused = False
        self.set_exception_handler(self._handle)

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task, from outside of the loop."""
        running = events._get_running_loop()
        events._set_running_loop(self)
        try:
            return self.create_task(work)
        finally:
            events._set_running_loop(running)

    @property
    def is_paused(self) -> bool:
        """Whether the process stands still. What is due meanwhile happens when it goes on."""
        return self._is_paused

    @is_paused.setter
    def is_paused(self, is_paused: bool) -> None:
        was_paused, self._is_paused = self._is_paused, is_paused
        if was_paused and not is_paused:
            self._read_last()
        if self._handles:
            self._queue()

    def _read_last(self) -> None:
        """Run timers first, as every loop does after a pause: what has arrived is read later."""
        waiting, self._handles = self._handles, deque()
        for handle in waiting:
            callback: Any = getattr(handle, "_callback", None)
            if getattr(callback, "__name__", "") in _READS:
                self.universe.schedule(self.universe.now + 1e-9, handle)
            else:
                self._handles.append(handle)

    def kill(self) -> None:
        """Switch it off: nothing of it runs any more, and its connections are reset."""
        if not self.is_dead:
            self.is_dead = True
            self.universe.graveyard.append((self._handles, asyncio.all_tasks(self)))
            self._handles = deque()
            self.network.fail(self)

    def read_at(self, when: float, callback: Callable[..., Any], *args: Any) -> None:
        """Call the network at a time; nobody can cancel that."""
        self.universe.schedule(when, _Handle(callback, args, self))

    # What the universe calls

    def ready(self, handle: asyncio.Handle) -> None:
        """Run a handle in the next turn."""
        self._handles.append(handle)
        if not (self._is_queued or self._is_paused):
            self._is_queued = True
            self.universe.busy.append(self)

    def turn(self) -> None:
        """Run what is ready, once, as one turn of any event loop does."""
        self._is_queued = False
        if self._is_paused or self.is_dead:
            return
        handles = self._handles
        events._set_running_loop(self)
        for _ in range(len(handles)):
            handle = handles.popleft()
            if not handle._cancelled:
                handle._run()
                if self._is_paused or self.is_dead:
                    return
        if handles and not self._is_queued:
            self._queue()

    def _queue(self) -> None:
        if not self._is_paused:
            self._is_queued = True
            self.universe.busy.append(self)

    # What asyncio asks of a loop

    def time(self) -> float:
        return self.universe.now

    def call_soon(  # type: ignore[override]  # without its generic types
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._handles.append(handle)
        if not (self._is_queued or self._is_paused):
            self._is_queued = True
            self.universe.busy.append(self)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        self.universe.schedule(when, timer)
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        universe = self.universe
        timer = _Timer(universe.now + delay, callback, args, self, context)
        universe.schedule(timer._when, timer)
        return timer

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return events._get_running_loop() is self

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., Any], *args: Any
    ) -> None:
        self.signals[int(sig)] = lambda: callback(*args)

    def remove_signal_handler(self, sig: int) -> bool:
        return self.signals.pop(int(sig), None) is not None

    async def create_connection(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        host = options.get("host", args[0] if args else None)
        port = options.get("port", args[1] if len(args) > 1 else None)
        return await self.network.connect(self, protocol_factory, str(host), int(port or 0))

    async def create_server(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        address = options["sock"].getsockname() if "sock" in options else args
        return self.network.listen(self, protocol_factory, address[1])

    def __del__(self) -> None:
        """Nothing has to be closed, so nothing is to be complained about."""

    def _handle(self, _: object, context: dict[str, Any]) -> None:
        error = context.get("exception")
        reason = f": {type(error).__name__}: {error}" if error is not None else ""
        if not self.is_dead:
            self.universe.report(self, f"{context.get('message')}{reason}")
