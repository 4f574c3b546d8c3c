"""`python -m tests.mutation [MODULE…]`: which changes of pure modules their own tests do not find.

cosmic-ray makes the changes in a copy of the source. A change is found where the tests of its
module fail or hang. Exit code 1 where some are not found that no line of ACCEPTED argues for, or
where such a line is not needed any more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutation.changes import Change, changes_of
from tests.mutation.forking import CHANGES

ROOT = Path(__file__).parents[2]
ACCEPTED = Path(__file__).with_name("accepted.txt")
"""Changes that no test can or should find, each with the reason: `module: line of code  # why`."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("modules", nargs="*", help="such as log.positions; all that are pure")
    wanted = parser.parse_args().modules
    (ROOT / "build").mkdir(exist_ok=True)
    with TemporaryDirectory(dir=ROOT / "build", prefix="mutation-") as folder:
        copy = Path(folder, "copy")
        ignored = shutil.ignore_patterns(".*", "build", "dist", "node_modules", "__pycache__")
        shutil.copytree(ROOT, copy, ignore=ignored)
        is_fine = [_report(module, copy) for module in wanted or _pure_modules()]
    return 0 if all(is_fine) else 1


def _report(module: str, copy: Path) -> bool:
    """Judge a module and print the result; give whether all its changes are found or argued for."""
    began = time.monotonic()
    report = _judge(module, copy)
    if report is None:
        print(f"{module}: not judged", flush=True)
        return False
    total, survivors = report
    accepted = _accepted()
    left = [one for one in survivors if (module, one.text) not in accepted]
    argued, seconds = len(survivors) - len(left), time.monotonic() - began
    print(f"{module}: {total} changes in {seconds:.0f} s, {len(left)} not found, {argued} argued")
    for one in left:
        print(f"  line {one.line}: {one.operator}", *one.diff(), sep="\n    ")
    stale = {code for name, code in accepted if name == module} - {one.text for one in survivors}
    for code in sorted(stale):
        print(f"  found by now, or gone: {code}")
    sys.stdout.flush()
    return not left and not stale


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
    """Give the test file of a module; where it has none, the tests of its package."""
    folder, _, name = module.replace(".", "/").rpartition("/")
    package = Path("tests", "unit", folder)
    tests = package / f"test_{name}.py"
    return tests if (ROOT / tests).exists() else package


def _judge(module: str, copy: Path) -> tuple[int, list[Change]] | None:
    """Make every change of a module; give how many there are, and which are not found.

    None where that cannot be done; the reason was printed.
    """
    path = Path("service", "constellation_ws", *module.split(".")).with_suffix(".py")
    changes = [*changes_of(copy / path)]
    if not changes:
        return 0, []
    (copy / CHANGES).write_text(json.dumps([one._asdict() for one in changes]))
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutation.forking", module, _tests_of(module)],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": f"{copy / 'service'}{os.pathsep}{copy}"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return None
    return len(changes), [Change(**one) for one in json.loads(done.stdout)]


def _accepted() -> set[tuple[str, str]]:
    lines = [line for line in ACCEPTED.read_text().splitlines() if line and line[0] != "#"]
    pairs = (line.partition("  # ")[0].partition(": ") for line in lines)
    return {(module, code) for module, _, code in pairs}


if __name__ == "__main__":
    sys.exit(main())
