"""`python -m benchmarks.console`: what ten thousand clients notice of an open console.

On one server with 1,000 events a second the console is closed and opened by turns: the p99 from
publishing to receiving and the CPU time of a delivery, of either. `BAD` stands before a figure that
an open console raises by more than 5 %. How it answers fifty thousand users is in `crowd`.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from benchmarks import load, machine, servers
from benchmarks.console_viewer import Answers, ConsoleApi, Viewing
from benchmarks.load import LoadReport
from benchmarks.machine import pinned
from benchmarks.observed import Observed, observed
from benchmarks.soak import Findings, say
from benchmarks.workloads import Options

CLIENTS = 10_000
EVENTS_PER_SECOND = 1_000
MOST_RATIO = 1.05
MOST_ANSWER_MS = 1_000.0
"""Of nearly all answers: a page that takes longer does not feel live."""
KEY = "a-key-of-the-benchmark"
_SLICE_SECONDS = 2.0
_WARMUP_SECONDS = 3.0
_TAIL_SECONDS = 12.0
"""A tail lasts 10 seconds after its last question: until then the console is not closed."""
_OPENING_SECONDS = 2.0
_RARE_HEARTBEATS = {"CONSTELLATION_PING_INTERVAL_SECONDS": "100"}
"""All clients connect within seconds, so their heartbeats come together too: each time the p99 is 5
to 15 ms for some seconds instead of 1.6, whether the console is open or not. Elsewhere they are
spread. A longer interval would need a longer recovery window, and so more memory for events."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A while in which the console was closed, or open."""

    is_open: bool
    began: float
    ended: float
    """Seconds of the monotonic clock."""
    cpu_seconds: float

    @property
    def cpu_us(self) -> float:
        """CPU time of the server, for each delivery."""
        return self.cpu_seconds / ((self.ended - self.began) * EVENTS_PER_SECOND) * 1e6

    def p99_ms(self, report: LoadReport) -> float:
        """Give the median of the slices that lie within."""
        slices = enumerate(report.slices_p99_ms)
        within = [p99 for place, p99 in slices if self._holds(report.began_s, place)]
        return statistics.median(within)

    def _holds(self, began: float, place: int) -> bool:
        begin = began + place * _SLICE_SECONDS
        return self.began <= begin and begin + _SLICE_SECONDS <= self.ended


def settings(metrics_port: int) -> dict[str, str]:
    """What switches the console of a gateway on."""
    return {
        "CONSTELLATION_CONSOLE": "read",
        "CONSTELLATION_CONSOLE_KEY": KEY,
        "CONSTELLATION_METRICS_PORT": str(metrics_port),
    }


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextlib.contextmanager
def viewed(port: int, cores: machine.Cores, seen: Viewing) -> Iterator[None]:
    """Have the console open; adds to `seen` how its requests were answered.

    Raises `LoadFailed` where one was refused or not answered.
    """
    words = [sys.executable, "-m", "benchmarks.console_viewer", str(port), KEY]
    with pinned(cores.load):
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    try:
        yield
        answers, faults = process.communicate()
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        raise load.LoadFailed(f"The console did not answer: {faults.decode()}")
    for name, one in msgspec.json.decode(answers, type=Viewing).items():
        before = seen.get(name, Answers([], []))
        both = (before.milliseconds + one.milliseconds, before.bytes + one.bytes)
        seen[name] = Answers(*both)


def note_answers(findings: Findings, seen: Viewing) -> None:
    """Note how soon each request was answered."""
    for name, answers in seen.items():
        took = sorted(answers.milliseconds)
        nearly_all = took[min(len(took) - 1, int(len(took) * 0.95))]
        times = f"p50 {statistics.median(took):.1f} ms, p95 {nearly_all:.1f}, most {took[-1]:.1f}"
        size = f"{max(answers.bytes) / 1024:.1f} KiB at most"
        is_good = nearly_all < MOST_ANSWER_MS
        findings.note(is_good, f"{name}: {len(took)} answers, {times}; {size}")


def main(arguments: list[str]) -> int:
    """0, or 1 when clients noticed the console, or it could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--seconds", type=int, default=15, help="of each turn (15)")
    parser.add_argument("--turns", type=int, default=10, help="with the console open (10)")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no server behind
    machine.allow_open_files()
    findings, seen, port = Findings(), Viewing(), free_port()
    say(f"{CLIENTS:,} clients, {EVENTS_PER_SECOND:,} events a second, each for one of them.")
    try:
        with (
            observed(**settings(port), **_RARE_HEARTBEATS) as server,
            ThreadPoolExecutor(1) as beside,
        ):
            loading = beside.submit(server.load, listening(asked.turns, asked.seconds))
            await_clients(port, loading)
            turns = list(take_turns(server, port, asked.turns, asked.seconds, seen))
            report = loading.result()
    except (servers.ServerFailed, load.LoadFailed) as error:
        print(error, file=sys.stderr)
        return 1
    judge(findings, turns, report)
    note_answers(findings, seen)
    return 0 if findings.are_good else 1


def listening(turns: int, seconds: int) -> Options:
    """Say what the clients do: the longest that all turns may take, and some seconds more."""
    whole = turns * (2 * seconds + _TAIL_SECONDS + _OPENING_SECONDS + 1) + seconds + 15
    return {
        "workload": "latency",
        "clients": CLIENTS,
        "warm-clients": 100,
        "chats": 0,
        "rate": EVENTS_PER_SECOND,
        "warmup-seconds": _WARMUP_SECONDS,
        "seconds": whole,
        "slice-seconds": _SLICE_SECONDS,
        "settle-seconds": 0.5,
    }


def await_clients(port: int, loading: Future[LoadReport]) -> None:
    """Wait until all are connected and get events; raises what the load generator failed with."""
    api = ConsoleApi(port, KEY)
    while True:
        if loading.done():
            loading.result()
        (pod,) = msgspec.json.decode(api.get("pods", {}))["pods"] or [None]
        if pod is not None and pod["status"]["sockets"] >= CLIENTS:
            break
        time.sleep(1)
    time.sleep(2 * _WARMUP_SECONDS)


def take_turns(
    server: Observed, port: int, turns: int, seconds: int, seen: Viewing
) -> Iterator[Turn]:
    """Leave the console closed and open it, by turns; it is closed first and last."""
    yield _turn(server, seconds, is_open=False)
    for _ in range(turns):
        with viewed(port, server.cores, seen):
            time.sleep(_OPENING_SECONDS)
            yield _turn(server, seconds, is_open=True)
        time.sleep(_TAIL_SECONDS)
        yield _turn(server, seconds, is_open=False)


def _turn(server: Observed, seconds: int, *, is_open: bool) -> Turn:
    began, before = time.monotonic(), machine.cpu_seconds(server.running.pid)
    time.sleep(seconds)
    used = machine.cpu_seconds(server.running.pid) - before
    return Turn(is_open, began, time.monotonic(), used)


def judge(findings: Findings, turns: list[Turn], report: LoadReport) -> None:
    """Note what the console changed: each open turn beside the closed ones around it."""
    p99s = [turn.p99_ms(report) for turn in turns]
    for name, values in (("p99 in ms", p99s), ("CPU us", [turn.cpu_us for turn in turns])):
        closed, opened = values[::2], values[1::2]
        around = [(before + after) / 2 for before, after in itertools.pairwise(closed)]
        ratios = [one / beside for one, beside in zip(opened, around, strict=True)]
        noise = [after / before for before, after in itertools.pairwise(closed)]
        ratio = statistics.median(ratios)
        medians = f"{statistics.median(closed):.2f} closed, {statistics.median(opened):.2f} open"
        spread = f"{min(ratios):.2f}x to {max(ratios):.2f}x"
        equal = f"closed turns differ by {min(noise):.2f}x to {max(noise):.2f}x"
        findings.note(ratio <= MOST_RATIO, f"{name}: {medians}: {ratio:.3f}x ({spread}; {equal})")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
