"""Who is online, with what is delivered while the question is asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.announcing.board import Board
from constellation_ws.messages.events import UserId
from constellation_ws.redis_io.link import RedisUnavailable
from constellation_ws.redis_io.names import DEFAULT
from tests.processes import HOST, unused_port
from tests.unit.announcing.conftest import Pod, Stream

A, B, C = UserId("a"), UserId("b"), UserId("c")


def announcement(user: str, status: str, sequence: int) -> bytes:
    text = f'{{"userId":"{user}","status":"{status}","at":1,"sequence":{sequence}}}'
    return text.encode()


class Held:
    """A script of which the answer waits until the test gives it."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def register_script(self, script: str) -> Any:
        return self

    async def __call__(self, keys: list[str], args: list[str]) -> Any:
        return await self.answer


async def test_it_says_what_was_announced(
    pods: tuple[Pod, Pod], stream: Stream, redis: Redis
) -> None:
    board = Board(redis, DEFAULT)
    assert await board.online([A, B]) == []
    pods[0].came("a", "c")
    await stream.until(("a", "online", "connected"), ("c", "online", "connected"))
    assert await board.online([C, B, A]) == ["c", "a"]


async def test_what_is_delivered_before_the_answer_is_part_of_it() -> None:
    held = Held()
    board = Board(held, DEFAULT)  # type: ignore[arg-type]
    board.note(announcement("a", "online", 9))  # nobody has asked
    asking = asyncio.create_task(board.online([A, B, C]))
    await asyncio.sleep(0)
    for one in (
        announcement("a", "online", 11),
        announcement("b", "offline", 12),
        announcement("c", "offline", 9),  # older than the answer
        announcement("a", "offline", 10),  # replayed to somebody else
        b"no announcement",
    ):
        board.note(one)
    held.answer.set_result([b"10", [0, 1, 1]])
    assert await asking == ["a", "c"]
    held.answer = asyncio.get_running_loop().create_future()
    held.answer.set_result([b"8", [0, 0, 0]])
    assert await board.online([A, B, C]) == []


async def test_a_redis_that_is_away_is_said_to_be() -> None:
    async with Redis.from_url(f"redis://{HOST}:{unused_port()}") as redis:
        with pytest.raises(RedisUnavailable):
            await Board(redis, DEFAULT).online([A])
