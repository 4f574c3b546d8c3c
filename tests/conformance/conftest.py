"""The conformance profile as a process, in three tempers.

Lives here: starting and ending it, and the proof that nothing was said on its standard error.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from tests.processes import REPOSITORY
from tests.waiting import PATIENCE_SECONDS

PING_INTERVAL_SECONDS, PING_TIMEOUT_SECONDS = 0.3, 0.6
CONNECT_TIMEOUT_SECONDS = 1.5
# Longer than anything is waited for: who is closed for breaking the protocol is not waited for.
LINGER_SECONDS = 10 * PATIENCE_SECONDS


@pytest.fixture(scope="session")
def patient_port(start_profile: Callable[..., int]) -> int:
    """A profile that gives its clients all the time they need, but not to answer a close."""
    return start_profile(ping_interval=25, ping_timeout=20, linger=LINGER_SECONDS)


@pytest.fixture(scope="session")
def beating_port(start_profile: Callable[..., int]) -> int:
    """A profile that pings often and waits long for a pong: for clients that stay."""
    return start_profile(
        ping_interval=PING_INTERVAL_SECONDS,
        ping_timeout=PATIENCE_SECONDS,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
    )


@pytest.fixture(scope="session")
def hasty_port(start_profile: Callable[..., int]) -> int:
    """A profile whose patience is short enough to wait for its end."""
    return start_profile(
        ping_interval=PING_INTERVAL_SECONDS,
        ping_timeout=PING_TIMEOUT_SECONDS,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
    )


@pytest.fixture(scope="session")
def start_profile(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., int]]:
    """Start profiles that live as long as the session; each must end in silence."""
    folder = tmp_path_factory.mktemp("profiles")
    with _profiles(folder) as start:
        yield start


@contextmanager
def _profiles(folder: Path) -> Iterator[Callable[..., int]]:
    running: list[tuple[subprocess.Popen[str], Path]] = []

    def start(**seconds: float) -> int:
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in seconds.items()]
        errors = folder / f"{len(running)}.err"
        with errors.open("w") as stderr:
            process = _start(arguments, stderr)
        running.append((process, errors))
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on "), errors.read_text()
        return int(line.rsplit(" ", 1)[1])

    try:
        yield start
    finally:
        for process, _ in running:
            process.terminate()
        said = [_end(process, errors) for process, errors in running]
    assert said == [""] * len(running), "a client's doing has made the server complain"


def _start(arguments: list[str], stderr: TextIO) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.conformance", "--port", "0", *arguments],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def _end(process: subprocess.Popen[str], errors: Path) -> str:
    try:
        process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return errors.read_text()
