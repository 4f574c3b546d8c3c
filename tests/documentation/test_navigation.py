"""The site's navigation, without making the site: `make docs` does that, and is strict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from tests.documentation.pages import docs, links, text_of
from tests.processes import REPOSITORY

CONFIGURATION = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text("utf-8"))
LONGEST_README = 150


def leaves(nav: Any) -> Iterator[str]:
    match nav:
        case str():
            yield nav
        case list():
            for entry in nav:
                yield from leaves(entry)
        case dict():
            for entry in nav.values():
                yield from leaves(entry)


def test_the_navigation_has_each_page_once_and_all_of_them_exist() -> None:
    listed = list(leaves(CONFIGURATION["nav"]))
    assert len(listed) == len(set(listed))
    missing = [page for page in listed if not (docs() / page).exists()]
    assert [page for page in missing if not (REPOSITORY / page).exists()] == []


def test_every_page_of_the_repository_that_is_a_page_of_the_site_is_listed() -> None:
    source = (REPOSITORY / "tools" / "site.py").read_text("utf-8")
    beside = [page for page in leaves(CONFIGURATION["nav"]) if not (docs() / page).exists()]
    assert [page for page in beside if f'"{page}"' not in source] == []


def test_the_readme_is_short_and_leads_to_every_part() -> None:
    assert len(text_of("README.md").splitlines()) <= LONGEST_README
    sections = [next(leaves(section)) for section in CONFIGURATION["nav"][1:]]
    led = set(links("README.md")) | {link.partition("#")[0] for link in links("README.md")}
    assert [page for page in sections if not {page, f"docs/{page}"} & led] == []
