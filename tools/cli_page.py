"""Writes the reference of docs/cli.md from what `-h` says.

`python -m tools.cli_page` writes, with `--check` it only says whether anything would change.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from unittest.mock import patch

from constellation_ws.cli.main import app, run

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
STALE = "The reference of commands is stale: run `python -m tools.cli_page`."
_BEGIN, _END = "<!-- commands: generated -->", "<!-- commands: end -->"


def commands() -> Iterator[str]:
    """Name every command, in the order of the help."""
    for command in app.registered_commands:
        assert command.callback is not None
        yield command.name or command.callback.__name__


def reference() -> str:
    """Write a section for each command."""
    sections = (f"### {name}\n\n```text\n{_help_of(name)}\n```\n" for name in commands())
    return "\n".join(sections)


def updated(text: str) -> str:
    """Give the page with its reference as it should be."""
    pattern = re.compile(f"{re.escape(_BEGIN)}.*{re.escape(_END)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"The page must have {_BEGIN} and {_END} once.")
    return pattern.sub(lambda _: f"{_BEGIN}\n{reference()}\n{_END}", text)


def _help_of(name: str) -> str:
    said = io.StringIO()
    # A terminal that is narrower than usual would change the page.
    with redirect_stdout(said), patch.dict(os.environ, {"COLUMNS": "80"}):
        run([name, "-h"])
    return said.getvalue().strip()


def main() -> None:
    """Write the page, or say that it is stale."""
    before = PAGE.read_text(encoding="utf-8")
    after = updated(before)
    if "--check" not in sys.argv:
        PAGE.write_text(after, encoding="utf-8")
    elif after != before:
        sys.exit(STALE)


if __name__ == "__main__":
    main()
