"""A gateway that is looked at from outside while it is loaded again and again.

Lives here: its metrics and its memory. What they should be is decided elsewhere.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks import load, machine, servers
from benchmarks.servers import RunningServer
from benchmarks.valkey import Valkey, running_valkey
from benchmarks.workloads import Options

GAUGES_OF_CLIENTS = (
    "constellation_connections",
    "constellation_sockets",
    "constellation_rooms",
    "constellation_users",
)
_LEAVE_SECONDS = 60.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Observed:
    """A gateway of ours, its Valkey and what loads it."""

    running: RunningServer
    valkey: Valkey
    program: Path
    cores: machine.Cores

    def load(self, options: Options) -> load.LoadReport:
        """Run the load generator to its end, when its clients vanish; raises `LoadFailed`."""
        processes = {
            "ws-port": self.running.ws_port,
            "redis-port": self.valkey.port,
            "server-pid": self.running.pid,
            "redis-pid": self.valkey.pid,
        }
        return load.run(self.program, options | processes, self.cores.load)

    def metrics(self) -> Mapping[str, float]:
        """All that `/metrics` tells, by name, summed over labels."""
        url = f"http://127.0.0.1:{self.running.ws_port}/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            text = answer.read().decode()
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums

    def metrics_when_empty(self) -> Mapping[str, float]:
        """The metrics once nobody is left, or as they are when that takes a minute."""
        deadline = time.monotonic() + _LEAVE_SECONDS
        while True:
            metrics = self.metrics()
            if not any(metrics[name] for name in GAUGES_OF_CLIENTS):
                return metrics
            if time.monotonic() > deadline:
                return metrics
            time.sleep(_POLL_SECONDS)

    def memory_kib(self) -> int:
        """The process's anonymous memory."""
        status = Path(f"/proc/{self.running.pid}/status").read_text()
        return int(status.partition("RssAnon:")[2].split()[0])


@contextmanager
def observed(**settings: str) -> Iterator[Observed]:
    """Start a fresh gateway, with default settings but these; raises `ServerFailed`."""
    cores, program = machine.divide_cores(), load.build()
    server = servers.ours(environment=settings)
    with (
        running_valkey(cores.load) as valkey,
        servers.running_server(server, valkey.port, cores.server) as running,
    ):
        yield Observed(running, valkey, program, cores)
