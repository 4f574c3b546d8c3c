"""What `.ci/run` runs on which machine, and when it fails; `make` and the machine are stubs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import REPOSITORY

OURS = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHER = "3.99"
MAKE = """#!/bin/sh
echo "$@" >> make.log
case "$*" in *" image-test") {image_test} ;; esac
"""


class Machine:
    """A checkout with `.ci/run`, and the commands that it finds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._commands = folder / "commands"
        self._commands.mkdir()
        for name in (".ci", "tools", ".venv/bin"):
            folder.joinpath(name).mkdir(parents=True)
        shutil.copy(REPOSITORY / ".ci" / "run", folder / ".ci" / "run")
        folder.joinpath(".venv/bin/python").symlink_to(sys.executable)
        for name in ("python3", "promtool", "prometheus", "apt-get"):
            self.has(name, "#!/bin/sh\n")
        self.has("id", "#!/bin/sh\necho 0\n")
        self.has_image_python(OURS)
        self.tests_images("exit 0")

    def has(self, name: str, script: str) -> None:
        """Put a command on the PATH."""
        self._write(self._commands / name, script)

    def has_image_python(self, version: str, code: int = 0) -> None:
        """Say which Python the image ships, and whether the machine has it."""
        script = f'[ "${{1:-}}" = --version ] && echo {version} || exit {code}'
        self._write(self._folder / "tools" / "image-python", f"#!/bin/sh\n{script}\n")

    def tests_images(self, how: str) -> None:
        """Say in shell what `make image-test` does."""
        self.has("make", MAKE.format(image_test=how))

    def run(self, **environment: str) -> tuple[int, str, list[str]]:
        """Give the exit code, what was said, and the targets that were made."""
        done = subprocess.run(
            [self._folder / ".ci" / "run"],
            env={"PATH": f"{self._commands}:{os.defpath}", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        made = self._folder.joinpath("make.log").read_text().splitlines()
        return done.returncode, done.stdout, [line.split()[-1] for line in made]

    @staticmethod
    def _write(file: Path, script: str) -> None:
        file.write_text(script)
        file.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_where_the_tests_run_on_the_image_s_python_they_run_once(machine: Machine) -> None:
    assert machine.run() == (0, "", ["test", "image-test"])


def test_where_the_image_s_python_is_another_that_is_here_it_is_tested_too(
    machine: Machine,
) -> None:
    machine.has_image_python(OTHER)

    assert machine.run() == (0, "", ["test", "image-python-test", "image-test"])


def test_where_the_image_s_python_is_not_here_that_is_said(machine: Machine) -> None:
    machine.has_image_python(OTHER, code=1)

    code, said, made = machine.run()

    assert (code, made) == (0, ["test", "image-test"])
    assert f"image-python-test: not run, since this machine has no Python {OTHER}" in said


def test_image_tests_that_fail_fail_it(machine: Machine) -> None:
    machine.tests_images("exit 2")

    code, _, made = machine.run()

    assert (code, made) == (2, ["test", "image-test"])


def test_image_tests_without_a_verdict_in_time_fail_it(machine: Machine) -> None:
    machine.tests_images("exec sleep 600")

    code, said, _ = machine.run(TOTAL_SECONDS="0", LEAST_IMAGE_SECONDS="1")

    assert code != 0
    assert "image-test: FAILED, since it had no verdict after 1 s" in said


def test_a_machine_that_cannot_get_the_tools_has_not_failed(machine: Machine) -> None:
    machine.has("apt-get", "#!/bin/sh\nexit 100\n")

    code, said, made = machine.run()

    assert (code, made) == (0, ["test"])
    assert "image-test: not run, since apt-get cannot install" in said


def test_the_image_s_python_is_the_one_that_the_dockerfile_names() -> None:
    find = REPOSITORY / "tools" / "image-python"
    named = subprocess.run([find, "--version"], capture_output=True, text=True, check=True)
    version = named.stdout.strip()
    assert f"/python:{version}-" in (REPOSITORY / "Dockerfile").read_text()

    found = subprocess.run([find], capture_output=True, text=True, check=False)

    if found.returncode:
        assert (found.returncode, found.stdout) == (1, "")
    else:
        told = subprocess.run(
            [found.stdout.strip(), "--version"], capture_output=True, text=True, check=True
        )
        assert told.stdout.startswith(f"Python {version}.")
