"""The command line as `--help` shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from constellation_ws.cli.main import app

_NAME = "constellation-ws"
_COLUMNS = 100


def block() -> str:
    root: Any = typer.main.get_command(app)
    return "\n\n".join(_helps(root, _NAME, None))


def _helps(command: Any, name: str, above: Any) -> Iterator[str]:
    """Show a command as its `--help` does, then those below it."""
    width = {"max_content_width": _COLUMNS, "terminal_width": _COLUMNS}
    word = name.rpartition(" ")[2]
    context = command.make_context(word, [], parent=above, resilient_parsing=True, **width)
    shown = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"## `{name}`\n\n```text\n{shown}\n```"
    for below, one in getattr(command, "commands", {}).items():
        yield from _helps(one, f"{name} {below}", context)
