"""How much of a backend's timeout goes to connecting, and what becomes of a conversation."""

from __future__ import annotations

import pytest
from msgspec import Raw

from constellation_ws.backends.answers import BackendFailed, NoAnswer
from constellation_ws.backends.ways import SpawningWay, Target, connect_seconds
from tests.spawning import spawn
from tests.unit.backends.asking import send


@pytest.mark.parametrize(("timeout", "seconds"), [(0.001, 0.0005), (1, 0.5), (5, 2), (60, 2)])
def test_half_of_the_timeout_and_two_seconds_at_most(timeout: float, seconds: float) -> None:
    assert connect_seconds(timeout) == seconds


class Talk:
    """A conversation that ends as a test says."""

    def __init__(self, end: Raw | Exception) -> None:
        self._end = end
        self.is_closed = False

    async def send(self, target: Target, body: bytes, traceparent: str) -> Raw:
        if isinstance(self._end, Exception):
            raise self._end
        return self._end

    async def aclose(self) -> None:
        self.is_closed = True


FAILED = BackendFailed("it is down")


@pytest.mark.parametrize("end", [Raw(b"1"), FAILED])
async def test_the_end_of_a_conversation_is_the_result(end: Raw | Exception) -> None:
    assert await send(SpawningWay(Talk(end), spawn), Target("t"), b"") is end


async def test_a_conversation_that_takes_too_long_is_without_an_answer() -> None:
    way = SpawningWay(Talk(TimeoutError()), spawn)
    assert isinstance(await send(way, Target("t"), b""), NoAnswer)


async def test_closing_it_ends_the_conversation() -> None:
    talk = Talk(FAILED)
    await SpawningWay(talk, spawn).aclose()
    assert talk.is_closed
