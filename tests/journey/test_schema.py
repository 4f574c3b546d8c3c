"""`constellation-ws schema`: official parsers and compilers accept what it prints, and mean it.

One Node process judges everything, since each takes seconds to load what it judges with.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from constellation_ws.cli.main import run
from tests.processes import REPOSITORY, node_executable

FOLDER = REPOSITORY / "tests" / "js" / "schema"
ORDERS = REPOSITORY / "examples" / "orders" / "interface.toml"
TOKENS: dict[str, object] = {"CONSTELLATION_AUTH_MODE": "jwt", "CONSTELLATION_JWT_SECRET": "s" * 32}
CONFUSING = """
[[namespace]]
name = "/~a/%2F{b}"

[[request]]
event = "*/ \\"quoted\\" ~1 ✓"
to = "channel"
channel = "both/~%ways"
types = { "a-b" = "id?", "constructor" = "object", "/x" = "boolean?", "ключ" = "list?" }

[[request]]
event = "moved"
joins = ["a:{id}", "b:{other id}"]
types = { id = "number" }

[[request]]
event = "watch"
watches = "a-b"
emits = "moved"
access = "chat"

[[request]]
event = "unwatch"
unwatches = "constructor"

[[route]]
channel = "both/~%ways"
event = "moved"
keys = ["data", "a b"]
to = ["a:{data}"]

[[route]]
channel = "{other}:way"
event = "moved"
keys = ["a b"]
to = ["a:{x}", "b:{y}"]
except = "c:{z}"
removes = { who = "user:{u}", from = "a:{r}" }
types = { "a b" = "string?" }
"""
"""Whatever a table may have and a document must quote, escape or say twice."""


def printed(option: str, **settings: object) -> str:
    """What the command writes to stdout."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    said = {name: str(value) for name, value in settings.items()}
    with patch.dict(os.environ, kept | said, clear=True), redirect_stdout(io.StringIO()) as out:
        assert run(["schema", option]) == 0
    return out.getvalue()


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the judges find, by document."""
    confusing = tmp_path_factory.mktemp("tables") / "interface.toml"
    confusing.write_text(CONFUSING, encoding="utf-8")
    tables: dict[str, dict[str, object]] = {
        "chats": TOKENS,
        "orders": {"CONSTELLATION_INTERFACE_FILE": ORDERS, **TOKENS},
        "confusing": {"CONSTELLATION_INTERFACE_FILE": confusing},
    }
    documents = {name: printed("--asyncapi", **table) for name, table in tables.items()}
    documents["wrong"] = documents["chats"].replace('"send"', '"shout"')
    files = {f"{name}.ts": printed("--typescript", **table) for name, table in tables.items()}
    files |= {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.ts")}
    judged = subprocess.run(
        [node_executable(), FOLDER / "judge.mjs"],
        input=json.dumps({"asyncapi": documents, "typescript": files}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stderr
    return json.loads(judged.stdout)


@pytest.mark.parametrize("table", ["chats", "orders", "confusing"])
def test_the_asyncapi_parser_accepts_the_document(table: str, faults: Any) -> None:
    assert faults["asyncapi"][table] == []


def test_the_asyncapi_parser_is_asked(faults: Any) -> None:
    assert any("action" in fault for fault in faults["asyncapi"]["wrong"])


def test_types_and_a_client_that_uses_them_compile(faults: Any) -> None:
    compiled = {"chats.ts", "orders.ts", "confusing.ts", "client.ts"}

    assert faults["typescript"].keys() == {*compiled, "misuse.ts"}
    assert {name: found for name, found in faults["typescript"].items() if name in compiled} == {
        name: [] for name in compiled
    }


def test_every_misuse_is_an_error_of_the_compiler(faults: Any) -> None:
    lines = (FOLDER / "misuse.ts").read_text("utf-8").splitlines()
    marked = [number for number, line in enumerate(lines, 1) if re.search(r"// refused$", line)]

    assert len(marked) > 10
    assert sorted({line for line, _ in faults["typescript"]["misuse.ts"]}) == marked


def test_the_openapi_document_is_valid_and_has_the_table_s_channels() -> None:
    document = json.loads(printed("--openapi", CONSTELLATION_INTERFACE_FILE=ORDERS))

    assert [*OpenAPIV31SpecValidator(document).iter_errors()] == []
    event = document["components"]["schemas"]["Event"]
    assert event["properties"]["channel"]["enum"] == ["order:moved", "order:status", "shop:open"]


def test_a_file_of_routes_is_a_part_of_the_interface(tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(
        '[[route]]\nchannel = "like:new"\nevent = "liked"\nkeys = ["by"]\nto = ["user:{userId}"]\n',
        encoding="utf-8",
    )
    for option, says in (("--asyncapi", "like:new"), ("--typescript", '"liked"')):
        assert says in printed(option, CONSTELLATION_ROUTES_FILE=routes)
