"""How long may a connection be silent, and open? Between two pings nothing is sent."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from constellation_ws.cli.doctor.target import Http, words_of
from constellation_ws.cli.findings import Finding, failed, ok, skipped, warning
from constellation_ws.cli.lean_client import (
    LeanClient,
    Lost,
    Refused,
    connect_packet,
    read_handshake,
)

_SPARE_SECONDS = 2.0
_OPEN_SECONDS = 10.0
_DRAIN_CODE = 1012
_FAULTS = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


async def silent_seconds(http: Http) -> float:
    """Say after what silence a side counts as gone: so long a proxy has to bear it."""
    handshake = read_handshake((await http.handshake()).text)
    await http.post(handshake.sid, "1")
    return handshake.silent_seconds


async def check_websocket_idle(http: Http, silent_seconds: float) -> Finding:
    """Hold a WebSocket through the silence before the first ping, and on for so many seconds.

    Some proxies limit not the silence but how long a request may take, often to 30 s.
    """
    client = None
    try:
        async with http.websocket() as websocket:
            client = LeanClient(websocket, http.target.namespace)
            async with asyncio.timeout(_OPEN_SECONDS):
                handshake = await client.open()
                await client.connect(http.target.auth)
            began, ping = time.monotonic(), handshake.ping_seconds
            try:
                async with asyncio.timeout(silent_seconds + _SPARE_SECONDS):
                    while True:
                        await client.packet()
            except TimeoutError:
                detail = f"a WebSocket lives through {ping:g} s of silence"
                return ok("idle", f"{detail}, and for {silent_seconds:g} s")
            except Lost as lost:
                return judge_lost(lost, time.monotonic() - began, ping, silent_seconds)
    except Refused:
        return skipped("idle", "the namespace refuses this client")
    except (*_FAULTS, Lost) as error:
        return skipped("idle", f"no WebSocket opens: {words_of(error)}")


def judge_lost(lost: Lost, after: float, ping: float, silent: float) -> Finding:
    """Say who has closed a silent WebSocket."""
    if lost.close_code == _DRAIN_CODE:
        detail = f"a pod closed it after {after:.1f} s to drain (1012): a roll-out is under way"
        return warning("idle", detail, "run doctor again when it is done")
    if after >= ping:
        detail = f"a WebSocket ends after {after:.1f} s ({lost.close_code or lost}), pings or not"
        remedy = (
            "let the proxy limit WebSockets to hours, not seconds (GKE timeoutSec, Envoy timeout "
            "0s); if it does not, the gateway's log has the reason"
        )
        return failed("idle", detail, remedy)
    return failed(
        "idle",
        f"a proxy cuts a silent WebSocket after {after:.1f} s "
        f"({lost.close_code or 'no Close frame'}): less than the ping interval of {ping:g} s",
        _raise_timeout(silent),
    )


async def check_poll_idle(http: Http) -> Finding:
    """Hold a poll: nothing is sent until the ping."""
    handshake = read_handshake((await http.handshake()).text)
    packet = connect_packet(http.target.namespace, http.target.auth)
    if (await http.post(handshake.sid, packet)).status != 200:
        return skipped("long poll", "sessions do not work by polling")
    answer = await http.poll(handshake.sid)
    if answer.status != 200 or answer.text.startswith("44"):
        return skipped("long poll", "the namespace refuses this client by polling")
    began = time.monotonic()
    answer = await http.poll(handshake.sid, handshake.silent_seconds + _SPARE_SECONDS)
    after = time.monotonic() - began
    await http.post(handshake.sid, "1")
    if answer.status == 200:
        return ok("long poll", f"a poll waits for {after:.1f} s and is answered")
    detail = f"a waiting poll ends after {after:.1f} s: {answer}"
    return failed("long poll", detail, _raise_timeout(handshake.silent_seconds))


async def check_keep_alive(http: Http, pause_seconds: float) -> Finding:
    """Use one connection twice, with a pause: clients and proxies both reuse them.

    `http` must keep connections alive.
    """
    first = await http.handshake()
    await asyncio.sleep(pause_seconds)
    second = await http.handshake()
    if first.status == 200 and (second.is_from_proxy or second.fault):
        remedy = (
            "CONSTELLATION_KEEP_ALIVE_SECONDS must be longer than the proxy's idle timeout for "
            "backends"
        )
        return failed("keep-alive", f"after a pause of {pause_seconds:.0f} s: {second}", remedy)
    return ok("keep-alive", f"requests {pause_seconds:.0f} s apart are answered")


def _raise_timeout(silent: float) -> str:
    return (
        f"raise the proxy's idle and request timeouts above {silent:g} s, the ping interval and "
        "timeout (nginx proxy_read_timeout, ALB idle_timeout, GKE timeoutSec, Envoy timeout 0s)"
    )
