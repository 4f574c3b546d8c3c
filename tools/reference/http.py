"""The HTTP API, from its OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from constellation_ws.cli.schema import Format, document
from constellation_ws.interface.table import load
from constellation_ws.settings.settings import defaults
from tools.reference import Row, code, table


def block() -> str:
    described = json.loads(document(Format.OPENAPI, defaults(), load()))
    rows = _rows(described["paths"])
    return table(("request", "what it does", "scope", "parameters", "answers"), rows)


def _rows(paths: dict[str, Any]) -> Iterator[Row]:
    for path, operations in paths.items():
        for method, one in operations.items():
            scopes = [scope for entry in one["security"] for scope in entry.get("key", [])]
            parameters = [f"{code(of['name'])} ({of['in']})" for of in one.get("parameters", [])]
            answers = ", ".join(sorted(one["responses"]))
            yield (
                code(f"{method.upper()} {path}"),
                one["summary"],
                ", ".join(map(code, scopes)),
                ", ".join(parameters),
                answers,
            )
