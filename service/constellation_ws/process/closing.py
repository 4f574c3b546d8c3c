"""When sessions are closed so that their clients reconnect: at a drain, by age, by token.

`wiring/session_closing` closes them. These functions run in tasks of `lifecycle`.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable
from itertools import takewhile
from typing import TypeVar

from constellation_ws.auth.tokens import TOKEN_EXPIRED
from constellation_ws.delivery.rooms import session_of
from constellation_ws.runtime.due import DueTimes
from constellation_ws.runtime.turns import paced
from constellation_ws.wiring.gateway import Gateway

Thing = TypeVar("Thing")

_DRAIN_STEP_SECONDS = 0.05
_AGE_STEP_SECONDS = 1.0
_EXPIRY_STEP_SECONDS = 0.5
_AGE_JITTER = 0.2
"""The random part of the age: clients that connected together are not closed together."""


def closed_by(total: int, elapsed_seconds: float, window_seconds: float) -> int:
    """Return how many of `total` sockets are closed once so much of the window has passed. Pure.

    Evenly over the window, so that the other pods do not get all clients at once.
    """
    if elapsed_seconds >= window_seconds:
        return total
    return min(total, math.ceil(total * elapsed_seconds / window_seconds))


def age(most_seconds: float, chance: float) -> float:
    """Return how old a connection may become; `chance` is from 0 up to 1. Pure."""
    return most_seconds * (1 - _AGE_JITTER * chance)


async def close_evenly(gateway: Gateway, reason: str) -> int:
    """Close all sessions that exist now, spread over the drain window; return how many."""
    sessions = list(gateway.clients.engine.sockets.values())
    # A client that has data to fetch gets the rest of the window: only then is it known what has
    # reached a client without offsets.
    await _over_window(
        sessions,
        gateway.settings.draining.drain_window_seconds,
        lambda session: gateway.clients.closing.close(session, reason),
        may_close=lambda session: session.closed or session.is_flushed,
    )
    return len(sessions)


async def close_tunnels(gateway: Gateway) -> None:
    """Have the sessions of other pods closed, evenly, whose WebSocket is on this pod."""
    await _over_window(
        list(gateway.peering.peers.tunnels),
        gateway.settings.draining.drain_window_seconds,
        lambda tunnel: tunnel.close_session(),
    )


async def _over_window(
    things: list[Thing],
    window_seconds: float,
    close: Callable[[Thing], None],
    may_close: Callable[[Thing], bool] = lambda thing: True,
) -> None:
    """Close all things, spread over the window.

    One that may not be closed when its time comes is closed as soon as it may, or at the end of the
    window.
    """
    started, due = time.monotonic(), 0
    waiting: list[Thing] = []
    while due < len(things) or waiting:
        elapsed = time.monotonic() - started
        before, due = due, closed_by(len(things), elapsed, window_seconds)
        is_over = elapsed >= window_seconds
        due_now, waiting = [*waiting, *things[before:due]], []
        async for thing in paced(due_now):
            if is_over or may_close(thing):
                close(thing)
            else:
                waiting.append(thing)
        await asyncio.sleep(_DRAIN_STEP_SECONDS)


async def report_gap(gateway: Gateway) -> None:
    """Have every client reconnect, so that it learns that it may have missed something."""
    gateway.events.sessions.forget(list(gateway.events.rooms))
    await close_evenly(gateway, "log gap")


async def close_aged(gateway: Gateway, report_alive: Callable[[], None]) -> None:
    """Close connections that are too old, forever: their clients resume on another pod."""
    sockets, ends = gateway.clients.engine.sockets, DueTimes()
    most_seconds = gateway.settings.draining.max_connection_age_seconds
    while True:
        report_alive()
        now = time.monotonic()
        for sid in takewhile(lambda sid: sid not in ends, reversed(sockets)):
            ends.put(sid, now + age(most_seconds, random.random()))
        ends.retain(sockets, len(sockets))
        async for sid in paced(ends.pop_due(now)):
            if sid in sockets:
                gateway.clients.closing.close(sockets[sid], "max age")
        await asyncio.sleep(_AGE_STEP_SECONDS)


async def close_expired(gateway: Gateway, report_alive: Callable[[], None]) -> None:
    """Close connections whose token has expired, forever: clients reconnect with a new one."""
    sockets, expiries = gateway.clients.engine.sockets, gateway.clients.expiries
    while True:
        report_alive()
        async for key in paced(expiries.pop_due(time.time())):
            session = sockets.get(session_of(key))
            if session is not None:
                gateway.clients.closing.close(session, TOKEN_EXPIRED.code)
        await asyncio.sleep(_EXPIRY_STEP_SECONDS)
