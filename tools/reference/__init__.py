"""Writes the reference from the code: settings, metrics, codes, events, commands, the HTTP API.

`python -m tools.reference` writes, with `--check` it only says whether anything would change. What
is generated lies between two marks of a page; what is written by hand surrounds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
STALE = "The reference is stale: run `python -m tools.reference`."
Row = tuple[str, ...]


def updated(text: str, name: str, block: str) -> str:
    """Give a page with the generated block of this name as it should be."""
    begin, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"The page must have {begin} and {end} once.")
    return pattern.sub(lambda _: f"{begin}\n{block}\n{end}", text)


def table(head: Row, rows: Iterable[Row]) -> str:
    """Write a table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(one)} |" for one in lines)


def code(text: str) -> str:
    """Write a text as code within a cell of a table."""
    mark = "``" if "`" in text else "`"
    padded = f" {text} " if "`" in (text[:1], text[-1:]) else text
    return f"{mark}{padded}{mark}".replace("|", "\\|") if text else ""
