"""What clients notice of a roll-out: is the close of a pod passed on, and do they find another pod?

Nothing here starts one: the operator rolls the pods meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from constellation_ws.cli.doctor.target import Http
from constellation_ws.cli.findings import Finding, failed, ok, skipped, warning
from constellation_ws.cli.lean_client import LeanClient, Lost, Refused

_CLIENTS = 8
_BACK_SECONDS = 30.0
_PAUSE_SECONDS = 0.2
_GRACEFUL = (1012, 1001)
_FAULTS = (aiohttp.ClientError, OSError, TimeoutError, ValueError, Lost)


@dataclass(frozen=True, slots=True)
class Moved:
    """A client whose connection was closed."""

    close_code: int | None
    back_seconds: float | None
    """Until it was connected again; None if that failed."""
    is_recovered: bool


async def check_drain(http: Http, seconds: float) -> Finding:
    """Hold some clients for so long, and see what happens to those that are closed."""
    found = await asyncio.gather(*(_hold(http, seconds) for _ in range(_CLIENTS)))
    return judge_moves([one for one in found if one is not None], seconds)


def judge_moves(moved: Sequence[Moved], seconds: float) -> Finding:
    """Judge a roll-out by its clients."""
    if not moved:
        detail = f"no connection was closed within {seconds:g} s"
        return skipped("drain", detail, "start a roll-out while doctor waits")
    lost = [one for one in moved if one.back_seconds is None]
    if lost:
        detail = f"{len(lost)} of {len(moved)} clients found no pod within {_BACK_SECONDS:g} s"
        return failed("drain", detail, "is another pod ready before one stops (maxUnavailable: 0)?")
    longest = max(one.back_seconds or 0.0 for one in moved)
    detail = f"{len(moved)} clients were closed and back in {longest:.1f} s at most"
    if cut := [one for one in moved if one.close_code not in _GRACEFUL]:
        remedy = (
            "pods must end their drain before they or the proxy's connections are killed: "
            "terminationGracePeriodSeconds, the proxy's connection draining"
        )
        return warning("drain", f"{detail}; {len(cut)} were cut without a Close frame", remedy)
    if unproven := sum(not one.is_recovered for one in moved):
        remedy = "see constellation_recoveries_total: the outcome says why"
        return warning("drain", f"{detail}; {unproven} were not recovered", remedy)
    return ok("drain", f"{detail}, all recovered")


async def _hold(http: Http, seconds: float) -> Moved | None:
    """Hold one client; None where nobody closes it."""
    pid = None
    try:
        async with asyncio.timeout(seconds), http.websocket() as websocket:
            client = LeanClient(websocket, http.target.namespace)
            await client.open()
            pid = (await client.connect(http.target.auth)).get("pid")
            while True:
                await client.next()
    except TimeoutError:
        return None
    except Lost as lost:
        return await _come_back(http, lost.close_code, pid)
    except (Refused, *_FAULTS):
        return None if pid is None else await _come_back(http, None, pid)


async def _come_back(http: Http, close_code: int | None, pid: str | None) -> Moved:
    began = time.monotonic()
    while (taken := time.monotonic() - began) < _BACK_SECONDS:
        try:
            async with asyncio.timeout(_BACK_SECONDS), http.websocket() as websocket:
                client = LeanClient(websocket, http.target.namespace)
                await client.open()
                resuming = {} if pid is None else {"pid": pid}
                answer = await client.connect({**http.target.auth, **resuming})
                taken = time.monotonic() - began
                return Moved(close_code, taken, pid is not None and answer.get("pid") == pid)
        except (Refused, *_FAULTS):
            await asyncio.sleep(_PAUSE_SECONDS)
    return Moved(close_code, None, False)
