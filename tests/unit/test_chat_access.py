"""Which part says who may join, by the settings."""

from __future__ import annotations

import asyncio
from typing import Any

from service.access import Asked, Claims
from service.access_http import HttpApi
from service.access_nest import NestApi
from service.chat_access import make_access
from service.metrics import Metrics
from service.settings import Settings


def made(**settings: Any) -> object:
    return make_access(Settings.model_construct(**settings), Metrics(), asyncio.create_task)


async def test_each_mode_makes_its_part_and_open_makes_none() -> None:
    assert made() is None
    assert isinstance(made(chat_access="claim"), Claims)
    http = made(chat_access="http", chat_access_url="http://api/access")
    nest = made(chat_access="nest", chat_access_url="tcp://api:3001")
    for part, door in ((http, HttpApi), (nest, NestApi)):
        assert isinstance(part, Asked)
        assert isinstance(part._checks._api, door)
