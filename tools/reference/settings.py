"""The table of settings: every variable with its default, what it takes and what it is for."""

from __future__ import annotations

from collections.abc import Iterator

from constellation_ws.settings.kinds import kind
from constellation_ws.settings.settings import fields
from constellation_ws.settings.variables import show
from tools.reference import Row, table


def block() -> str:
    return table(("Variable", "Default", "Takes", "Meaning"), _rows())


def _rows() -> Iterator[Row]:
    for variable, field in fields():
        default = show(field.default)
        takes = kind(field).replace("|", "\\|")
        yield f"`{variable}`", f"`{default}`" if default else "", takes, str(field.description)
