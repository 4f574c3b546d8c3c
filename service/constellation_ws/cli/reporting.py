"""How commands answer: results on stdout, sentences for people on stderr, and an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

FAILED, ASKED_WRONGLY, INTERRUPTED, NO_READER = 1, 2, 130, 141
"""Exit codes; 0 is done."""


def complain(sentence: str) -> None:
    """Write a sentence to stderr."""
    print(sentence, file=sys.stderr, flush=True)


@contextmanager
def exit_on(
    code: int, *faults: type[Exception], say: Callable[[str], None] = complain
) -> Iterator[None]:
    """Exit with a code, and say the fault's own sentences, one per line."""
    try:
        yield
    except faults as error:
        for line in str(error).splitlines():
            say(line)
        raise typer.Exit(code) from error


def warn(sentence: str) -> None:
    """Write a warning to stderr."""
    complain(f"warning: {sentence}")


def write_json(facts: Mapping[str, Any]) -> None:
    """Write one JSON object as a line of stdout."""
    print(json.dumps(facts, ensure_ascii=False, separators=(",", ":")), flush=True)


def to_table(rows: Iterable[tuple[str, ...]]) -> str:
    """Align columns; the last one is as long as it is."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    return "\n".join("  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows)
