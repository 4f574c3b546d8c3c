"""The page of the dashboards: what it is given, and that it needs nothing from elsewhere."""

import re
from pathlib import Path

import aiohttp

from tools.dashboards import DASHBOARDS
from tools.observe import page as module
from tools.observe.page import running_page
from tools.observe.prometheus import Prometheus


async def test_the_page_is_given_the_dashboards_and_where_to_ask(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http:
        prometheus = Prometheus(http, "http://prometheus", tmp_path)
        async with running_page(0, prometheus, "http://traces") as page:
            async with http.get(f"{page.url}/config.json") as answer:
                config = await answer.json()
            async with http.get(page.url) as answer:
                html = await answer.text()
            for name in re.findall(r'(?:src|href)="(page/[^"]+)"', html):
                async with http.get(f"{page.url}/{name}") as answer:
                    assert answer.status == 200, name

    assert config["prometheus"] == config["prometheusPages"] == "http://prometheus"
    assert config["traces"] == "http://traces"
    assert [one["uid"].split("-")[-1] for one in config["dashboards"]] == [
        one.name for one in DASHBOARDS
    ]


def test_the_page_fetches_nothing_from_elsewhere() -> None:
    files = [file.read_text(encoding="utf-8") for file in module._FOLDER.iterdir()]
    assert len(files) >= 5
    urls = {url for text in files for url in re.findall(r"https?://[^'\"`\s$]+", text)}
    assert urls == {"http://www.w3.org/2000/svg"}
