"""`python -m benchmarks.soak`: what is left of clients that came and went, or ceased to read.

Two stories, each on a fresh server. The order of things is in `main`; each finding is a line, and
`BAD` stands before one that is not as it should be.
"""

from __future__ import annotations

import signal
import statistics
import sys

from benchmarks import load, machine, servers
from benchmarks.observed import GAUGES_OF_CLIENTS, Observed, observed
from benchmarks.slow_consumer import flood, slow_consumer
from benchmarks.workloads import Options

CROWD = 10_000
CROWDS = 12
"""Those behind the plateau are a hundred thousand connects and disconnects."""
PLATEAU = 1
"""Counted from 0. All of the first crowd vanish at once, and what that takes, the process keeps."""
MOST_GROWTH = 1.1
LISTENERS = 1_000
ROUNDS = 5
NOISE = 1.25
"""By so much medians of a p99 may differ on one server."""
_SPARE_TASKS = 5
"""Tasks come and go with the connections to Redis; a leak would be one for each client."""

_COMING_AND_GOING: Options = {
    "workload": "connect",
    "clients": CROWD,
    "warm-clients": 200,
    "chats": 1,
    "at-once": 128,
    "settle-seconds": 3,
}
_LISTENING: Options = {
    "workload": "latency",
    "clients": LISTENERS,
    "warm-clients": 100,
    "chats": 1,
    "rate": 20,
    "warmup-seconds": 2,
    "seconds": 10,
    "settle-seconds": 0.5,
}


class Findings:
    """What was found, told at once, and whether all of it is as it should be."""

    def __init__(self) -> None:
        self.are_good = True

    def note(self, is_good: bool, text: str) -> None:
        """Tell one finding."""
        self.are_good = self.are_good and is_good
        say(("ok   " if is_good else "BAD  ") + text)


def say(text: str) -> None:
    """Tell how far it has come."""
    print(text, flush=True)


def main() -> int:
    """0, or 1 when something was left behind or could not be measured."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no server behind
    machine.allow_open_files()
    findings = Findings()
    try:
        with observed() as server:
            come_and_go(server, findings)
        # The log's recent events would be in the memory too.
        with observed(CONSTELLATION_DELIVERY="live") as server:
            cease_to_read(server, findings)
    except (servers.ServerFailed, load.LoadFailed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if findings.are_good else 1


def come_and_go(server: Observed, findings: Findings) -> None:
    """Let crowds connect and vanish, and look for what is left of them."""
    say(f"{CROWDS} times {CROWD:,} clients connect, join a chat, and vanish.")
    before = server.metrics()
    plateaus: list[int] = []
    for _ in range(CROWDS):
        plateaus.append(server.load(_COMING_AND_GOING).kib_after)
        after = server.metrics_when_empty()
        say(
            f"     {_mib(plateaus[-1])} with all connected, {_mib(server.memory_kib())} with nobody"
        )
    growth = max(plateaus[PLATEAU:]) / plateaus[PLATEAU]
    findings.note(growth <= MOST_GROWTH, f"memory is at most {growth:.3f} of its first plateau")
    for name in GAUGES_OF_CLIENTS:
        findings.note(after[name] == 0, f"{name}: {after[name]:.0f}")
    first, last = (metrics["constellation_asyncio_tasks"] for metrics in (before, after))
    findings.note(last <= first + _SPARE_TASKS, f"tasks: {first:.0f} before, {last:.0f} after")


def cease_to_read(server: Observed, findings: Findings) -> None:
    """Let one client among many cease to read, round by round, and look at the others."""
    say(f"{LISTENERS:,} clients in a chat, 20 events a second, and one that ceases to read.")
    alone, beside = [], []
    with flood(server.valkey, server.cores):  # in all rounds, so that the client is the difference
        server.load(_LISTENING)
        memory = server.memory_kib()
        for _ in range(ROUNDS):
            alone.append(server.load(_LISTENING).p99_ms)
            with slow_consumer(server.running.ws_port):
                beside.append(server.load(_LISTENING).p99_ms)
    closed = server.metrics_when_empty()["constellation_slow_consumers_total"]
    findings.note(closed == ROUNDS, f"{closed:.0f} slow consumers were closed, of {ROUNDS}")
    ratio = statistics.median(beside) / statistics.median(alone)
    figures = f"{_figures(beside)} ms, {_figures(alone)} ms without it"
    findings.note(ratio <= NOISE, f"p99 of the others: {figures}: {ratio:.2f}x")
    later = server.memory_kib()
    findings.note(later <= memory * MOST_GROWTH, f"memory: {_mib(memory)}, then {_mib(later)}")


def _mib(kib: int) -> str:
    return f"{kib / 1024:.1f} MiB"


def _figures(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main())
