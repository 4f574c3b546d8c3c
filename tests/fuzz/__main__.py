"""`make fuzz`: every harness, one after another, and what came of it.

atheris guides each by coverage where it is installed; elsewhere inputs are made from the corpus by
chance. What breaks a promise is written into the harness's corpus, which the unit tests replay.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.harnesses import HARNESSES, Harness
from tests.fuzz.mutations import mutated

ROOT = Path(__file__).resolve().parents[2]
GROWN = ROOT / "build" / "fuzz"
"""What coverage led to, to go on from; thousands of files, and no part of the repository."""

MAX_INPUT_BYTES = 2048
INPUT_SECONDS = 10
MEMORY_MB = 1024
_FOUND = r"(crash|timeout|oom|leak|slow-unit)-"
_EXECUTIONS = re.compile(r"stat::number_of_executed_units:\s*(\d+)|^#(\d+)\t", re.M)


def main() -> int:
    """Run the harnesses that were named, or all; the exit code is 1 where one found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", help="harnesses; all unless named")
    parser.add_argument("--seconds", type=int, default=600, help="for each harness")
    arguments = parser.parse_args()
    known = {harness.name: harness for harness in HARNESSES}
    if unknown := set(arguments.names) - set(known):
        parser.error(f"no harness {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    is_guided = importlib.util.find_spec("atheris") is not None
    run = guided if is_guided else by_chance
    print(f"{'atheris guides' if is_guided else 'chance makes'} the inputs", flush=True)
    found = 0
    for name in arguments.names or known:
        before = findings(known[name])
        executions, said = run(known[name], arguments.seconds)
        crashers = sorted(findings(known[name]) - before)
        print(f"{name}: {executions:,} executions, {len(crashers)} findings", flush=True)
        if crashers:
            print("\n".join([*(f"  {file}" for file in crashers), said]), flush=True)
        found += len(crashers)
    return 1 if found else 0


def findings(harness: Harness) -> set[Path]:
    """Give the inputs of the corpus that once broke something and were given no name since."""
    return {file for file in harness.corpus.iterdir() if re.match(_FOUND, file.name)}


def guided(harness: Harness, seconds: int) -> tuple[int, str]:
    """Let libFuzzer work for some seconds, or until it finds something; give what it said."""
    grown = GROWN / harness.name
    grown.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.fuzz", harness.name, str(grown)),
            *(str(harness.corpus), f"-artifact_prefix={harness.corpus}/", "-print_final_stats=1"),
            *(f"-max_total_time={seconds}", f"-max_len={MAX_INPUT_BYTES}"),
            *(f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY_MB}"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = done.stdout.decode(errors="replace")
    counts = [int(final or progress) for final, progress in _EXECUTIONS.findall(said)]
    if done.returncode and not counts:
        raise SystemExit(said)
    return max(counts, default=0), said[-4000:]


def by_chance(harness: Harness, seconds: int) -> tuple[int, str]:
    """Try what chance makes of the corpus for some seconds, or until something is found."""
    chance, inputs = random.Random(), harness.inputs()
    until, executions = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        data = mutated(inputs, chance)[:MAX_INPUT_BYTES]
        executions += 1
        try:
            harness.check(data)
        except Exception as error:  # noqa: BLE001 - whatever is raised is a finding
            (harness.corpus / f"crash-{executions:x}-{seconds}").write_bytes(data)
            return executions, repr(error)
    return executions, ""


if __name__ == "__main__":
    sys.exit(main())
