"""`python -m benchmarks.attacks`: what ten thousand others notice of each kind of attack.

On one server, kind by kind: their p99 beside the attack, and without it right before and after, as
the machine's own pace changes; the slowest answer of `/livez`, and memory. `BAD` stands before what
is not as it should be.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator

from benchmarks import load, machine, servers
from benchmarks.attackers import ATTACKS
from benchmarks.machine import pinned
from benchmarks.observed import Observed, observed
from benchmarks.soak import Findings, say
from benchmarks.workloads import Options

OTHERS = 10_000
ATTACKERS = 4
MOST_RATIO = 3.0
MOST_LIVEZ_MS = 500.0
MOST_MEMORY_KIB = 1_500_000
"""What the chart gives a pod with this many clients, less a quarter."""
_PROBES_PER_SECOND = 20


def main(arguments: list[str]) -> int:
    """0, or 1 when others noticed, or it could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="for each kind (30)")
    parser.add_argument("--kind", action="append", choices=ATTACKS, help="only this one")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no server behind
    machine.allow_open_files()
    findings = Findings()
    listening: Options = {
        "workload": "latency",
        "clients": OTHERS,
        "warm-clients": 100,
        "chats": 0,
        "rate": 500,
        "warmup-seconds": 2,
        "seconds": asked.seconds,
        "settle-seconds": 0.5,
    }
    tcp_port = _free_port()
    try:
        with observed(TCP_PORT=str(tcp_port)) as server:
            server.load(listening | {"seconds": 10})
            before = _p99_alone(server, listening)
            say(f"     p99 of {OTHERS:,} others without an attack: {before:.1f} ms")
            for kind in asked.kind or ATTACKS:
                with attacked(server, kind, tcp_port) as attackers, probed(server) as slowest:
                    beside = server.load(listening)
                    used = _cores_used(attackers, beside)
                server.metrics_when_empty()
                memory = server.memory_kib()
                after = _p99_alone(server, listening)
                alone = statistics.mean((before, after))
                judge(findings, kind, beside, alone, max(slowest), memory, used)
                before = after
    except (servers.ServerFailed, load.LoadFailed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if findings.are_good else 1


def judge(
    findings: Findings,
    kind: str,
    beside: load.LoadReport,
    alone: float,
    livez_ms: float,
    memory_kib: int,
    used: str,
) -> None:
    """Note one kind's figures."""
    p99 = beside.p99_ms
    is_good = p99 < MOST_RATIO * alone and livez_ms < MOST_LIVEZ_MS and memory_kib < MOST_MEMORY_KIB
    compared = f"{p99:.1f} ms to {alone:.1f} without ({p99 / alone:.2f}x)"
    figures = f"p99 {compared}, /livez {livez_ms:.0f} ms"
    findings.note(is_good, f"{kind}: {figures}, {memory_kib / 1024:.0f} MiB; {used}")


def _p99_alone(server: Observed, listening: Options) -> float:
    """Measure for as long as beside an attack: after 25 s everybody is pinged."""
    with probed(server):
        return server.load(listening).p99_ms


def _cores_used(attackers: Attackers, report: load.LoadReport) -> str:
    """Tell how hard the attack was: it has what the load leaves of one core."""
    span = report.measured
    assert span is not None, "all loads here measure"
    return (
        f"CPU: attackers {attackers.core_part():.0%}, server {span.server_cpu_s / span.wall_s:.0%}"
    )


class Attackers:
    """A process that attacks."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._began = time.monotonic()

    def core_part(self) -> float:
        """The part of one core that it has used since it began."""
        return machine.cpu_seconds(self.process.pid) / (time.monotonic() - self._began)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextlib.contextmanager
def attacked(server: Observed, kind: str, tcp_port: int) -> Iterator[Attackers]:
    """Have attackers of one kind."""
    words = [kind, str(server.running.ws_port), str(tcp_port), str(ATTACKERS)]
    with pinned(server.cores.load):
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.attackers", *words])
    try:
        yield Attackers(process)
        if process.poll() is not None:
            raise load.LoadFailed(f"the attackers of {kind} ended by themselves")
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def probed(server: Observed) -> Iterator[list[float]]:
    """Ask for `/livez` again and again; gives milliseconds, infinite where it failed."""
    took: list[float] = [0.0]
    is_over = threading.Event()
    url = f"http://127.0.0.1:{server.running.ws_port}/livez"

    def probe() -> None:
        while not is_over.wait(1 / _PROBES_PER_SECOND):
            began = time.perf_counter()
            try:
                with urllib.request.urlopen(url, timeout=5):
                    took.append((time.perf_counter() - began) * 1_000)
            except OSError:
                took.append(float("inf"))

    thread = threading.Thread(target=probe)
    with pinned(server.cores.load):  # not on the core of the server that is measured
        thread.start()
    try:
        yield took
    finally:
        is_over.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
