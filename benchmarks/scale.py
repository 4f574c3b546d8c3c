"""`python -m benchmarks.scale`: what three pods use, beside what `constellation-ws size` predicts.

Three pods share one Valkey, and each has a third of the users. As many events a second are
published as were asked for, each for one user. The CPU time of the recorder, of the other pods and
of Valkey is printed beside the prediction, with the ratio of both.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks import load, machine, servers
from benchmarks.load import LoadReport
from benchmarks.machine import Cores
from benchmarks.observed import Observed
from benchmarks.soak import say
from benchmarks.valkey import Valkey, running_valkey
from benchmarks.workloads import Options
from constellation_ws.cli.reporting import to_table
from constellation_ws.cli.sizing import usage
from constellation_ws.cli.sizing.load import Load
from constellation_ws.cli.sizing.unit_costs import DURABLE
from constellation_ws.cli.sizing.usage import Role

PODS = 3
EVENT_BYTES = 300
"""Of the load generator's events."""
_CONNECT_SECONDS = 60.0
_WARMUP_SECONDS = 1.0
_LEASE_SECONDS = 20.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Used:
    """CPU of each role, in millicores; `pod` is the mean of the pods that do not record."""

    recorder: float
    pod: float
    valkey: float


@dataclass(frozen=True, slots=True)
class Deployment:
    """The pods and their Valkey; the recorder is the first of the pods."""

    pods: tuple[Observed, ...]
    valkey: Valkey

    def cpu_seconds(self) -> list[float]:
        """What the pods, in their order, and Valkey have used so far."""
        pids = [*(pod.running.pid for pod in self.pods), self.valkey.pid]
        return [machine.cpu_seconds(pid) for pid in pids]


def main(arguments: list[str]) -> int:
    """0, or 1 when it could not be measured. Ratios are for the reader to judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--users", type=int, default=3000, help="of all pods together (3000)")
    parser.add_argument("--rate", type=float, default=600, help="events a second (600)")
    parser.add_argument("--seconds", type=float, default=6, help="how long to measure (6)")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no server behind
    machine.allow_open_files()
    say(f"{PODS} pods, {asked.users:,} users, {asked.rate:,g} events a second for one user each.")
    try:
        with deployment(machine.divide_cores()) as found:
            used = measure(found, asked.users // PODS, asked.rate, asked.seconds)
    except (servers.ServerFailed, load.LoadFailed) as error:
        print(error, file=sys.stderr)
        return 1
    say(compared(used, predicted(asked.users, asked.rate)))
    return 0


def predicted(users: int, rate: float) -> Used:
    """Compute what `constellation-ws size` says."""
    wanted = Load(users, rate, recipients=1, event_bytes=EVENT_BYTES, window_seconds=120)
    return Used(
        usage.pod_cpu(wanted, PODS, DURABLE, Role.RECORDER).millicores,
        usage.pod_cpu(wanted, PODS, DURABLE, Role.LISTENER).millicores,
        usage.redis_cpu(wanted, PODS, DURABLE).millicores,
    )


def compared(measured: Used, expected: Used) -> str:
    """Write both, and the ratio of the prediction to what was measured."""
    pairs = {
        "recorder": (measured.recorder, expected.recorder),
        "each other pod": (measured.pod, expected.pod),
        "Valkey": (measured.valkey, expected.valkey),
    }
    rows = [
        (name, f"{used:.0f}", f"{computed:.0f}", f"{computed / used:.2f}")
        for name, (used, computed) in pairs.items()
    ]
    return to_table([("CPU, millicores", "measured", "predicted", "ratio"), *rows])


@contextlib.contextmanager
def deployment(cores: Cores) -> Iterator[Deployment]:
    """Start the pods; raises `ServerFailed`."""
    program = load.build()
    with contextlib.ExitStack() as held:
        valkey = held.enter_context(running_valkey(cores.load))
        pods = []
        for _ in range(PODS):
            running = servers.running_server(servers.ours(), valkey.port, cores.server)
            pods.append(Observed(held.enter_context(running), valkey, program, cores))
        recorder = await_recorder(pods)
        pods.sort(key=lambda pod: pod is not recorder)
        yield Deployment(tuple(pods), valkey)


def await_recorder(pods: list[Observed]) -> Observed:
    """Return the pod that records, once there is one; raises `ServerFailed`."""
    deadline = time.monotonic() + _LEASE_SECONDS
    while time.monotonic() < deadline:
        for pod in pods:
            if pod.metrics()["constellation_recorder"]:
                return pod
        time.sleep(_POLL_SECONDS)
    raise servers.ServerFailed(f"No pod records after {_LEASE_SECONDS:.0f} s.")


def measure(found: Deployment, users: int, rate: float, seconds: float) -> Used:
    """Load each pod with its users and its share of the rate; raises `LoadFailed`."""
    with ThreadPoolExecutor(PODS) as beside:
        loading = [
            beside.submit(pod.load, listening(number * users, users, rate / PODS, seconds))
            for number, pod in enumerate(found.pods)
        ]
        await_users(found, users, loading)
        began, before = time.monotonic(), found.cpu_seconds()
        time.sleep(seconds)
        after, lasted = found.cpu_seconds(), time.monotonic() - began
        for one in loading:
            one.result()
    recorder, *others, valkey = [
        (end - begin) / lasted * 1_000 for begin, end in zip(before, after, strict=True)
    ]
    return Used(recorder, statistics.mean(others), valkey)


def listening(first_user: int, users: int, rate: float, seconds: float) -> Options:
    """Say what the clients of a pod do: each event is for one of them."""
    return {
        "workload": "latency",
        "clients": users,
        "first-user": first_user,
        "warm-clients": users // 10,
        "chats": 0,
        "rate": rate,
        "warmup-seconds": 3 * _WARMUP_SECONDS,
        "seconds": seconds + 2 * _WARMUP_SECONDS,
        "settle-seconds": 0.2,
    }


def await_users(found: Deployment, users: int, loading: list[Future[LoadReport]]) -> None:
    """Wait until all are connected and get events; raises `LoadFailed`."""
    deadline = time.monotonic() + _CONNECT_SECONDS
    while any(pod.metrics()["constellation_sockets"] < users for pod in found.pods):
        for one in loading:
            if one.done():
                one.result()
        if time.monotonic() > deadline:
            raise load.LoadFailed(f"Not all users had connected in {_CONNECT_SECONDS:.0f} s.")
        time.sleep(_POLL_SECONDS)
    time.sleep(2 * _WARMUP_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
