"""`make observe` and `make observe-sheet`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from constellation_ws.cli import local
from constellation_ws.settings.settings import Settings
from tools.observe.world import World, running_world

_ROLL_EVERY_SECONDS = 60.0
_WHERE = """
  Dashboards  {page}
              those of the chart, with what this Prometheus answers, and the alerts
  Prometheus  {prometheus}/graph
  Traces      {traces}
  Gateway     {gateway}/metrics (the first of two pods)
  Redis       {redis}

Forty clients chat, one never reads, one is refused, and every minute a pod is replaced.
Press Ctrl-C to stop.
"""


def main() -> int:
    """Run it; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.observe", description=__doc__)
    parser.add_argument("--sheet", type=Path, help="draw every panel into this PNG and end")
    sheet: Path | None = parser.parse_args().sheet
    code = 0
    try:
        asyncio.run(_run(sheet))
    except* local.CannotStart as errors:
        print(*errors.exceptions, sep="\n", file=sys.stderr)
        code = 1
    return code


async def _run(sheet: Path | None) -> None:
    print("Starting two gateways, a Valkey, Prometheus and the demo load", flush=True)
    with local.stop_signals() as stop:
        async with running_world(Settings(), stop) as world:
            print(_where(world), flush=True)
            if sheet is None:
                await _roll_until(stop, world)
            else:
                from tools.observe.sheet import draw  # noqa: PLC0415 - matplotlib is not for all

                await draw(world, stop, sheet)


async def _roll_until(stop: asyncio.Event, world: World) -> None:
    while not stop.is_set():
        await local.wait(stop, _ROLL_EVERY_SECONDS)
        if not stop.is_set():
            await world.pods.roll()
            print("A pod was replaced.", flush=True)
    print("\nStopping", flush=True)


def _where(world: World) -> str:
    return _WHERE.format(
        page=world.page.url,
        prometheus=world.prometheus.pages,
        traces=world.traces.url,
        gateway=world.place.url,
        redis=world.place.redis_url,
    )


if __name__ == "__main__":
    sys.exit(main())
