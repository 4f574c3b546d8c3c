"""Interface tables for tests: text -> what is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from constellation_ws.delivery.routes import Table, compile_table
from constellation_ws.interface import table
from constellation_ws.interface.table import Interface, InvalidInterface

EXTENDS = 'extends = "default"\n'

WATCHING = f"""{EXTENDS}
[[namespace]]
name = "/other"
[[request]]
event = "watch"
watches = "userIds"
access = "chat"
[[request]]
event = "unwatch"
unwatches = "userIds"
"""
"""A table in which clients watch users."""

ORDERS = """
[[namespace]]
name = "/orders"

[[backend]]
name = "orders"
nest = "orders-api:4000"

[[backend]]
name = "billing"
http = "https://billing/gateway"
key_variable = "BILLING_KEY"
timeout_ms = 1000
max_concurrent = 8

[[request]]
event = "follow-order"
joins = ["order:{orderId}"]
bare = "orderId"
types = { orderId = "id" }

[[request]]
event = "place-order"
to = "nest"
backend = "orders"
in_room = "shop:{shopId}"
claims = ["tenant"]
rooms = true
types = { items = "list", note = "string?" }

[[request]]
event = "pay"
to = "http"
backend = "billing"
path = "/pay"
idempotent = true

[[route]]
channel = "order:moved"
event = "order-moved"
keys = ["orderId", "lat"]
to = ["order:{orderId}"]
volatile = true
types = { lat = "number" }
"""
"""A table without faults that has rows of every section."""


def written(folder: Path, text: str) -> Path:
    """Give a file of that text."""
    file = folder / "interface.toml"
    file.write_text(text, encoding="utf-8")
    return file


def compiled(routes_file: Path | None = None, *, is_traced: bool = False) -> Table:
    """Compile the routes of the contract's table, and those of a file."""
    return compile_table(table.load(None, routes_file).routes, is_traced=is_traced)


def loaded(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> Interface:
    """Read a table."""
    return table.load(written(folder, text), environment=environment)


def faults(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """Give the faults of a table, without the folder of its file."""
    try:
        loaded(folder, text, environment)
    except InvalidInterface as error:
        return str(error).replace(f"{folder}/", "").split("\n")
    return []


def only_fault(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> str:
    """Give the one fault that a table has."""
    found = faults(folder, text, environment)
    if len(found) != 1:
        pytest.fail(f"not one fault, but {found}")
    return found[0]
