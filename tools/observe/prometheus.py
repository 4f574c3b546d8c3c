"""Debian's Prometheus, or another on the PATH, as a child: started, fed with targets, and asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from constellation_ws.cli.local import CannotStart, end

HOST = "127.0.0.1"
NAMESPACE, JOB = "demo", "constellation-ws"
_ALERTS = Path(__file__).resolve().parents[2] / "helm" / "constellation-ws" / "alerts.yaml"
_MISSING = (
    "Prometheus is not on the PATH. Debian and Ubuntu have it: apt-get install "
    "--no-install-recommends prometheus; elsewhere take a release of prometheus.io."
)
_START_SECONDS = 30.0
_POLL_SECONDS = 0.1
RATE_INTERVAL = "4s"
"""Four scrapes, as Grafana has it."""
_CONFIG = """\
global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}
rule_files: [{alerts}]
scrape_configs:
  - job_name: {job}
    file_sd_configs: [{{ files: [{targets}], refresh_interval: 1s }}]
"""


class QueryRefused(ValueError):
    """Prometheus cannot make sense of a query; `str()` is what it says."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time to look at, in Unix seconds, and the seconds between two points."""

    start: float
    end: float
    step: float


class Prometheus:
    """A Prometheus that is ready to be asked."""

    def __init__(self, http: aiohttp.ClientSession, url: str, folder: Path) -> None:
        self._http = http
        self.url = url
        self.pages = url
        """Where its pages for people are: `/graph` and `/alerts` behind it."""
        self._folder = folder

    async def find_pages(self) -> None:
        """Find out which pages it has: Debian's has the old ones only."""
        async with self._http.get(f"{self.url}/alerts") as answer:
            if answer.status == 404:
                self.pages = f"{self.url}/classic"

    def watch(self, targets: Mapping[str, str]) -> None:
        """Scrape these pods from now on: addresses by name."""
        groups = [
            {"targets": [address], "labels": {"namespace": NAMESPACE, "pod": pod}}
            for pod, address in targets.items()
        ]
        partly = self._folder / "targets.partly"
        partly.write_text(json.dumps(groups), encoding="utf-8")
        partly.rename(self._folder / "targets.json")

    async def series(self, expr: str, span: Span) -> list[dict[str, Any]]:
        """Give a query's series over a time. Raises QueryRefused."""
        asked = {"query": expr, "start": span.start, "end": span.end, "step": span.step}
        found: list[dict[str, Any]] = (await self._ask("query_range", asked))["result"]
        return found

    async def exemplars(self, expr: str, span: Span) -> list[dict[str, Any]]:
        """Give the exemplars of the metrics of a query."""
        asked = {"query": expr, "start": span.start, "end": span.end}
        found = await self._ask("query_exemplars", asked)
        return [exemplar for series in found for exemplar in series["exemplars"]]

    async def rules(self) -> list[dict[str, Any]]:
        """Give all rules with their health and what fires."""
        groups = (await self._ask("rules", {}))["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def _ask(self, what: str, parameters: Mapping[str, Any]) -> Any:
        async with self._http.get(f"{self.url}/api/v1/{what}", params=parameters) as answer:
            said = await answer.json()
        if said["status"] != "success":
            raise QueryRefused(said["error"])
        return said["data"]


def filled(expr: str, seconds: float) -> str:
    """Put into a panel's query what Grafana would, over the time that is shown."""
    values = {
        "cluster": ".*",
        "pod": ".*",
        "namespace": NAMESPACE,
        "job": JOB,
        "__rate_interval": RATE_INTERVAL,
        "__range": f"{max(seconds, 1):.0f}s",
    }
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expr)


@asynccontextmanager
async def running_prometheus(folder: Path, port: int) -> AsyncIterator[Prometheus]:
    """Hold a Prometheus that scrapes nothing yet, with the alerts loaded. Raises CannotStart."""
    program = shutil.which("prometheus")
    if program is None:
        raise CannotStart(_MISSING)
    config = _CONFIG.format(alerts=_ALERTS, job=JOB, targets=folder / "targets.json")
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{port}",
            "--enable-feature=exemplar-storage",
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            start_new_session=True,  # Ctrl-C is for us: we end it in order
        )
    try:
        async with aiohttp.ClientSession() as http:
            prometheus = Prometheus(http, f"http://{HOST}:{port}", folder)
            await _ready(http, prometheus.url, process, log)
            await prometheus.find_pages()
            yield prometheus
    finally:
        await end(process)


async def _ready(http: aiohttp.ClientSession, url: str, process: Process, log: Path) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_SECONDS):
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{url}/-/ready") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(_POLL_SECONDS)
    raise CannotStart(f"Prometheus does not start:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2_000:]
