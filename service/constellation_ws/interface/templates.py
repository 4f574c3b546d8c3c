"""Room templates: a fixed part, and one key in braces whose value completes the room's name."""

from __future__ import annotations

import re
from typing import NamedTuple

_TEMPLATE = re.compile(r"(?P<prefix>[^{}]*)\{(?P<key>[^{}]+)\}")


class Template(NamedTuple):
    """`chat:{chatId}` in its parts."""

    prefix: str
    key: str


def split(text: str) -> Template | None:
    """Split a template; None where it is none."""
    match = _TEMPLATE.fullmatch(text)
    return None if match is None else Template(match["prefix"], match["key"])


def split_checked(text: str) -> Template:
    """Split a template that was checked when the table was read."""
    template = split(text)
    assert template is not None, "checked when the table was read"
    return template
