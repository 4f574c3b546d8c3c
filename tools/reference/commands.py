"""The command line as `-h` shows it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from unittest.mock import patch

from constellation_ws.cli.main import app, run


def names() -> Iterator[str]:
    """Name every command, in the order of the help."""
    for command in app.registered_commands:
        assert command.callback is not None
        yield command.name or command.callback.__name__


def block() -> str:
    """Write a section for each command."""
    return "\n".join(f"### {name}\n\n```text\n{_help_of(name)}\n```\n" for name in names())


def _help_of(name: str) -> str:
    said = io.StringIO()
    # A terminal that is narrower than usual would change the page.
    with redirect_stdout(said), patch.dict(os.environ, {"COLUMNS": "80"}):
        run([name, "-h"])
    return said.getvalue().strip()
