"""What is begun with a backend or on a way, waited for as tests do."""

from __future__ import annotations

import asyncio

import msgspec

from constellation_ws.backends.answers import BackendFailed
from constellation_ws.backends.backend import Backend
from constellation_ws.backends.request import BackendRequest
from constellation_ws.backends.ways import Target, Way
from constellation_ws.messages.admission import Refusal


async def ask(backend: Backend, target: Target, request: BackendRequest) -> msgspec.Raw | Refusal:
    """Give what a backend answers."""
    answered: asyncio.Future[msgspec.Raw | Refusal] = asyncio.get_running_loop().create_future()
    backend.begin(target, request, answered.set_result)
    return await answered


async def send(way: Way, target: Target, body: bytes) -> msgspec.Raw | Refusal | BackendFailed:
    """Give what becomes of a request on a way."""
    done: asyncio.Future[msgspec.Raw | Refusal | BackendFailed]
    done = asyncio.get_running_loop().create_future()
    way.begin(target, body, "", done.set_result)
    return await done
