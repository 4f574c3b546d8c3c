"""One process, from its settings to its exit code: the event loop and the garbage collector.

What lives in it, and for how long, is `lifecycle`'s.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator

import structlog

from constellation_ws.observability import telemetry
from constellation_ws.process.lifecycle import Life
from constellation_ws.runtime import open_files
from constellation_ws.runtime.last_resort import LastResort
from constellation_ws.runtime.listening import PortUnavailable
from constellation_ws.settings.settings import Settings

logger = structlog.get_logger(__name__)


def serve(settings: Settings) -> int:
    """Run one gateway, and return its exit code.

    It is 0, 1 if the gateway failed or did not stop in time, or 128 plus the number of a second
    signal.

    Raises InvalidInterface when the interface table cannot be used.
    """
    _calm_garbage_collection()
    open_files.raise_limit()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_run(settings))
        except PortUnavailable as error:
            logger.error("cannot listen", reason=str(error))
            return 1
        except ExceptionGroup as group:
            for cause in _leaves(group):
                logger.error("a vital task failed", error=f"{type(cause).__name__}: {cause}")
            return 1


def _calm_garbage_collection() -> None:
    """Walk over all connections rarely, and over few new objects at a time.

    Nothing here makes cycles per message, and at the defaults a connect storm pays for one walk
    over every connection after another. uvicorn makes cycles per HTTP request. A flood of requests
    held the loop for 400 ms where half a million new objects were left to one walk; 20,000 are
    walked over in some 5 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 10, 5_000)


async def _run(settings: Settings) -> int:
    with telemetry.traces(asyncio.get_running_loop().call_soon) as tracing:
        return await Life(settings, LastResort(), tracing).run()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop  # noqa: PLC0415 - costs 20 ms that `--help` need not pay

    return uvloop.new_event_loop


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
