"""Runs each world in a process of its own, forked from this one after all modules are imported.

So no world leaves anything behind for the next one, and a seed gives the same in any company.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from tests.simulation.run import Outcome, Task, run

_STUCK_SECONDS = 60.0
"""CPU time after which a world is taken for one that does not end. It takes a second or two."""
Prepare = Callable[[], None]


def run_all(
    tasks: Iterable[Task], jobs: int, prepare: Prepare | None = None, until: float = float("inf")
) -> Iterator[Outcome]:
    """Run tasks side by side, and give each outcome as it comes; begin none after `until`.

    `prepare` is called in each child first. `until` is by `time.monotonic`.
    """
    gc.collect()
    gc.freeze()
    waiting = iter(tasks)
    running: dict[int, _Child] = {}
    is_exhausted = False
    while True:
        while not is_exhausted and len(running) < jobs and time.monotonic() < until:
            task = next(waiting, None)
            if task is None:
                is_exhausted = True
            else:
                child = _Child(task, prepare)
                running[child.pipe] = child
        if not running:
            return
        for pipe in select.select(list(running), [], [])[0]:
            if (outcome := running[pipe].read()) is not None:
                del running[pipe]
                yield outcome


class _Child:
    """A process that runs one task."""

    def __init__(self, task: Task, prepare: Prepare | None) -> None:
        self._task = task
        self._data = b""
        self.pipe, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self.pipe)
            _work(task, writing, prepare)
        os.close(writing)

    def read(self) -> Outcome | None:
        """Read what there is; the outcome when it is complete."""
        data = os.read(self.pipe, 1 << 20)
        self._data += data
        if data:
            return None
        os.close(self.pipe)
        os.waitpid(self._pid, 0)
        if self._data:
            outcome: Outcome = pickle.loads(self._data)
            return outcome
        return Outcome(self._task.seed, [], ["the process of this run has died"])


class _Stuck(KeyboardInterrupt):
    """Unlike others it is caught by no task and no loop."""


def _stop(*_: object) -> None:
    raise _Stuck(f"it does not end: {_STUCK_SECONDS:g} s of CPU time")


def _work(task: Task, pipe: int, prepare: Prepare | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, _stop)
    # Repeated: where an exception is ignored, as in a finalizer, the first one is lost.
    signal.setitimer(signal.ITIMER_PROF, _STUCK_SECONDS, 1.0)
    gc.disable()  # it ends soon, and nothing is worth looking for
    try:
        if prepare is not None:
            prepare()
        outcome = run(task)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent reports it
        import traceback  # noqa: PLC0415

        outcome = Outcome(task.seed, [], [f"the run failed: {error!r}"], traceback.format_exc())
    signal.setitimer(signal.ITIMER_PROF, 0)
    data = pickle.dumps(outcome)
    while data:
        data = data[os.write(pipe, data) :]
    os._exit(0)  # nothing of the world is cleaned up
