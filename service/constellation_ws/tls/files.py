"""TLS contexts that are replaced when one of their files has changed.

Certificates are renewed in their files while the process runs. The owner of a context makes it and
knows its files.
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
    """One context for all connections. After a change of its files the next one gets a new one."""

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
        """Return the context for the next connection.

        Raises OSError if the files cannot be used, but only at the first time. Later the former
        context stays in use, and each change is logged once: a certificate may have been written
        before its key.
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
    """Return an empty password, so that OpenSSL does not prompt for one at the terminal."""
    return ""


def _stamp(file: Path) -> _Stamp:
    """Return what changes with a file. Kubernetes replaces files by changing a symbolic link."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
