"""Waiting for something observable, with a deadline; never for time to pass.

Lives here: the two shapes of patience that tests need. What is observed lives with the tests.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar, overload

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 30.0
"""How long to wait for anything: a machine may be busy, and what comes soon costs no more."""

T = TypeVar("T")


@overload
async def eventually(condition: Callable[[], Awaitable[T]], within: float, what: str) -> T: ...


@overload
async def eventually(condition: Callable[[], T], within: float, what: str) -> T: ...


async def eventually(condition: Callable[[], object], within: float, what: str) -> object:
    """Return the first truthy answer of `condition`; AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = await _ask(condition)
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within:g} s (last answer: {answer!r})")
        await asyncio.sleep(POLL_SECONDS)


async def throughout(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Ask again and again for `seconds`: AssertionError at the first falsy answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not await _ask(condition):
            raise AssertionError(
                f"{what}: no longer true {deadline - time.monotonic():.1f} s early"
            )
        await asyncio.sleep(POLL_SECONDS)


async def _ask(condition: Callable[[], object]) -> object:
    answer = condition()
    return await answer if inspect.isawaitable(answer) else answer


async def cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: Python 3.11's `wait_for` may swallow a cancellation."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.1)
