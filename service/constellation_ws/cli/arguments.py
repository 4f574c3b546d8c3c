"""Options that several commands have, each with the same words everywhere."""

from __future__ import annotations

from typing import Annotated

import typer


def not_empty(value: str | None) -> str | None:
    """Return an id or a name, if one is given; none is empty: a script's variable was."""
    if value == "":
        raise typer.BadParameter("it is empty")
    return value


User = Annotated[str, typer.Argument(metavar="USER", help="User id.", callback=not_empty)]
ConnectedAs = Annotated[str, typer.Option("--user", metavar="USER", help="User id to connect as.")]
"""Any text: what the gateway makes of it is shown."""
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON: one object per line.")]
GatewayUrl = Annotated[
    str, typer.Option(metavar="URL", help="URL of the gateway, or of what leads to it.")
]
DEFAULT_URL = "http://localhost:7000"
Token = Annotated[
    str | None,
    typer.Option(metavar="TOKEN", help="The user's token, if the gateway requires one."),
]
Count = Annotated[
    int | None, typer.Option(min=1, metavar="EVENTS", help="Stop after this many events.")
]
Timeout = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Stop after this time; exit code 1 if --count is not reached.",
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(metavar="NAMESPACE", help="A namespace; the first of the interface if left out."),
]
