"""What is written within one turn leaves together, in its order, and before a close."""

from __future__ import annotations

import asyncio
from typing import Any

from constellation_ws.http.gathering import GatheringTransport


class Line:
    """A transport that keeps what is called."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def close(self) -> None:
        self.calls.append("close")

    def is_closing(self) -> bool:
        return "close" in self.calls


async def test_what_one_turn_writes_leaves_in_one_call() -> None:
    line = Line()
    gathering = GatheringTransport(line)  # type: ignore[arg-type]  # as much of one as it takes
    gathering.write(b"head")
    gathering.write(b"body")
    assert line.calls == []
    await asyncio.sleep(0)
    assert line.calls == [b"headbody"]
    gathering.write(b"next")
    await asyncio.sleep(0)
    assert line.calls == [b"headbody", b"next"]


async def test_a_close_comes_behind_what_was_written() -> None:
    line = Line()
    gathering = GatheringTransport(line)  # type: ignore[arg-type]  # as much of one as it takes
    gathering.write(b"last")
    gathering.close()
    await asyncio.sleep(0)
    assert line.calls == [b"last", "close"]
    assert gathering.is_closing()


async def test_nothing_is_written_to_a_connection_that_is_lost_in_the_same_turn() -> None:
    line = Line()
    gathering = GatheringTransport(line)  # type: ignore[arg-type]  # as much of one as it takes
    gathering.write(b"last")
    line.close()
    await asyncio.sleep(0)
    assert line.calls == ["close"]
