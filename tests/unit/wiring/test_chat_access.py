"""Which part says who may join, by the settings."""

from __future__ import annotations

import asyncio
from typing import Any

from constellation_ws.access.access import Asked, Everybody, TokenChats
from constellation_ws.access.http import HttpApi
from constellation_ws.access.nest import NestApi
from constellation_ws.observability.metrics import Metrics
from constellation_ws.settings.settings import defaults
from constellation_ws.wiring.chat_access import make_access


def made(**values: Any) -> object:
    return make_access(defaults(chat_access=values).chat_access, Metrics(), asyncio.create_task)


async def test_each_mode_makes_its_part() -> None:
    assert isinstance(made(), Everybody)
    assert isinstance(made(mode="claim"), TokenChats)
    http = made(mode="http", chat_access_url="http://api/access")
    nest = made(mode="nest", chat_access_url="tcp://api:3001")
    for part, api in ((http, HttpApi), (nest, NestApi)):
        assert isinstance(part, Asked)
        assert isinstance(part._queries._api, api)
