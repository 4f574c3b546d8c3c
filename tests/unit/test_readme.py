"""The pages keep up with the code: generated tables, error codes, commands, metrics, links."""

import re
from pathlib import Path

import pytest

from constellation_ws.settings.limits import LimitSettings
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring.bounds import max_packets_per_heartbeat
from tools import cli_page
from tools.readme_tables import (
    METRICS,
    README,
    ROOT,
    STALE,
    metrics_rows,
    settings_rows,
    updated,
)

# A refusal's code is the first text of the call that makes it.
CODES = re.compile(r'\b(?:Refusal|RequestRefused)\(\s*"([a-z_]+)"')


@pytest.fixture(scope="module")
def readme() -> str:
    return README.read_text(encoding="utf-8")


def test_the_table_of_settings_is_that_of_the_code(readme: str) -> None:
    assert updated(readme, "settings", settings_rows()) == readme, STALE


async def test_the_table_of_metrics_is_that_of_the_code() -> None:
    page = METRICS.read_text(encoding="utf-8")
    assert updated(page, "metrics", await metrics_rows()) == page, STALE


async def test_every_metric_that_a_page_names_exists() -> None:
    exist = {row[0].strip("`") for row in await metrics_rows()}
    exist |= {f"{name}_bucket" for name in exist}
    for page in (README, ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")):
        text = page.read_text("utf-8")
        named = set(re.findall(r"constellation_(?!ws\b)[a-z_]+[a-z]\b(?!\*)", text))
        assert named <= exist, f"{page.name} names what no gateway tells"


def test_tables_without_their_marks_are_not_lost_silently() -> None:
    with pytest.raises(SystemExit, match="settings"):
        updated("# A README without marks", "settings", settings_rows())


def test_every_code_that_somebody_may_be_answered_is_explained(readme: str) -> None:
    sources = (ROOT / "service").rglob("*.py")
    codes = {code for source in sources for code in CODES.findall(source.read_text("utf-8"))}

    assert len(codes) > 10
    assert [code for code in sorted(codes) if f"`{code}`" not in readme] == []


def test_the_reference_of_commands_is_what_they_say_of_themselves() -> None:
    page = cli_page.PAGE.read_text(encoding="utf-8")
    assert cli_page.updated(page) == page, cli_page.STALE


def test_every_command_is_introduced() -> None:
    introduction = cli_page.PAGE.read_text(encoding="utf-8").partition("## Reference")[0]
    assert [one for one in cli_page.commands() if f"`{one}" not in introduction] == []


def test_a_page_without_its_marks_is_not_lost_silently() -> None:
    with pytest.raises(SystemExit, match="commands"):
        cli_page.updated("# The command line")


def test_the_table_of_limits_has_every_limit_with_its_default() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page.partition("## Limits\n")[2].partition("\n## ")[0]
    for name, field in LimitSettings.model_fields.items():
        if name == "trusted_proxies":  # says who is counted, and bounds nothing
            continue
        row = rf"\| `{field.validation_alias}` \| {field.default}( \(none\))? \|"
        assert re.search(row, table), f"{field.validation_alias} {field.default}"
    assert f"| {max_packets_per_heartbeat(Settings.model_construct())} |" in table
    sources = "\n".join(one.read_text("utf-8") for one in (ROOT / "service").rglob("*.py"))
    for code in re.findall(r'(?:code|outcome|reason)="([a-z_ ]+)"', table):
        assert f'"{code}"' in sources or f'"{code.replace("_", " ")}"' in sources, code


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/api.md",
        "docs/backends.md",
        "docs/cli.md",
        "docs/architecture.md",
        "docs/glossary.md",
        "docs/metrics.md",
        "docs/observability.md",
        "docs/operations.md",
        "docs/delivery.md",
        "docs/emitters.md",
        "docs/testing.md",
        "CHANGELOG.md",
        *(str(page.relative_to(ROOT)) for page in sorted(ROOT.glob("docs/decisions/*.md"))),
    ],
)
def test_links_within_the_repository_lead_somewhere(page: str) -> None:
    file = ROOT / page
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", file.read_text(encoding="utf-8"))

    assert [link for link in links if not Path(file.parent, link).exists()] == []
