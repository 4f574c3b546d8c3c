"""Finds out how many seeds it takes until a mutation is found."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial

_HASH_SEED = "0"


def main() -> int:
    """Try the mutations that are named, or all; 1 if one was not found."""
    if os.environ.get("PYTHONHASHSEED") != _HASH_SEED:
        environment = {**os.environ, "PYTHONHASHSEED": _HASH_SEED}
        words = [sys.executable, "-m", "tests.simulation.mutations", *sys.argv[1:]]
        os.execvpe(sys.executable, words, environment)
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutations")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--most", type=int, default=2_000, help="seeds for each")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    from tests.simulation.mutations import MUTATIONS  # noqa: PLC0415 - after the hash seed is set

    missed = 0
    for name in arguments.names or MUTATIONS:
        missed += not _try(name, arguments)
    return 1 if missed else 0


def _try(name: str, arguments: argparse.Namespace) -> bool:
    from tests.simulation.forking import run_all  # noqa: PLC0415
    from tests.simulation.mutations import MUTATIONS  # noqa: PLC0415
    from tests.simulation.run import Task  # noqa: PLC0415

    mutation = MUTATIONS[name]
    make = partial(Task, is_small=True, partitions=mutation.partitions)
    tasks = (
        make(f"{name} {number}", arguments.seconds, mutation.world)
        for number in range(arguments.most)
    )
    count = 0
    for outcome in run_all(tasks, arguments.jobs, mutation.apply):
        count += 1
        if outcome.failures:
            print(f"| `{name}` | {mutation.breaks} | `{mutation.world}` | {count} |", flush=True)
            print(f"    {'; '.join(outcome.failures[:3])[:200]}", flush=True)
            return True
    print(f"{name}: not found in {count} worlds", flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main())
