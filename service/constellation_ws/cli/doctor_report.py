"""`doctor`, from the words of the command line to what is printed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from constellation_ws.cli import tokens
from constellation_ws.cli.doctor.delivery import Inside
from constellation_ws.cli.doctor.examination import Extent, examine
from constellation_ws.cli.doctor.target import Target, read_target
from constellation_ws.cli.findings import Finding, Verdict, conclusion, failed
from constellation_ws.cli.redis_connection import RedisFailed, made, reaching
from constellation_ws.cli.reporting import FAILED, complain, write_json
from constellation_ws.interface.table import Interface
from constellation_ws.settings.settings import Settings

_TOKEN_SECONDS = 3600.0
_REDIS_VARIABLES = ("REDIS_URL", "REDIS_HOST")


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments."""

    url: str
    path: str
    namespace: str | None
    user: str
    token: str | None
    origin: str | None
    waits_idle: bool
    drain_seconds: float


def run(values: Settings, interface: Interface, asked: Asked, as_json: bool) -> int:
    """Examine, print each finding as it is found, and give the exit code."""
    found: list[Finding] = []

    def show(finding: Finding) -> None:
        found.append(finding)
        if as_json:
            write_json(finding.facts())
        else:
            print(finding.to_text(), flush=True)

    namespace = asked.namespace or interface.namespaces[0].name
    target = read_target(asked.url, asked.path, namespace, asked.user)
    target = replace(target, token=asked.token or _own_token(values, asked), origin=asked.origin)
    extent = Extent(asked.waits_idle, asked.drain_seconds)
    try:
        with _inside(values) as inside:
            asyncio.run(_examine(target, inside, extent, show))
    except RedisFailed as error:
        show(failed("redis", str(error), "check REDIS_URL; `constellation-ws check` tests it"))
        asyncio.run(_examine(target, None, extent, show))
    if as_json:
        complain(conclusion(found))
    else:
        print(f"\n{conclusion(found)}")
    return FAILED if any(one.verdict is Verdict.FAILED for one in found) else 0


def _own_token(values: Settings, asked: Asked) -> str | None:
    """Sign a token where the settings have the secret; who has none sees what a client sees."""
    try:
        return tokens.sign(values.identity, asked.user, time.time(), _TOKEN_SECONDS)
    except tokens.NoSecret:
        return None


async def _examine(
    target: Target, inside: Inside | None, extent: Extent, show: Callable[[Finding], None]
) -> None:
    async for finding in examine(target, inside, extent, complain):
        show(finding)


@contextmanager
def _inside(values: Settings) -> Iterator[Inside | None]:
    """Connect to the Redis of the settings, where they name one: the default is a guess."""
    if not any(os.environ.get(name) for name in _REDIS_VARIABLES):
        yield None
        return
    address, names = values.redis.address(), values.redis.names()
    with made(address, names) as redis:
        yield Inside(redis, names, values.delivery.mode, reaching(address))
