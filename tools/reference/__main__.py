"""`python -m tools.reference`: writes every generated block, or with `--check` judges them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.reference import (
    DOCS,
    STALE,
    commands,
    events,
    http,
    metrics,
    refusals,
    settings,
    sizes,
    updated,
)

BLOCKS: tuple[tuple[Path, str, Callable[[], str]], ...] = (
    (DOCS / "reference" / "settings.md", "settings", settings.block),
    (DOCS / "metrics.md", "metrics", metrics.block),
    (DOCS / "reference" / "codes.md", "messages", refusals.block),
    (DOCS / "reference" / "events.md", "events", events.events),
    (DOCS / "reference" / "events.md", "requests", events.requests),
    (DOCS / "reference" / "events.md", "channels", events.channels),
    (DOCS / "cli.md", "commands", commands.block),
    (DOCS / "reference" / "http.md", "http", http.block),
    (DOCS / "scale.md", "unit costs", sizes.costs),
    (DOCS / "scale.md", "limits", sizes.limits),
    (DOCS / "scale.md", "cells", sizes.cells),
)


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each page with generated blocks, as it should be."""
    for path in dict.fromkeys(path for path, _, _ in BLOCKS):
        text = path.read_text("utf-8")
        for _, name, block in (one for one in BLOCKS if one[0] == path):
            text = updated(text, name, block())
        yield path, text


def main() -> None:
    """Write the pages, or say that one is stale."""
    for path, text in pages():
        if "--check" not in sys.argv:
            path.write_text(text, "utf-8")
        elif text != path.read_text("utf-8"):
            sys.exit(f"{path.name}: {STALE}")


if __name__ == "__main__":
    main()
