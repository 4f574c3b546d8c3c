"""Requests that wait for their turn, and are answered all the same."""

from __future__ import annotations

import asyncio
from typing import Any

from constellation_ws.http.in_turns import in_turns
from constellation_ws.runtime.turn_queue import TurnQueue


async def _never(_: object = None) -> Any:
    raise AssertionError("nobody reads or answers here")


async def test_many_requests_are_answered_one_in_each_turn() -> None:
    answered: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        answered.append(scope["number"])

    app = in_turns(application, TurnQueue(clock=lambda: 1.0, cpu_clock=lambda: 1.0))
    requests = [
        asyncio.ensure_future(app({"number": number}, _never, _never)) for number in range(50)
    ]
    most = 0
    while not all(request.done() for request in requests):
        before = len(answered)
        await asyncio.sleep(0)
        most = max(most, len(answered) - before)
    assert answered == list(range(50))
    assert most <= 2
