"""The reference keeps up with the code: generated blocks, codes, commands, metrics, limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from constellation_ws.settings.limits import LimitSettings
from constellation_ws.settings.settings import defaults, fields
from constellation_ws.wiring.bounds import max_packets_per_ping_interval
from tests.documentation.pages import names, text_of
from tests.processes import REPOSITORY
from tools.reference import STALE, commands, metrics, refusals, updated
from tools.reference.__main__ import BLOCKS

CODES = text_of("docs/reference/codes.md").partition("## Messages")[0]


@pytest.mark.parametrize(
    ("path", "name", "block"), BLOCKS, ids=[f"{path.name} {name}" for path, name, _ in BLOCKS]
)
def test_a_generated_block_is_up_to_date(path: Path, name: str, block: Callable[[], str]) -> None:
    page = path.read_text("utf-8")
    assert updated(page, name, block()) == page, STALE


def test_blocks_without_their_marks_are_not_lost_silently() -> None:
    with pytest.raises(SystemExit, match="settings"):
        updated("# A page without marks", "settings", "")


async def test_every_metric_that_a_page_names_exists() -> None:
    exist = {row[0].strip("`") for row in await metrics.rows()}
    exist |= {f"{name}_bucket" for name in exist}
    for page in names():
        if page == "CONTRIBUTING.md":
            continue  # it defines one, as an example
        named = set(re.findall(r"constellation_(?!ws\b)[a-z_]+[a-z]\b(?!\*)", text_of(page)))
        assert named <= exist, f"{page} names what no gateway tells"


@pytest.mark.parametrize("page", [page for page in names() if page != "CHANGELOG.md"])
def test_every_setting_that_a_page_names_exists(page: str) -> None:
    known = {name for name, _ in fields()} | {"CONSTELLATION_TEST_REDIS"}
    named = set(re.findall(r"\bCONSTELLATION_[A-Z_]+[A-Z]\b(?!_?[…*])", text_of(page)))
    assert named <= known


def test_every_code_that_somebody_may_be_answered_is_explained() -> None:
    codes = refusals.messages()
    assert len(codes) > 10
    assert [code for code in codes if f"`{code}`" not in CODES] == []


def test_every_command_is_introduced() -> None:
    introduction = text_of("docs/cli.md").partition("## Reference")[0]
    assert [one for one in commands.names() if f"`{one}" not in introduction] == []


def test_the_table_of_limits_has_every_limit_with_its_default() -> None:
    table = text_of("docs/operations.md").partition("## Limits\n")[2].partition("\n## ")[0]
    for name, field in LimitSettings.model_fields.items():
        if name == "trusted_proxies":  # says who is counted, and bounds nothing
            continue
        row = rf"\| `{field.validation_alias}` \| {field.default}( \(none\))? \|"
        assert re.search(row, table), f"{field.validation_alias} {field.default}"
    assert f"| {max_packets_per_ping_interval(defaults())} |" in table
    sources = "\n".join(one.read_text("utf-8") for one in (REPOSITORY / "service").rglob("*.py"))
    for code in re.findall(r'(?:code|outcome|reason)="([a-z_ ]+)"', table):
        assert f'"{code}"' in sources or f'"{code.replace("_", " ")}"' in sources, code


def test_the_client_is_the_same_on_every_page_that_prints_it() -> None:
    printed = [
        re.findall(r"```js\n(import \{ io \}.*?joinChats\(\) \{.*?)^```$", text, re.M | re.S)
        for text in map(text_of, ("README.md", "docs/clients/browser.md"))
    ]
    assert printed[0] == printed[1] != []
