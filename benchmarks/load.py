"""The door to the load generator: builds it when needed, runs it, and reads what it printed.

What the figures mean is decided elsewhere.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import msgspec

from benchmarks.machine import pinned

_FOLDER = Path(__file__).parent
_BUILD = _FOLDER / ".build"
_RUN_SECONDS = 600.0
"""Beyond what the options name as the time to measure."""


class LoadFailed(Exception):
    """The generator could not be built or gave up; the text is its sentence."""


@dataclass(frozen=True, slots=True)
class Span:
    """What happened between two moments. CPU is user and system time of the whole process."""

    wall_s: float
    server_cpu_s: float
    redis_cpu_s: float
    generator_cpu_s: float
    events: int
    deliveries: int
    frames_per_read: float


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One run. `kib_*` is the server's anonymous memory around the counted connects."""

    connecting: Span
    connects: int
    kib_before: int
    kib_after: int
    measured: Span | None = None
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    began_s: float = 0.0
    """When measuring began, by the monotonic clock of the machine."""
    slices_p99_ms: tuple[float, ...] = ()
    """By slices of the seconds that were asked for."""


def build() -> Path:
    """The generator's program, compiled anew only when its source has changed."""
    sources = sorted([_FOLDER / "load_generator.c", *(_FOLDER / "load_generator").iterdir()])
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    program = _BUILD / f"load_generator-{digest[:16]}"
    if not program.exists():
        _BUILD.mkdir(exist_ok=True)
        _compile([source for source in sources if source.suffix == ".c"], program)
    return program


def run(program: Path, options: Mapping[str, str | float], cores: frozenset[int]) -> LoadReport:
    """Raises `LoadFailed` when the server misbehaved: refused, closed, lost or doubled."""
    seconds = _RUN_SECONDS + float(options.get("seconds", 0))
    arguments = [str(program), *(f"--{name}={value}" for name, value in options.items())]
    try:
        with pinned(cores):
            done = subprocess.run(
                arguments, capture_output=True, text=True, timeout=seconds, check=False
            )
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"No end within {seconds:.0f} seconds.") from error
    if done.returncode != 0:
        raise LoadFailed(done.stderr.strip() or f"exit code {done.returncode}")
    return msgspec.json.decode(done.stdout, type=LoadReport)


def _compile(sources: list[Path], program: Path) -> None:
    # A name of its own until it is whole, so that two shells' builds do not meet half-way.
    unfinished = program.with_suffix(f".{os.getpid()}")
    command = [*_compiler(), "-std=gnu11", "-O2", "-o", str(unfinished), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LoadFailed(f"The load generator does not compile:\n{done.stderr}")
    unfinished.rename(program)


def _compiler() -> list[str]:
    found = shutil.which("cc")
    if found:
        return [found]
    if find_spec("ziglang") is None:
        raise LoadFailed("No C compiler: install one, or the Python package `ziglang`.")
    return [sys.executable, "-m", "ziglang", "cc"]
