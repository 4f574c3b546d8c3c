"""The pages of the repository, and what is in them: fenced blocks, links, headings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.processes import REPOSITORY

_BESIDE = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "helm/constellation-ws/README.md",
    "benchmarks/README.md",
)
# A fence, indented or not, and its end with the same indentation.
_BLOCK = re.compile(r"^( *)(`{3,})([^\n]*)\n(.*?)^\1\2$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_GENERATED = re.compile(r"<!-- (\w+): generated -->.*?<!-- \1: end -->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.language or 'no language'})"


@cache
def names() -> tuple[str, ...]:
    """Every page, by its path in the repository."""
    within = sorted(path.relative_to(REPOSITORY).as_posix() for path in docs().rglob("*.md"))
    return (*_BESIDE, *within)


def docs() -> Path:
    return REPOSITORY / "docs"


@cache
def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text("utf-8")


@cache
def blocks() -> tuple[Block, ...]:
    """Every block of every page, but those that are generated with their page."""
    return tuple(block for page in names() for block in _blocks(page))


def blocks_of(page: str, language: str) -> list[str]:
    """The texts of a page's blocks in a language, in their order."""
    return [one.text for one in blocks() if (one.page, one.language) == (page, language)]


def links(page: str) -> list[str]:
    """Where a page's links lead, without those that are written in its blocks and code."""
    text = re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", text_of(page)))
    return _LINK.findall(text)


@cache
def anchors(page: str) -> frozenset[str]:
    """The headings of a page as links name them, where the site and code hosts agree on it."""
    text = _BLOCK.sub("", text_of(page))
    found = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in _HEADING.findall(text)]
    return frozenset(_slug(title) for title in found if _slug(title) == _hosts_slug(title))


def _slug(title: str) -> str:
    """As Python-Markdown makes it."""
    plain = re.sub(r"[^\w\s-]", "", title.encode("ascii", "ignore").decode()).strip().lower()
    return re.sub(r"[-\s]+", "-", plain)


def _hosts_slug(title: str) -> str:
    """As GitHub and GitLab make it."""
    return re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")


def _blocks(page: str) -> Iterator[Block]:
    text = _GENERATED.sub(lambda found: "\n" * found[0].count("\n"), text_of(page))
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        body = re.sub(rf"^{found[1]}", "", found[4], flags=re.MULTILINE) if found[1] else found[4]
        yield Block(page, line, found[3], body)
