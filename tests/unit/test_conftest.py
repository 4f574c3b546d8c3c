"""What holds for every test, whatever started it."""

import subprocess
import sys
from pathlib import Path

from tests.processes import REPOSITORY

CHILD = """
import signal, subprocess, sys

def test_a_child_can_be_interrupted():
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert subprocess.check_output([sys.executable, "-c", code]) == b"True\\n"
"""


def test_processes_that_tests_start_can_be_interrupted_where_pytest_cannot(tmp_path: Path) -> None:
    script = tmp_path / "test_child.py"
    script.write_text(CHILD)
    pytest = f"{sys.executable} -m pytest -q -n 0 -p tests.conftest {script}"

    done = subprocess.run(
        ["sh", "-c", f"trap '' INT; exec {pytest}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
