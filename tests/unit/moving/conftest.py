"""The loop of these tests: the one that the gateway runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """When a transport pauses, aborts and closes differs between loops."""
    return {"uvloop": uvloop.new_event_loop}
