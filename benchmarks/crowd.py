"""`python -m benchmarks.crowd`: how the console answers fifty thousand users on four pods.

Each user is a session with a room of its own, in a chat of all and one of ten. The console of one
pod is open while they stay connected: how soon each request is answered, how large the answers are,
and how far the event loops of the pods lag meanwhile. `BAD` stands before what is too much.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import msgspec

from benchmarks import load, machine, servers
from benchmarks.console import KEY, free_port, note_answers, settings, viewed
from benchmarks.console_viewer import ConsoleApi, Viewing
from benchmarks.machine import Cores, pinned
from benchmarks.servers import RunningServer
from benchmarks.soak import Findings, say
from benchmarks.valkey import Valkey, running_valkey
from benchmarks.workloads import Options

PODS = 4
USERS = 50_000
MOST_LAG_MS = 50.0
"""Of the event loop, p99 of five seconds: four pods share a core here."""
MOST_ANSWER_BYTES = 300_000
_CONNECT_SECONDS = 300.0
_SAMPLE_SECONDS = 6.0
"""A pod measures its lag every 5 seconds."""


class _Status(msgspec.Struct):
    users: int
    sockets: int
    loop_lag_ms: float
    memory_bytes: int


class _Pod(msgspec.Struct):
    status: _Status


class _Pods(msgspec.Struct):
    pods: list[_Pod]


def pods(api: ConsoleApi) -> list[_Status]:
    """Ask the console how all pods are; raises OSError."""
    answer = msgspec.json.decode(api.get("pods", {}), type=_Pods)
    return [one.status for one in answer.pods]


def main(arguments: list[str]) -> int:
    """0, or 1 when an answer was too slow or too large, or it could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="with the console open (30)")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no server behind
    machine.allow_open_files()
    findings, cores, seen = Findings(), machine.divide_cores(), Viewing()
    port = free_port()
    try:
        with deployment(cores, port) as (valkey, running), crowds(cores, valkey, running):
            api = ConsoleApi(port, KEY)
            await_users(api)
            time.sleep(_SAMPLE_SECONDS)
            before = pods(api)
            say(f"     {sum(one.sockets for one in before):,} sockets; closed: {_lags(before)}")
            with viewed(port, cores, seen):
                time.sleep(asked.seconds)
                after = pods(api)
            judge(findings, after, seen)
            walk(findings, api)
    except (servers.ServerFailed, load.LoadFailed, OSError, HTTPException) as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if findings.are_good else 1


@contextlib.contextmanager
def deployment(cores: Cores, port: int) -> Iterator[tuple[Valkey, list[RunningServer]]]:
    """Start the pods; the console of the first listens on this port."""
    with contextlib.ExitStack() as held:
        valkey = held.enter_context(running_valkey(cores.load))
        running = []
        for number in range(PODS):
            environment = settings(free_port() if number else port)
            server = servers.ours(environment=environment)
            running.append(
                held.enter_context(servers.running_server(server, valkey.port, cores.server))
            )
        yield valkey, running


@contextlib.contextmanager
def crowds(cores: Cores, valkey: Valkey, running: list[RunningServer]) -> Iterator[None]:
    """Have as many users on each pod, until this ends."""
    program, share = load.build(), USERS // len(running)
    say(f"{USERS:,} users connect to {len(running)} pods.")
    processes = [
        _start(program, cores, valkey, server, first_user=number * share, clients=share)
        for number, server in enumerate(running)
    ]
    try:
        yield
        if any(one.poll() is not None for one in processes):
            raise load.LoadFailed("The clients of a pod have lost their connections.")
    finally:
        for one in processes:
            one.kill()
            one.wait()


def _start(
    program: Path,
    cores: Cores,
    valkey: Valkey,
    server: RunningServer,
    *,
    first_user: int,
    clients: int,
) -> subprocess.Popen[bytes]:
    options: Options = {
        "workload": "hold",
        "clients": clients,
        "first-user": first_user,
        "chats": 2,
        "settle-seconds": 0.1,
        "seconds": 3_600,
        "ws-port": server.ws_port,
        "redis-port": valkey.port,
        "server-pid": server.pid,
    }
    words = [str(program), *(f"--{name}={value}" for name, value in options.items())]
    with pinned(cores.load):
        return subprocess.Popen(words, stdout=subprocess.DEVNULL)


def await_users(api: ConsoleApi) -> None:
    """Wait until all are there; raises `LoadFailed`."""
    deadline = time.monotonic() + _CONNECT_SECONDS
    while sum(one.sockets for one in pods(api)) < USERS:
        if time.monotonic() > deadline:
            raise load.LoadFailed(f"Not all users had connected in {_CONNECT_SECONDS:.0f} s.")
        time.sleep(1)


def judge(findings: Findings, after: list[_Status], seen: Viewing) -> None:
    """Note how soon the console answered, how much, and what it did to the pods."""
    note_answers(findings, seen)
    largest = max(max(one.bytes) for one in seen.values())
    findings.note(largest < MOST_ANSWER_BYTES, f"largest answer: {largest / 1024:.1f} KiB")
    is_good = max(one.loop_lag_ms for one in after) < MOST_LAG_MS
    findings.note(is_good, f"open: {_lags(after)}")


def walk(findings: Findings, api: ConsoleApi) -> None:
    """Read all pages of the users, as an operator's script would."""
    found, cursor, began = 0, "", time.monotonic()
    while True:
        page = msgspec.json.decode(api.get("users", {"limit": 200, "cursor": cursor}))
        found += len(page["users"])
        cursor = page.get("cursor", "")
        if not cursor:
            break
        time.sleep(0.02)  # the console's key has 50 requests a second
    seconds = time.monotonic() - began
    findings.note(found == USERS, f"all pages have {found:,} users, read in {seconds:.1f} s")


def _lags(statuses: list[_Status]) -> str:
    lags = ", ".join(f"{one.loop_lag_ms:.1f}" for one in statuses)
    memory = max(one.memory_bytes for one in statuses) / (1 << 20)
    return f"event loops lag by {lags} ms (p99), {memory:.0f} MiB a pod at most"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
