"""How commands fail: a sentence on stderr, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

FAILED, ASKED_WRONGLY, INTERRUPTED = 1, 2, 130
"""Exit codes; 0 is done."""


@contextmanager
def exit_on(code: int, *faults: type[Exception]) -> Iterator[None]:
    """Exit with a code, and the fault's own sentence."""
    try:
        yield
    except faults as error:
        complain(str(error))
        raise typer.Exit(code) from error


def complain(sentence: str) -> None:
    """Write a sentence to stderr."""
    print(sentence, file=sys.stderr, flush=True)


def warn(sentence: str) -> None:
    """Write a warning to stderr."""
    complain(f"warning: {sentence}")
