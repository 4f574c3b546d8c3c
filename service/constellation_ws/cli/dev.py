"""`dev`: a gateway on this machine that starts again whenever its source changes."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import Iterable, Mapping
from pathlib import Path

from constellation_ws.cli import local
from constellation_ws.settings.settings import Settings

_LOOK_SECONDS = 0.5
_SOURCES = Path(__file__).parents[1]


def develop(values: Settings) -> int:
    """Run until Ctrl-C; give the exit code. Raises local.CannotStart."""
    print(
        "Starting a gateway that restarts when its source changes. Press Ctrl-C to stop.",
        flush=True,
    )
    files = (values.delivery.interface_file, values.delivery.routes_file)
    extra = [file for file in files if file is not None]
    with local.place(values, {}) as where:
        return asyncio.run(_develop(where, extra))


async def _develop(where: local.LocalEndpoint, extra: Iterable[Path]) -> int:
    seen, has_been_ready = times(extra), False
    with local.stop_signals() as stop:
        while not stop.is_set():
            async with local.gateway(where) as process:
                if await local.ready(process, where, stop):
                    has_been_ready = has_been_ready or _greet(where)
                elif not has_been_ready:
                    return 0 if stop.is_set() else 1  # the gateway has said why
                changed = await _watch(process, seen, extra, stop)
            seen = times(extra)
            if changed:
                print(f"{', '.join(changed)} changed: restarting", file=sys.stderr)
    return 0


async def _watch(
    process: Process, seen: Mapping[Path, int], extra: Iterable[Path], stop: asyncio.Event
) -> list[str]:
    """Wait for a change or for the end; a gateway that died waits for its repair."""
    is_reported = False
    while not stop.is_set():
        if changed := changes(seen, times(extra)):
            return changed
        if process.returncode is not None and not is_reported:
            print("The gateway exited; it restarts at the next change.", file=sys.stderr)
            is_reported = True
        await local.wait(stop, _LOOK_SECONDS)
    return []


def times(extra: Iterable[Path]) -> dict[Path, int]:
    """Say when each source was last written, in nanoseconds; what is gone is left out."""
    kinds = ("*.py", "*.toml", "*.html", "*.css", "*.js")
    sources = (*(path for kind in kinds for path in _SOURCES.rglob(kind)), *extra)
    return {path: path.stat().st_mtime_ns for path in sources if path.exists()}


def changes(before: Mapping[Path, int], after: Mapping[Path, int]) -> list[str]:
    """Name the files that came, went or were written in between."""
    paths = before.keys() | after.keys()
    return sorted(path.name for path in paths if before.get(path) != after.get(path))


def _greet(where: local.LocalEndpoint) -> bool:
    print(f"\nThe gateway is ready.\n\n{local.how_to_join(where)}", flush=True)
    return True
