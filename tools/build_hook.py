"""Compiles `_sending.c` when the project is installed or its wheel is built: a build hook of hatch.

What it needs is a C compiler (`cc`, or the package `ziglang`) and the headers of Python. Where one
is missing the project is built without the module and works as it does with it, only slower.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCE = "service/constellation_ws/runtime/_sending.c"
_MODULE = _SOURCE.replace(".c", ".abi3.so")
_OPTIONS = ("-std=gnu11", "-O2", "-shared", "-fPIC", "-DPy_LIMITED_API=0x030b0000")


class Compiling(BuildHookInterface):  # type: ignore[type-arg]  # of no configuration
    """Adds the compiled module to what is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, in place: an editable install runs the sources where they are."""
        root = Path(self.root)
        fault = _compile(root / _SOURCE, root / _MODULE)
        if fault:
            self.app.display_warning(f"_sending is not compiled: {fault}")
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["artifacts"].append(f"/{_MODULE}")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"


def _compile(source: Path, module: Path) -> str:
    """Compile a module. Returns why it could not be done; an empty text if it was."""
    headers = sysconfig.get_path("include")
    compiler = _compiler()
    if sys.platform != "linux":
        return "it is for Linux"
    if not (Path(headers) / "Python.h").exists():
        return f"{headers} has no Python.h"
    if not compiler:
        return "there is no C compiler: install one, or the Python package `ziglang`"
    with tempfile.TemporaryDirectory() as folder:
        # A name of its own until it is whole: a process that runs has the old one loaded.
        unfinished = Path(folder) / module.name
        done = subprocess.run(
            [*compiler, *_OPTIONS, f"-I{headers}", "-o", unfinished, source],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder},
        )
        if done.returncode != 0:
            return done.stderr
        shutil.copyfile(unfinished, module.with_suffix(".new"))
    module.with_suffix(".new").rename(module)
    return ""


def _compiler() -> list[str]:
    found = shutil.which("cc")
    if found:
        return [found]
    return [sys.executable, "-m", "ziglang", "cc"] if find_spec("ziglang") else []
