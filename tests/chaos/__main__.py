"""`python -m tests.chaos`: as many long runs as wanted, one page each; exit code 1 at any fault."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.chaos.journey import Size, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--clients", type=int, default=280)
    parser.add_argument("--strict-clients", type=int, default=20)
    parser.add_argument("--rate", type=float, default=200, help="events a second")
    parser.add_argument("--rest", type=int, default=800, help="events between two disasters")
    parser.add_argument("--json", type=Path, help="folder for a JSON report of each run")
    parser.add_argument("--keep", type=Path, help="folder for the logs of all processes")
    asked = parser.parse_args()
    size = Size(asked.clients, asked.strict_clients, asked.rate, asked.rest)
    faults = 0
    for number in range(1, asked.runs + 1):
        with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
            folder = (asked.keep or Path(scratch)) / f"run-{number}"
            report = asyncio.run(run(folder, size))
        print(f"run {number} of {asked.runs}\n{report.to_text()}\n", flush=True)
        if asked.json:
            asked.json.mkdir(parents=True, exist_ok=True)
            (asked.json / f"run-{number}.json").write_text(report.to_json())
        faults += len(report.faults())
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
