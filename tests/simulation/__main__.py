"""`make simulate`: worlds by seed, and for one that fails its replay, its plan and its story."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

_HASH_SEED = "0"
_FOLDER = Path("build/simulation")


def main() -> int:
    """Run what the arguments say; 1 if a world failed."""
    if os.environ.get("PYTHONHASHSEED") != _HASH_SEED:
        # What depends on the order of hashes repeats only so.
        environment = {**os.environ, "PYTHONHASHSEED": _HASH_SEED}
        os.execvpe(
            sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], environment
        )
    arguments = _parse()
    from tests.simulation.faults import FAULTS  # noqa: PLC0415 - after the hash seed is set

    if arguments.list:
        print("\n".join(FAULTS))
        return 0
    return _simulate(arguments)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, help="how many fresh seeds (100)")
    parser.add_argument("--seed", action="append", default=[], help="this one; may be repeated")
    parser.add_argument("--seconds", type=float, default=30, help="in which faults strike")
    parser.add_argument(
        "--world", default="all", help="only this fault, or these with + between them"
    )
    parser.add_argument("--plan", help="these faults, as a failing seed prints them")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long")
    parser.add_argument("--jobs", type=int, default=1, help="worlds side by side")
    parser.add_argument("--mutation", help="break the gateway in this way first")
    parser.add_argument("--keep-on", action="store_true", help="do not stop at the first failure")
    parser.add_argument("--small", action="store_true", help="few clients, two or three pods")
    parser.add_argument("--partitions", type=int, help="of the log, in every world")
    parser.add_argument("--list", action="store_true", help="list the faults")
    return parser.parse_args()


def _simulate(arguments: argparse.Namespace) -> int:
    from tests.simulation import plan  # noqa: PLC0415
    from tests.simulation.forking import run_all  # noqa: PLC0415
    from tests.simulation.mutations import MUTATIONS  # noqa: PLC0415
    from tests.simulation.run import Task  # noqa: PLC0415

    blows = None if arguments.plan is None else tuple(plan.from_text(arguments.plan))
    prepare = MUTATIONS[arguments.mutation].apply if arguments.mutation else None
    fresh = arguments.seeds if arguments.seeds is not None else 0 if arguments.seed else 100
    seeds = chain(arguments.seed, _fresh(fresh))
    tasks = (
        Task(seed, arguments.seconds, arguments.world, blows, arguments.small, arguments.partitions)
        for seed in seeds
    )
    began, cpu = time.monotonic(), sum(os.times()[:4])
    count, failed, virtual, delivered = 0, 0, 0.0, 0
    until = began + 60 * arguments.minutes
    for outcome in run_all(tasks, arguments.jobs, prepare, until):
        count += 1
        virtual += outcome.virtual_seconds
        delivered += outcome.delivered
        if outcome.seed in arguments.seed:
            print(f"seed {outcome.seed}: fingerprint {outcome.fingerprint}")
        if outcome.failures:
            failed += 1
            task = Task(
                outcome.seed, arguments.seconds, arguments.world, tuple(outcome.blows),
                arguments.small, arguments.partitions,
            )  # fmt: skip
            _report(task, outcome.failures, outcome.story, prepare, arguments)
            if not arguments.keep_on:
                break
    used = sum(os.times()[:4]) - cpu
    print(
        f"{count} worlds, {failed} failed; {virtual / 60:.1f} virtual minutes and {delivered} "
        f"deliveries in {time.monotonic() - began:.0f} s ({used:.0f} s of CPU)"
    )
    return 1 if failed else 0


def _fresh(count: int) -> Iterator[str]:
    for _ in range(count):
        yield secrets.token_hex(4)


def _report(task, failures: Sequence[str], story: str, prepare, arguments) -> None:  # type: ignore[no-untyped-def]
    from tests.simulation import plan  # noqa: PLC0415
    from tests.simulation.forking import run_all  # noqa: PLC0415

    def fails(blows: Sequence[object]) -> bool:
        (outcome,) = run_all([replace(task, blows=tuple(blows))], 1, prepare)
        return bool(outcome.failures)

    print(f"seed {task.seed} FAILED:")
    for failure in failures[:8]:
        print(f"  {failure}")
    blows = task.blows
    if len(blows) > 1 and not arguments.keep_on:
        blows = plan.shorten(blows, fails)
        (outcome,) = run_all([replace(task, blows=tuple(blows))], 1, prepare)
        story = outcome.story or story
    _FOLDER.mkdir(parents=True, exist_ok=True)
    path = _FOLDER / f"{task.seed}.txt"
    path.write_text(story)
    print(f"  faults: {', '.join(map(str, blows)) or 'none'}")
    options = f" --mutation {arguments.mutation}" if arguments.mutation else ""
    options += f" --partitions {task.partitions}" if task.partitions is not None else ""
    print(
        f"  replay: python -m tests.simulation --seed {task.seed} --seconds {task.seconds:g}"
        f"{options}{' --small' if task.is_small else ''} --plan '{plan.to_text(blows)}'"
    )
    print(f"  story:  {path}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
