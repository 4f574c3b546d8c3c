"""Writes the README's tables of settings and metrics from the code that has them.

`python -m tools.readme_tables` writes, with `--check` it only says whether anything would change.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry

from service.kinds import kind
from service.lifecycle import Gateway
from service.settings import Settings, fields
from service.variables import show

README = Path(__file__).resolve().parent.parent / "README.md"
STALE = "README.md is stale: run `python -m tools.readme_tables`."
_PREFIX = "constellation_"


def updated(text: str) -> str:
    """Give the README with its tables as they should be."""
    for name, rows in (("settings", settings_rows()), ("metrics", asyncio.run(metrics_rows()))):
        begin, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
        pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise SystemExit(f"README.md must have {begin} and {end} once.")
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        text = pattern.sub(lambda _, block=f"{begin}\n{table}\n{end}": block, text)
    return text


def settings_rows() -> Iterator[tuple[str, ...]]:
    """Every variable with its default, what it takes and what it is for."""
    yield from (("Variable", "Default", "Takes", "Meaning"), ("---",) * 4)
    for variable, field in fields():
        default = show(field.default)
        takes = kind(field).replace("|", "\\|")
        yield f"`{variable}`", f"`{default}`" if default else "", takes, str(field.description)


async def metrics_rows() -> list[tuple[str, ...]]:
    """Every metric of a gateway with its labels; a gateway is made, never run."""
    registry = Gateway(Settings.model_construct()).metrics.registry
    return [("Metric", "Type", "Labels", "Meaning"), ("---",) * 4, *sorted(_metrics(registry))]


def _metrics(registry: CollectorRegistry) -> Iterable[tuple[str, ...]]:
    # prometheus_client shows a metric's labels only once it has samples; these names are private.
    for collector in registry._collector_to_names:
        for family in collector.collect():
            if not family.name.startswith(_PREFIX):
                continue
            labels = getattr(collector, "_labelnames", ()) or getattr(family, "_labelnames", ())
            suffix = "_total" if family.type == "counter" else ""
            names = ", ".join(f"`{label}`" for label in labels)
            yield f"`{family.name}{suffix}`", family.type, names, family.documentation


def main() -> None:
    """Write the README, or say that it is stale."""
    before = README.read_text(encoding="utf-8")
    after = updated(before)
    if "--check" in sys.argv:
        sys.exit(STALE if after != before else 0)
    README.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
