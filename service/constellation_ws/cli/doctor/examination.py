"""The examination, from the address to the delivery: each step needs those before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from constellation_ws.cli.doctor import draining, idle, origins, pods, polling, reaching, websockets
from constellation_ws.cli.doctor.delivery import Inside, check_delivery
from constellation_ws.cli.doctor.target import Http, Target, connected
from constellation_ws.cli.findings import Finding, Verdict, failed, skipped
from constellation_ws.cli.redis_connection import RedisFailed

_NO_REDIS = "set REDIS_URL as the pods have it, or run doctor in a pod"


@dataclass(frozen=True, slots=True)
class Extent:
    """What takes long, and is asked for."""

    waits_idle: bool = True
    """Whether to hold connections for a ping interval."""
    drain_seconds: float = 0.0
    """How long to wait for a roll-out; 0 for not at all."""


async def examine(
    target: Target,
    inside: Inside | None,
    extent: Extent,
    report_progress: Callable[[str], None],
) -> AsyncIterator[Finding]:
    """Yield what is found, as it is found. Without `inside` nothing is published."""
    async for finding in reaching.check_address(target):
        yield finding
        if finding.subject == "address" and finding.verdict is Verdict.FAILED:
            return
    if not await reaching.is_trusted(target):
        target = target.trusting()  # said above; the rest can be looked at nevertheless
    async with connected(target) as http:
        found, is_there = await reaching.check_path(http)
        yield found
        if not is_there:
            return
        async for finding in _check_pods(http, inside):
            yield finding
        async for finding in polling.check_polling(http):
            yield finding
        async for finding in websockets.check_websockets(http):
            yield finding
        yield await origins.check_origin(http)
        yield await _check_delivery(http, inside)
        if extent.waits_idle:
            async for finding in _check_idle(http, report_progress):
                yield finding
        if extent.drain_seconds:
            report_progress(f"waiting {extent.drain_seconds:g} s for a roll-out: start it now")
            yield await draining.check_drain(http, extent.drain_seconds)


async def _check_pods(http: Http, inside: Inside | None) -> AsyncIterator[Finding]:
    met = await pods.meet(http)
    for finding in pods.judge_handshakes(met):
        yield finding
    if inside is not None:
        try:
            registered = inside.pods()
        except RedisFailed as error:
            yield failed("redis", str(error), "check REDIS_URL; `constellation-ws check` tests it")
        else:
            for finding in pods.judge_registered(met, registered):
                yield finding
    yield await pods.check_readiness(http)


async def _check_delivery(http: Http, inside: Inside | None) -> Finding:
    if inside is None:
        return skipped("delivery", "no Redis is configured here to publish on", _NO_REDIS)
    try:
        if problems := inside.problems():
            remedy = "see `constellation-ws status`, then run doctor again"
            return failed("delivery", "; ".join(problems), remedy)
    except RedisFailed as error:
        return failed("delivery", str(error), "check REDIS_URL; `constellation-ws check` tests it")
    return await check_delivery(http, inside)


async def _check_idle(http: Http, report_progress: Callable[[str], None]) -> AsyncIterator[Finding]:
    """Hold a WebSocket, a poll and a connection side by side."""
    try:
        silent = await idle.silent_seconds(http)
    except ValueError:
        yield skipped("idle", "no session opens now")
        return
    report_progress(f"holding connections for {silent:g} s (--quick leaves that out)")
    async with connected(http.target, keeps_alive=True) as keeping:
        for finding in await asyncio.gather(
            idle.check_websocket_idle(http, silent),
            idle.check_poll_idle(http),
            idle.check_keep_alive(keeping, silent),
        ):
            yield finding
