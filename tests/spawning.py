"""Tasks for parts that are given `spawn`, where no gateway lives to own them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

_alive: set[asyncio.Task[None]] = set()
"""An event loop holds its tasks weakly."""


def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run a coroutine in a task of its own."""
    task = asyncio.get_running_loop().create_task(work)
    _alive.add(task)
    task.add_done_callback(_alive.discard)
    return task
