"""`python -m tests.mutation [MODULE…]`: which changes of pure modules their own tests do not find.

cosmic-ray makes the changes in a copy of the source. A change is found where the tests of its
module fail or hang. Exit code 1 where some are not found that no line of ACCEPTED argues for.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "mutation"
ACCEPTED = Path(__file__).with_name("accepted.txt")
"""Changes that no test can or should find, each with the reason: `module: line of code  # why`."""
_SECONDS = 30
"""For the tests of one module: a change that makes them hang is found."""
_CONFIG = """
[cosmic-ray]
module-path = "{path}"
timeout = {seconds}
excluded-modules = []
test-command = "{python} -m pytest -x -q -p no:cacheprovider -p no:xdist {tests}"
[cosmic-ray.distributor]
name = "local"
[cosmic-ray.filters.operators-filter]
exclude-operators = [
  # The same for values of an Enum, None and singletons.
  "core/ReplaceComparisonOperator_Is_Eq", "core/ReplaceComparisonOperator_Eq_Is",
  "core/ReplaceComparisonOperator_IsNot_NotEq", "core/ReplaceComparisonOperator_NotEq_IsNot",
]
"""


class Survivor(NamedTuple):
    """A change that no test has found."""

    module: str
    line: int
    code: str
    operator: str
    diff: str


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("modules", nargs="*", help="such as log.positions; all that are pure")
    wanted = parser.parse_args().modules
    accepted = _accepted()
    failed = False
    for module in wanted or _pure_modules():
        tests = _tests_of(module)
        if not tests.exists():
            print(f"{module}: no tests of its own", flush=True)
            failed = True
            continue
        total, survivors = _mutate(module, tests)
        left = [one for one in survivors if (one.module, one.code) not in accepted]
        argued = len(survivors) - len(left)
        print(f"{module}: {total} changes, {len(left)} not found, {argued} argued", flush=True)
        for one in left:
            print(f"  line {one.line}: {one.operator}\n{one.diff}", flush=True)
        failed = failed or bool(left)
    return 1 if failed else 0


def _pure_modules() -> Iterator[str]:
    """Name the modules that decide, as import-linter has them."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = (
        one for one in document["tool"]["importlinter"]["contracts"] if one["id"] == "pure"
    )
    package = ROOT / "service" / "constellation_ws"
    for name in contract["source_modules"]:
        module = name.removeprefix("constellation_ws.")
        folder = package / module.replace(".", "/")
        if folder.is_dir():
            stems = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
            yield from (f"{module}.{stem}" for stem in stems)
        else:
            yield module


def _tests_of(module: str) -> Path:
    folder, _, name = module.replace(".", "/").rpartition("/")
    return ROOT / "tests" / "unit" / folder / f"test_{name}.py"


def _mutate(module: str, tests: Path) -> tuple[int, list[Survivor]]:
    """Make every change of a module; give how many there were, and which were not found."""
    shutil.rmtree(BUILD, ignore_errors=True)
    for folder in ("service", "tests"):
        shutil.copytree(
            ROOT / folder, BUILD / folder, ignore=shutil.ignore_patterns("node_modules")
        )
    shutil.copy(ROOT / "pyproject.toml", BUILD)
    path = f"service/constellation_ws/{module.replace('.', '/')}.py"
    (BUILD / "config.toml").write_text(
        _CONFIG.format(
            path=path,
            seconds=_SECONDS,
            python=sys.executable,
            tests=tests.relative_to(ROOT),
        )
    )
    _run("cosmic_ray.cli", "init", "config.toml", "session.sqlite")
    _run("cosmic_ray.tools.filters.operators_filter", "session.sqlite", "config.toml")
    _run("tests.mutation.signatures", "session.sqlite")
    _run("cosmic_ray.cli", "exec", "config.toml", "session.sqlite")
    dump = _run("cosmic_ray.cli", "dump", "session.sqlite")
    results = [json.loads(line) for line in dump.splitlines() if line]
    survivors = [
        _survivor(module, path, work, result)
        for work, result in results
        if result is not None and result["test_outcome"] == "survived"
    ]
    made = [result for _, result in results if result and result["worker_outcome"] == "normal"]
    return len(made), survivors


def _run(module: str, *arguments: str) -> str:
    tools = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [BUILD / "service", BUILD, *(Path(one).resolve() for one in tools if one)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "HYPOTHESIS_PROFILE": "mutation",
    }
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=BUILD,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def _survivor(module: str, path: str, work: Any, result: Any) -> Survivor:
    (mutation,) = work["mutations"]
    line = mutation["start_pos"][0]
    code = (ROOT / path).read_text().splitlines()[line - 1].strip()
    diff = "\n".join(
        f"    {text}"
        for text in result["diff"].splitlines()
        if text[:1] in "+-" and text[:3] not in ("+++", "---")
    )
    return Survivor(module, line, code, mutation["operator_name"], diff)


def _accepted() -> set[tuple[str, str]]:
    if not ACCEPTED.exists():
        return set()
    lines = [line for line in ACCEPTED.read_text().splitlines() if line and line[0] != "#"]
    pairs = (line.partition("  # ")[0].partition(": ") for line in lines)
    return {(module, code) for module, _, code in pairs}


if __name__ == "__main__":
    sys.exit(main())
