"""How commands fail: a sentence on stderr, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

FAILED, ASKED_WRONGLY, INTERRUPTED = 1, 2, 130
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
