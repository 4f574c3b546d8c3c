"""docs/troubleshooting.md: each text that users look for is one that the programs show."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.documentation.pages import text_of
from tests.processes import REPOSITORY

PAGE = text_of("docs/troubleshooting.md")
CLIENT = REPOSITORY / "tests" / "js" / "node_modules"
# Texts of Kubernetes.
OTHERS = {"ImagePullBackOff", "Warning Unhealthy"}
_ROW = re.compile(r"^\| ([^|]+) \|[^|]+\|[^|]+\|$", re.MULTILINE)


def symptoms() -> list[str]:
    """The texts of the first columns, without names of headings and paths."""
    cells = [cell for cell in _ROW.findall(PAGE) if not cell.startswith(("you see", "---"))]
    found = [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    return [text for text in found if text not in OTHERS and not text.startswith("/")]


def texts_of(source: str) -> str:
    """A source without docstrings and comments, the parts of each text put together.

    Parsing it all takes seconds; this is what matters of it.
    """
    code = re.sub(r'(?s:""".*?""")|(?m:^[ ]*#[^\n]*$)', "", source)
    return re.sub(r'"\s*\n\s*f?"|\'\s*\n\s*f?"|"\s*\n\s*f?\'', "", code)


@cache
def shown() -> str:
    """All texts of the service, and those of the client library."""
    texts = [texts_of(one.read_text("utf-8")) for one in (REPOSITORY / "service").rglob("*.py")]
    for name in ("engine.io-client", "socket.io-client"):
        texts += [one.read_text("utf-8") for one in (CLIENT / name / "build/esm").rglob("*.js")]
    return "\n".join(texts)


@pytest.mark.parametrize("symptom", symptoms())
def test_a_text_that_is_explained_is_shown_by_a_program(symptom: str) -> None:
    parts = [part.strip(" .:") for part in symptom.split("…")]
    assert [part for part in parts if part and part not in shown()] == []


def test_there_are_as_many_as_users_stumble_over() -> None:
    assert len(symptoms()) > 40
