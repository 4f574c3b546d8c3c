"""`python -m tests.chaos`: long runs with overlapping disasters; `--short`: each world alone.

Exit code 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.deployment import deployed
from tests.chaos.plan import lines_of
from tests.chaos.report import Row, table
from tests.chaos.run import Result, live
from tests.chaos.side_by_side import one_by_one, side_by_side
from tests.chaos.worlds import Leg, long_legs, short_legs, skipped

_SHOWN_TROUBLES = 5


def main() -> int:
    # What was started is ended by whoever started it: a terminated run has to get that far.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked = _parser().parse_args()
    asked.seed = asked.seed or secrets.token_hex(4)
    if asked.list:
        print("\n".join(f"{leg.name:20} {leg.topology}" for leg in short_legs("")))
        return 0
    if asked.worker:
        asyncio.run(one_by_one(asked.keep, _wanted(asked), asked.seed))
        return 0
    print(f"seed {asked.seed}", flush=True)
    rows = _short(asked) if asked.short or asked.world else _long(asked)
    print(f"\n{table(rows)}\n")
    for row in rows:
        for trouble in row.troubles[:_SHOWN_TROUBLES]:
            print(f"{row.world}: {trouble}")
    failed = [row.world for row in rows if row.faults]
    print(f"seed {asked.seed}: " + (f"FAILED: {', '.join(failed)}" if failed else "all is well"))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--list", action="store_true", help="name the worlds")
    parser.add_argument("--short", action="store_true", help="each world alone, with few clients")
    parser.add_argument("--world", action="append", help="only this world, alone; repeatable")
    parser.add_argument("--seed", help="replays a plan")
    parser.add_argument("--runs", type=int, default=5, help="long runs")
    parser.add_argument("--jobs", type=int, default=3, help="short worlds side by side")
    parser.add_argument("--pods", type=int, help="gateways")
    parser.add_argument("--partitions", type=int, default=1, help="of the log (1)")
    parser.add_argument("--keep", type=Path, help="folder for the logs of all processes")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


# Long


def _long(asked: argparse.Namespace) -> list[Row]:
    total: dict[str, Row] = {}
    for number in range(1, asked.runs + 1):
        seed = asked.seed if asked.runs == 1 else f"{asked.seed}-{number}"
        print(f"run {number} of {asked.runs}, seed {seed}", flush=True)
        for leg in long_legs(seed, asked.pods, asked.partitions):
            if reason := skipped(leg):
                print(f"{leg.name}: skipped: {reason}", flush=True)
                continue
            print(f"{leg.name}:", *lines_of(leg.plan), sep="\n", flush=True)
            result = _lived(leg, seed, asked.keep)
            print(f"{table(result.rows)}\n{result.story}", flush=True)
            print(f"the machine was too busy for {result.starved_seconds:.1f} s\n", flush=True)
            for row in result.rows:
                total.setdefault(row.world, Row(row.world)).add(row)
    return list(total.values())


def _lived(leg: Leg, seed: str, keep: Path | None) -> Result:
    async def life(folder: Path) -> Result:
        size = leg.size
        async with deployed(folder, leg.topology, size.pods, size.partitions) as deployment:
            return await live(deployment, leg, seed)

    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        name = leg.name.replace(": ", "-")
        return asyncio.run(life((keep or Path(scratch)) / f"{seed}-{name}"))


# Short


def _short(asked: argparse.Namespace) -> list[Row]:
    words = ["--seed", asked.seed]
    for name in ("pods", "partitions", "keep"):
        if (value := getattr(asked, name)) is not None:
            words += [f"--{name}", str(value)]
    return asyncio.run(side_by_side(_wanted(asked), asked.jobs, words))


def _wanted(asked: argparse.Namespace) -> list[Leg]:
    wanted = set(asked.world or [])
    known = short_legs(asked.seed, asked.pods, asked.partitions)
    legs = [leg for leg in known if leg.name in wanted or not wanted]
    if unknown := wanted - {leg.name for leg in legs}:
        raise SystemExit(f"there is no world {', '.join(sorted(unknown))}; see --list")
    return legs


if __name__ == "__main__":
    sys.exit(main())
