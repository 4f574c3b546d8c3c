"""`python -m tests.mutation.forking MODULE TESTS…`: judges the changes of one module.

The tests run once for each change, in a fork of this process, which has imported what they import
and the change cannot affect. That takes a fourth of the time of a new process. cosmic-ray is not
here: Hypothesis would take its constants for those of the project, and make other examples.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import math
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import grimp
import pytest
from hypothesis import Phase, settings
from hypothesis.internal.conjecture.providers import _get_local_constants

CHANGES = Path("changes.json")
"""Of the module; those that the tests do not find are printed, in the same form."""
_OUTPUT, _IMPORTED, _FINDER = Path("output.txt"), Path("imported.json"), Path("finder.txt")
_PLUGINS = ("_hypothesis_pytestplugin", "pytest_asyncio.plugin", "pytest_timeout")
_OPTIONS = ("-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "--hypothesis-profile=mutation")
_MEMORY_BYTES = 2 << 30
"""A loop that a change has made endless may also collect."""
_FORK = multiprocessing.get_context("fork")


class Limits(NamedTuple):
    """What a run of the tests may use: a change that makes them hang is found."""

    cpu_seconds: int
    """Another process on the machine does not use these up."""
    seconds: float


_FIRST = Limits(120, 600.0)


class _LastFinderFirst:
    """Runs the test first that has found a change last: it mostly finds the next one too."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        finder = _FINDER.read_text() if _FINDER.exists() else ""
        items.sort(key=lambda one: one.nodeid != finder)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            _FINDER.write_text(report.nodeid)


def _skip(*_arguments: object, **_keywords: object) -> None:
    pytest.skip("a pure module needs no other process to be tested")


def main(module: str, *tests: str) -> None:
    """Judge each change of a module; the current folder is a copy of the source."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    # The examples of `make test`. What fails need not be made small.
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutation", deadline=None, derandomize=True, phases=phases)
    name = f"constellation_ws.{module}"
    path = Path("service", *name.split(".")).with_suffix(".py")
    sys.dont_write_bytecode = False  # whatever the environment says: most of it is imported again
    _check(tests, _FIRST)
    # Its age in seconds and its size are all that shows that compiled code is that of a change.
    Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)
    sys.dont_write_bytecode = True
    _import_unaffected(name)
    limits = _measure(tests)
    survivors = []
    for change in json.loads(CHANGES.read_text()):
        path.write_text(change["after"])
        if _run(tests, limits) == 0:
            survivors.append(change)
        path.write_text(change["before"])
    print(json.dumps(survivors))


def _check(tests: tuple[str, ...], limits: Limits) -> None:
    if _run(tests, limits) != 0:
        sys.exit(f"The tests fail without a change:\n{_OUTPUT.read_text()}")


def _import_unaffected(name: str) -> None:
    """Import what the tests have imported, but themselves and what depends on the module."""
    imported = json.loads(_IMPORTED.read_text())
    if name not in imported:
        sys.exit(f"The tests do not import {name}.")
    affected = _affected(name)
    with warnings.catch_warnings(action="ignore"):
        for one in imported:
            if one not in affected and one.partition(".")[0] not in ("tests", "__main__"):
                with suppress(ImportError):  # some names are made up by their packages
                    importlib.import_module(one)
        # Hypothesis looks for these in all modules that are imported: a fourth of what is left.
        _get_local_constants()
    assert not affected & sys.modules.keys(), "each fork must import these itself"
    gc.freeze()


def _affected(name: str) -> set[str]:
    """Name the module, and all that import it, also by way of their package."""
    graph = grimp.build_graph("constellation_ws", cache_dir=None)
    found: set[str] = set()
    next_ones = {name}
    while next_ones:
        found |= next_ones
        further = (
            graph.find_modules_that_directly_import(one) | graph.find_children(one)
            for one in next_ones
        )
        next_ones = set().union(*further) - found
    return found


def _measure(tests: tuple[str, ...]) -> Limits:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _check(tests, _FIRST)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Limits(2 + math.ceil(3 * used), 15 + 10 * used)


def _run(tests: tuple[str, ...], limits: Limits) -> int:
    """Run the tests in a fork; give its exit code, which is 0 where they pass."""
    process = _FORK.Process(target=_run_here, args=(tests, limits.cpu_seconds))
    process.start()
    process.join(limits.seconds)
    if process.exitcode is None and process.pid is not None:
        os.killpg(process.pid, signal.SIGKILL)  # also what the tests have forked
        process.join()
    assert process.exitcode is not None, "it has ended"
    return process.exitcode


def _run_here(tests: tuple[str, ...], cpu_seconds: int) -> None:
    os.setpgrp()
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    code = 1
    try:
        with _OUTPUT.open("w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        pytest.MonkeyPatch().setattr(subprocess.Popen, "__init__", _skip)
        plugins = [text for name in _PLUGINS for text in ("-p", name)]
        code = int(pytest.main([*_OPTIONS, *plugins, *tests], [_LastFinderFirst()]))
        if not sys.dont_write_bytecode:
            # In this order: `_asyncio` before `asyncio` would be imported twice.
            _IMPORTED.write_text(json.dumps([*sys.modules]))
        sys.stdout.flush()
    finally:
        os._exit(code)  # what the tests have left behind shall not delay it


if __name__ == "__main__":
    main(*sys.argv[1:])
