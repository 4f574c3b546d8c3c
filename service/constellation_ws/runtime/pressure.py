"""Measures the container's memory and open files once a second.

`overload` decides what follows from it. The event loop's lag comes from `loop_lag`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from constellation_ws.observability.metrics import Metrics
from constellation_ws.runtime.overload import Overload

logger = structlog.get_logger(__name__)

_STEP_SECONDS = 1.0
_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_NO_LIMIT_BYTES = 1 << 60
"""cgroup v1 writes a number near 2^63 where there is no limit."""


@dataclass(frozen=True, slots=True)
class MemoryFiles:
    """Where the kernel says how much memory a group of processes uses, and may use."""

    limit: Path
    usage: Path
    stat: Path
    reclaimable: bytes
    """The line of `stat` that counts what the kernel takes back before it kills anybody."""

    def limit_bytes(self) -> int | None:
        """Read the limit; None where there is none."""
        try:
            text = self.limit.read_text().strip()
        except OSError:
            return None
        return int(text) if text.isdecimal() and int(text) < _NO_LIMIT_BYTES else None

    def used_bytes(self) -> int:
        """Read what is in use, as the kubelet counts it. Raises OSError."""
        reclaimable = 0
        for line in self.stat.read_bytes().splitlines():
            name, _, value = line.partition(b" ")
            if name == self.reclaimable:
                reclaimable = int(value)
        return max(0, int(self.usage.read_bytes()) - reclaimable)


def find_memory_limit(cgroups: Path = _CGROUPS, own: Path = _OWN) -> MemoryFiles | None:
    """Find the group with the lowest limit that this process is in; None where none has any."""
    limits = [
        (limit, files)
        for files in _groups(cgroups, own)
        if (limit := files.limit_bytes()) is not None
    ]
    return min(limits, key=lambda one: one[0])[1] if limits else None


def _groups(cgroups: Path, own: Path) -> Iterator[MemoryFiles]:
    """Yield the process's own group and those around it, of cgroup v2 and v1.

    In a container the path may be the host's, and the container's group is the root that is seen.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        inside = Path(path.lstrip("/"))
        for part in (inside, *inside.parents):
            if not controllers:
                yield _version_2(cgroups / part)
            elif "memory" in controllers.split(","):
                yield _version_1(cgroups / "memory" / part)


def _version_2(group: Path) -> MemoryFiles:
    return MemoryFiles(
        group / "memory.max", group / "memory.current", group / "memory.stat", b"inactive_file"
    )


def _version_1(group: Path) -> MemoryFiles:
    limit, usage = group / "memory.limit_in_bytes", group / "memory.usage_in_bytes"
    return MemoryFiles(limit, usage, group / "memory.stat", b"total_inactive_file")


class Pressure:
    """Measures, and reports to `overload`. `run` must run in one task while the process lives."""

    def __init__(self, overload: Overload, metrics: Metrics, memory: MemoryFiles | None) -> None:
        """Without `memory` the container has no limit of its own."""
        self._overload = overload
        self._metrics = metrics
        self._memory = memory
        self._reason: str | None = None

    def note_lag(self, seconds: float) -> None:
        """Note how late the event loop was."""
        self._overload.note_lag(seconds, time.monotonic())
        self._log_change()

    async def run(self) -> None:
        """Measure once a second, for ever."""
        while True:
            self.look()
            await asyncio.sleep(_STEP_SECONDS)

    def look(self) -> None:
        """Measure memory and open files now."""
        self._look_at_memory()
        self._look_at_files()
        self._log_change()

    def _look_at_memory(self) -> None:
        if self._memory is None:
            return
        try:
            limit_bytes, used_bytes = self._memory.limit_bytes(), self._memory.used_bytes()
        except OSError as error:
            logger.debug("memory usage cannot be read", reason=str(error))
            return
        if limit_bytes:  # it may be changed, or lifted, while the container runs
            self._overload.note_memory(used_bytes, limit_bytes)

    def _look_at_files(self) -> None:
        """Count if no more files can be opened: libuv does not report that an accept failed."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._metrics.files_exhausted.inc()
            logger.error("out of open files: new connections are reset", reason=error.strerror)

    def _log_change(self) -> None:
        """Log when overload begins and when it ends."""
        reason = self._overload.reason
        if (reason is None) != (self._reason is None):
            if reason is not None:
                logger.warning("overloaded: new clients are refused", reason=reason)
            else:
                logger.warning("no longer overloaded: new clients are admitted")
        self._reason = reason
