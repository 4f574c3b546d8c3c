"""Writes the tables of settings (README.md) and metrics (docs/metrics.md) from the code.

`python -m tools.readme_tables` writes, with `--check` it only says whether anything would change.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry

from constellation_ws.settings.kinds import kind
from constellation_ws.settings.settings import Settings, fields
from constellation_ws.settings.variables import show
from constellation_ws.wiring import gauges
from constellation_ws.wiring.gateway import Gateway

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
METRICS = ROOT / "docs" / "metrics.md"
STALE = "A table is stale: run `python -m tools.readme_tables`."
_PREFIX = "constellation_"


def updated(text: str, name: str, rows: Iterable[tuple[str, ...]]) -> str:
    """Give a page with the table of this name as it should be."""
    begin, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"The page must have {begin} and {end} once.")
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return pattern.sub(lambda _: f"{begin}\n{table}\n{end}", text)


def settings_rows() -> Iterator[tuple[str, ...]]:
    """Every variable with its default, what it takes and what it is for."""
    yield from (("Variable", "Default", "Takes", "Meaning"), ("---",) * 4)
    for variable, field in fields():
        default = show(field.default)
        takes = kind(field).replace("|", "\\|")
        yield f"`{variable}`", f"`{default}`" if default else "", takes, str(field.description)


def made_gateway() -> Gateway:
    """Make a gateway with default settings that never runs."""
    gateway = Gateway(Settings.model_construct(), lambda work: None)
    gauges.register(gateway)
    return gateway


async def metrics_rows() -> list[tuple[str, ...]]:
    """Every metric of a gateway with its labels."""
    registry = made_gateway().metrics.registry
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
    """Write both pages, or say that one is stale."""
    tables = (
        (README, "settings", settings_rows()),
        (METRICS, "metrics", asyncio.run(metrics_rows())),
    )
    for page, name, rows in tables:
        before = page.read_text(encoding="utf-8")
        after = updated(before, name, rows)
        if "--check" not in sys.argv:
            page.write_text(after, encoding="utf-8")
        elif after != before:
            sys.exit(STALE)


if __name__ == "__main__":
    main()
