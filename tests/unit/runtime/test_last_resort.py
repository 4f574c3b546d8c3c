"""The end of a process that does not end by itself, shown by processes that hang."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import REPOSITORY
from tests.waiting import PATIENCE_SECONDS

_HANGS = {
    "the event loop": "time.sleep(3600)",
    "a thread that the interpreter joins": "Thread(target=time.sleep, args=[3600]).start()",
}


@pytest.mark.parametrize("hang", _HANGS)
def test_a_process_that_hangs_ends_with_the_code_and_says_why(hang: str) -> None:
    program = f"""
import time
from threading import Thread
from constellation_ws.runtime.last_resort import LastResort
last_resort = LastResort()
last_resort.end_in(3600, 1, "replaced")
last_resort.end_in(0.1, 143, "a second signal")
{_HANGS[hang]}
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_SECONDS,
        check=False,
    )
    assert ended.returncode == 143
    assert "a second signal" in ended.stdout + ended.stderr
