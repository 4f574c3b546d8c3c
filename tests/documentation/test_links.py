"""Every link of README and docs leads somewhere: to a file, to a heading, or to another site."""

from __future__ import annotations

import posixpath
import re

import pytest

from tests.documentation.pages import anchors, links, names
from tests.processes import REPOSITORY

_OTHER_SITE = re.compile(r"https?://[a-z0-9.-]+(:\d+)?(/[^\s]*)?$")
# Made with the site, from the code.
_GENERATED = {"docs/reference/openapi.json", "docs/reference/asyncapi.json"}


@pytest.mark.parametrize("page", names())
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    faults = [link for link in links(page) if not leads_somewhere(page, link)]
    assert faults == []


def leads_somewhere(page: str, link: str) -> bool:
    if ":" in link:
        return _OTHER_SITE.match(link) is not None
    target, _, anchor = link.partition("#")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) if target else page
    if path in _GENERATED:
        return True
    if anchor:
        return path in names() and anchor in anchors(path)
    return (REPOSITORY / path).exists()
