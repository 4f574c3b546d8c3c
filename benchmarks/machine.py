"""The machine under the benchmarks: which cores do what, how many files may be open, what it is.

Nothing here knows of servers or workloads.
"""

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cores:
    """The core a server has for itself, and the one for its load; empty where not pinned."""

    server: frozenset[int]
    load: frozenset[int]

    @property
    def sentence(self) -> str:
        if not self.server:
            return "Processes are not pinned to cores: expect noise."
        server, load = sorted(self.server)[0], sorted(self.load)[0]
        return f"Each server runs on core {server} alone, load generator and Valkey on core {load}."


def divide_cores() -> Cores:
    """Core 0 for the server, core 1 for the rest, or nothing pinned where that is impossible."""
    if not hasattr(os, "sched_setaffinity"):
        return Cores(frozenset(), frozenset())
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return Cores(frozenset(), frozenset())
    return Cores(frozenset(available[:1]), frozenset(available[1:2]))


@contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """Processes started inside inherit these cores.

    The affinity is ours for that while and not set on the child afterwards: a runtime may have
    started its threads by then, and they would keep the old one.
    """
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def allow_open_files() -> None:
    """Raise the soft limit to the hard one, for us and for all that we start."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def description() -> dict[str, str]:
    """What a reader of the figures wants to know of the machine; no names or addresses of it."""
    return {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "load_average": f"{os.getloadavg()[0]:.2f}",
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
