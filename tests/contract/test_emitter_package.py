"""`@socket.io/redis-emitter` publishes what the tables of the unit tests say, byte for byte."""

import json
import subprocess

from tests.emitter_cases import FILE, SCRIPT
from tests.processes import node_executable


def test_the_package_still_writes_the_messages_of_the_table() -> None:
    printed = subprocess.run([node_executable(), SCRIPT], capture_output=True, check=True)
    assert json.loads(printed.stdout) == json.loads(FILE.read_text("utf-8"))
