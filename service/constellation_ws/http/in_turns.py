"""Has HTTP requests answered in the turns that all connections share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from constellation_ws.runtime.turn_queue import TurnQueue

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


def in_turns(application: AsgiApp, turns: TurnQueue) -> AsgiApp:
    """Let each request wait for its turn: even a page that is refused costs a third of one."""

    async def wait_and_answer(
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        await turns.wait()
        await application(scope, receive, send)

    return wait_and_answer
