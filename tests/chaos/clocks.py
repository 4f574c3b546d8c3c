"""Wall clocks that can be stepped while a process runs, by libfaketime. Monotonic time stays."""

from __future__ import annotations

import os
from pathlib import Path

_USUAL_PLACES = ("/usr/lib", "/usr/local/lib", "/usr/lib64", "/opt/homebrew/lib")
NOT_INSTALLED = "libfaketime is not installed (Debian: apt-get install faketime)"
CACHE_SECONDS = 1
"""A process reads its clock's file again after so long."""


def faketime_library() -> Path | None:
    """Find libfaketime: where FAKETIME_LIBRARY says, or in a usual place."""
    if named := os.environ.get("FAKETIME_LIBRARY"):
        return Path(named)
    for place in _USUAL_PLACES:
        for found in sorted(Path(place).glob("**/faketime/libfaketimeMT.so.1")):
            return found
    return None


class Clock:
    """The wall clock of one process or more."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)

    def step(self, seconds: int) -> None:
        """Set it this far ahead of the machine's, or behind it."""
        # Renamed into place: a process that reads half a line goes back to 1970.
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.rename(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to live by this clock."""
        return {
            "LD_PRELOAD": str(faketime_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(CACHE_SECONDS),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
