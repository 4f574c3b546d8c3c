"""Has HTTP requests answered in the turns that all connections share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from constellation_ws.runtime.turn_queue import TurnQueue

AsgiMessage = MutableMapping[str, Any]
AsgiApp = Callable[
    [AsgiMessage, Callable[[], Awaitable[AsgiMessage]], Callable[[AsgiMessage], Awaitable[None]]],
    Awaitable[None],
]


def in_turns(application: AsgiApp, turns: TurnQueue) -> AsgiApp:
    """Let each request wait for its turn: even a page that is refused costs a third of one."""

    async def wait_and_answer(
        scope: AsgiMessage,
        receive: Callable[[], Awaitable[AsgiMessage]],
        send: Callable[[AsgiMessage], Awaitable[None]],
    ) -> None:
        await turns.wait()
        await application(scope, receive, send)

    return wait_and_answer
