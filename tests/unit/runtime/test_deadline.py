"""A deadline ends what takes too long, and nothing that was only read late."""

from __future__ import annotations

import asyncio
import time

import pytest

from constellation_ws.runtime.deadline import call_when_due, deadline
from tests.processes import HOST


async def test_what_takes_too_long_is_cancelled() -> None:
    with pytest.raises(TimeoutError):
        async with deadline(0.01):
            await asyncio.Event().wait()


async def test_what_ends_in_time_is_left_alone() -> None:
    async with deadline(0.01):
        pass
    await asyncio.sleep(0.05)


async def test_an_error_inside_rises_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with deadline(10):
            raise KeyError


async def test_being_cancelled_from_outside_is_no_timeout() -> None:
    async def wait() -> None:
        async with deadline(10):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def stand_still() -> None:
    """Do what a stopped process does: nothing runs, and bytes arrive."""
    time.sleep(0.7)


async def test_what_arrived_while_the_process_stood_still_is_read_before_it_ends() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(greet, HOST, 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        async with deadline(0.05):
            writer.write(b"x")
            stand_still()
            assert await reader.readexactly(5) == b"hello"
        writer.close()


async def test_it_ends_soon_after_a_pause_in_which_nothing_has_arrived() -> None:
    async def pause_and_wait() -> None:
        async with deadline(0.05):
            stand_still()
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await pause_and_wait()


@pytest.fixture
def called() -> asyncio.Event:
    return asyncio.Event()


async def test_what_is_due_is_done_then(called: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + 0.01
    call_when_due(due, called.set)
    await called.wait()
    assert loop.time() >= due


async def test_what_is_due_after_a_pause_is_done_once_what_arrived_is_read(
    called: asyncio.Event,
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        call_when_due(asyncio.get_running_loop().time() + 0.05, called.set)
        writer.write(b"x")
        stand_still()
        assert await reader.readexactly(5) == b"hello"
        assert not called.is_set()
        await called.wait()
        writer.close()
