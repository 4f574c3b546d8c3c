"""docs/interface.md: its examples are tables without faults, and it has every key of every row."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from constellation_ws.interface import value_types
from constellation_ws.interface.rows import BackendRow, NamespaceRow, RequestRow, RouteRow
from tests.processes import REPOSITORY
from tests.tables import faults

PAGE = (REPOSITORY / "docs" / "interface.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
ROWS: dict[str, type[msgspec.Struct]] = {
    "namespace": NamespaceRow,
    "backend": BackendRow,
    "request": RequestRow,
    "route": RouteRow,
}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_table_as_printed(tmp_path: Path, example: str) -> None:
    assert faults(tmp_path, example, {"PAYMENTS_KEY": "k"}) == []


@pytest.mark.parametrize("name", ROWS)
def test_every_key_of_a_row_is_described(name: str) -> None:
    keys = {field.encode_name for field in msgspec.structs.fields(ROWS[name])}
    described = set(re.findall(r"(?m)^\| `(\w+)` \|", section(f"`[[{name}]]`")))
    assert keys <= described


def test_every_type_is_described() -> None:
    described = set(re.findall(r"`(\w+)`", section("Types")))
    assert set(value_types.NAMES) <= described
