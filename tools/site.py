"""Hooks of mkdocs: the site has what its pages link to, also where that lies beside docs/.

Pages of the repository (SECURITY.md, the chart's README) become pages of the site; other files that
a page links to are shown as source. So no link leads to a host, and the site is complete by itself.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# Pages of the site that lie elsewhere in the repository.
PAGES = (
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "helm/constellation-ws/README.md",
    "benchmarks/README.md",
)
_LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)\s]*)?(\))")
_LANGUAGES = {
    ".mjs": "js",
    ".ts": "ts",
    ".py": "python",
    ".toml": "toml",
    ".yaml": "yaml",
    ".html": "html",
}


def on_config(config: Any) -> Any:
    """Put the pages that the navigation does not list at its end."""
    listed = set(_leaves(config["nav"]))
    found = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    decisions = [page for page in found if page.startswith("decisions/")]
    more = [page for page in found if page not in listed and page not in decisions]
    config["nav"] += [{"Decisions": decisions}] + ([{"More": more}] if more else [])
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from elsewhere, the sources that pages link to, and the generated documents."""
    for page in PAGES:
        files.append(File.generated(config, page, content=(ROOT / page).read_text("utf-8")))
    for target in sorted(set(_linked(files))):
        name = _source_page(target)
        files.append(File.generated(config, name, content=_shown(target)))
    for kind in ("openapi", "asyncapi"):
        command = [sys.executable, "-m", "constellation_ws", "schema", f"--{kind}"]
        document = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        name = f"reference/{kind}.json"
        files.append(File.generated(config, name, content=document.stdout))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Let links that leave docs/ lead to their pages of the site."""
    here = page.file.src_uri

    def lead(found: re.Match[str]) -> str:
        target = _in_repository(here, found[2])
        if target is None:
            return found[0]
        place = _place(target)
        relative = posixpath.relpath(place, posixpath.dirname(here) or ".")
        return f"{found[1]}{relative}{found[3] or ''}{found[4]}"

    return markdown if here.startswith("source/") else _LINK.sub(lead, markdown)


def on_nav(nav: Navigation, config: Any, files: Files) -> Navigation:
    """Keep the pages of sources out of the search: they are read from a link."""
    for file in files.documentation_pages():
        if file.src_uri.startswith("source/") and file.page is not None:
            file.page.meta["search"] = {"exclude": True}
    return nav


def _leaves(nav: Any) -> Iterator[str]:
    match nav:
        case str():
            yield nav
        case list():
            for entry in nav:
                yield from _leaves(entry)
        case dict():
            for entry in nav.values():
                yield from _leaves(entry)


def _linked(files: Files) -> Iterator[str]:
    """Name what pages link to in the repository and that is no page of the site."""
    for file in files.documentation_pages():
        for found in _LINK.finditer(file.content_string):
            target = _in_repository(file.src_uri, found[2])
            if target is not None and _place(target).startswith("source/"):
                yield target


def _in_repository(page: str, link: str) -> str | None:
    """Give a link's path in the repository; None for one to another site or that leads nowhere."""
    if ":" in link or link.startswith("/"):
        return None
    folder = ROOT if page in PAGES else DOCS
    path = Path(posixpath.normpath(folder / posixpath.dirname(page) / link))
    return path.relative_to(ROOT).as_posix() if path.exists() else None


def _place(target: str) -> str:
    """Give the place of a path of the repository in the site."""
    if target in PAGES:
        return target
    if target == "README.md":
        return "index.md"
    if target == "docs/decisions":
        return "decisions/0001-pubsub-reader.md"
    return target.removeprefix("docs/") if target.startswith("docs/") else _source_page(target)


def _source_page(target: str) -> str:
    return f"source/{target}.md"


def _shown(target: str) -> str:
    """Write the page that shows a file or a folder."""
    path = ROOT / target
    if path.is_dir():
        names = sorted(f"{one.name}/" if one.is_dir() else one.name for one in path.iterdir())
        listed = "\n".join(f"- `{name}`" for name in names if name != "node_modules/")
        return f"# {target}/\n\nA folder of the repository:\n\n{listed}\n"
    language = _LANGUAGES.get(path.suffix, "text")
    return f"# {target}\n\n`````{language}\n{path.read_text('utf-8').rstrip()}\n`````\n"
