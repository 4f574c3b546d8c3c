"""TLS contexts that are made again when one of the files behind them has changed.

Certificates are renewed in their files while the process runs. Lives here: noticing that. What a
context is for, and which files it reads, is said by its owner.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import structlog

_Stamp: TypeAlias = tuple[int, int, int] | None

logger = structlog.get_logger(__name__)


class RenewedContext:
    """One context for all connections, and a new one from the first connection after a change."""

    def __init__(
        self, name: str, files: Iterable[Path], read: Callable[[], ssl.SSLContext]
    ) -> None:
        """`read` makes a context from the files, or raises OSError; `name` is for the log."""
        self._name = name
        self._files = tuple(files)
        self._read = read
        self._context: ssl.SSLContext | None = None
        self._stamps: list[_Stamp] = []

    def get(self) -> ssl.SSLContext:
        """Give the context for the next connection.

        Raises OSError when the files are of no use, but the first time only: then what was good
        stays in force, which is logged once a change. A certificate may have been written already
        and its key not yet.
        """
        stamps = [_stamp(file) for file in self._files]
        if self._context is None:
            self._context = self._read()
        elif stamps != self._stamps:
            try:
                self._context = self._read()
                logger.info("tls files reloaded", use=self._name)
            except OSError as error:
                logger.error("tls files cannot be used", use=self._name, reason=str(error))
        self._stamps = stamps
        return self._context


def no_password() -> str:
    """Refuse an encrypted key, for which OpenSSL would ask at the terminal."""
    return ""


def _stamp(file: Path) -> _Stamp:
    """Tell one content of a file from the next; Kubernetes replaces it by turning a link."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
