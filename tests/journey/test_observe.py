"""The local view: what dashboards and alerts ask for is there, under the demo load.

The names are compared with what a gateway tells; the answers are those of a real Prometheus.
"""

import asyncio
import json
import re
import shutil
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
import yaml

from constellation_ws.settings.settings import Settings, fields
from tests.chart.test_alerts import ALERTS
from tests.journey.conftest import Pods
from tests.waiting import eventually
from tools.observe.panels import answers, dashboards
from tools.observe.prometheus import Span
from tools.observe.spans import to_tree
from tools.observe.world import World, running_world

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATIENCE = 90.0
NAMES = re.compile(r"\b(?:constellation|process)_\w+")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


def queries() -> list[str]:
    asked = [
        target["expr"]
        for dashboard in dashboards()
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    variables = [json.dumps(dashboard["templating"]) for dashboard in dashboards()]
    return asked + variables + [rule["expr"] for group in groups for rule in group["rules"]]


async def test_dashboards_and_alerts_ask_for_metrics_that_the_gateway_has(pods: Pods) -> None:
    text = (await pods.a.get("/metrics")).text
    types = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE)
    has = {
        name if name.endswith(suffix) else name + suffix
        for name, kind in types
        for suffix in SUFFIXES[kind]
    }
    asked = {name for query in queries() for name in NAMES.findall(query)}
    assert len(asked) > 30
    assert asked - has == set()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world() -> AsyncIterator[World]:
    """The local view, with a roll under way."""
    if shutil.which("prometheus") is None:
        pytest.skip("Prometheus is not installed (Debian has it in the package prometheus)")
    with pytest.MonkeyPatch.context() as patch:
        for name, _ in fields():
            patch.delenv(name, raising=False)
        async with running_world(Settings(), asyncio.Event()) as world:
            yield world


async def test_every_panel_has_data_and_every_alert_can_be_judged(world: World) -> None:
    start = time.time()
    await world.pods.roll()

    async def lacking() -> list[str]:
        found = await answers(world.prometheus, Span(start, time.time(), 1))
        return [f"{one.dashboard} {one.panel['title']}" for one in found if one.lacks_data]

    async def all_have_data() -> bool:
        return await lacking() == []

    try:
        await eventually(all_have_data, PATIENCE, "every panel has data")
    except AssertionError:
        pytest.fail(f"no data: {await lacking()}")
    rules = await world.prometheus.rules()
    assert len(rules) == 10
    assert [rule for rule in rules if rule["health"] != "ok"] == []


async def test_the_page_draws_the_dashboards_of_a_chosen_pod_in_a_browser(world: World) -> None:
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    (slow,) = (one for one in dashboards() if one["title"].endswith("Who is slow?"))
    browser = await asyncio.create_subprocess_exec(
        chromium,
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--virtual-time-budget=3000", "--dump-dom"),
        f"{world.page.url}/#slow?pod=pod-2&seconds=120",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    page = (await asyncio.wait_for(browser.communicate(), PATIENCE))[0].decode()

    titles = re.findall(r'<h2><a href="[^"]+/graph\?[^"]+"[^>]*>([^<]+)<', page)
    assert titles == [panel["title"] for panel in slow["panels"]]
    assert len(re.findall(r'data-lines="[1-9]', page)) == len(titles)
    assert set(re.findall(r"</span>(pod-\d)", page)) == {"pod-2"}
    assert f'href="{world.traces.url}/traces/' in page
    assert '<g class="mark"' in page, "the deploy is marked"


async def test_the_pages_of_prometheus_that_are_linked_exist(world: World) -> None:
    async with aiohttp.ClientSession() as http:
        for name in ("graph", "alerts"):
            async with http.get(f"{world.prometheus.pages}/{name}") as answer:
                assert answer.status == 200


async def test_the_dots_of_a_latency_lead_to_traces_that_are_kept(world: World) -> None:
    expr = "constellation_publish_to_write_seconds_bucket"

    async def trace() -> str:
        """The first of those that somebody would click on whose spans have all been exported."""
        seen = await world.prometheus.exemplars(expr, Span(time.time() - 30, time.time(), 1))
        for one in seen:
            spans = world.traces.get(one["labels"]["trace_id"])
            if {span.kind for span in spans} >= {"PRODUCER", "CONSUMER", "INTERNAL"}:
                return to_tree(spans)
        return ""

    tree = await eventually(trace, PATIENCE, "an exemplar names a whole trace")
    assert tree.startswith("publish ")
    assert "── deliver " in tree
