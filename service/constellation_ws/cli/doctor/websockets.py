"""Do WebSockets pass: opened directly, and as the upgrade of a session that polls?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import aiohttp

from constellation_ws.cli.doctor.polling import CUT_PEERS, UNKNOWN
from constellation_ws.cli.doctor.target import REQUEST_SECONDS, Http, Response, words_of
from constellation_ws.cli.findings import Finding, failed, ok, warning
from constellation_ws.cli.lean_client import LeanClient, Lost, Refused, read_handshake

_UPGRADES = 4
_HEADERS: Mapping[str, str] = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
_PASS_THEM = (
    "let the proxy pass WebSockets: HTTP/1.1 to the pods, with the Upgrade and Connection headers "
    "(nginx: proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade, "
    'proxy_set_header Connection "upgrade"); see Ingress in docs/operations.md'
)
_FAULTS = (aiohttp.ClientError, OSError, TimeoutError, ValueError, Lost)


async def check_websockets(http: Http) -> AsyncIterator[Finding]:
    """Open one, connect, and then upgrade some sessions."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS), http.websocket() as websocket:
            client = LeanClient(websocket, http.target.namespace)
            await client.open()
            await client.connect(http.target.auth)
    except Refused:
        pass  # an answer: who is refused, and why, is found by polling
    except _FAULTS as error:
        yield await _explain(http, error)
        return
    yield ok("websocket", "opens, and the namespace answers on it")
    yield await _check_upgrades(http)


async def _check_upgrades(http: Http) -> Finding:
    try:
        for _ in range(_UPGRADES):
            handshake = read_handshake((await http.handshake()).text)
            async with asyncio.timeout(REQUEST_SECONDS), http.websocket(handshake.sid) as websocket:
                await websocket.send_str("2probe")
                if await websocket.receive_str() != "3probe":
                    raise ValueError("the probe is not answered")
                await websocket.send_str("5")
    except aiohttp.WSServerHandshakeError as error:
        answer = await http.ask(
            http.target.engine_url("websocket", handshake.sid), headers=_HEADERS
        )
        if answer.code == UNKNOWN or error.status == 400:
            detail = "an upgrade reached another pod than its session's, and was refused"
            return failed("upgrade", detail, CUT_PEERS)
        return failed("upgrade", f"a WebSocket is refused: {answer}", _PASS_THEM)
    except (*_FAULTS, TypeError) as error:
        remedy = "clients stay on polling: see constellation_connects_total and the gateway's log"
        return warning("upgrade", f"does not complete: {words_of(error)}", remedy)
    return ok("upgrade", f"{_UPGRADES} sessions went from polling to WebSocket")


async def _explain(http: Http, error: BaseException) -> Finding:
    """Ask again as plain HTTP: the body of the refusal has the cause."""
    if isinstance(error, Lost):
        remedy = "see the gateway's log for the reason"
        return failed("websocket", f"opens, and is {error} ({error.close_code})", remedy)
    answer = await http.ask(http.target.engine_url("websocket"), headers=_HEADERS, seconds=3)
    return judge_refused(answer, error)


def judge_refused(answer: Response, error: BaseException) -> Finding:
    """Say why no WebSocket opens."""
    match answer.code:
        case "no_upgrade":
            detail = "a proxy removes the Upgrade header (no_upgrade): clients stay on polling"
            return failed("websocket", detail, _PASS_THEM)
        case "old_http":
            detail = "a proxy sends HTTP/1.0 to the pods (old_http): clients stay on polling"
            return failed("websocket", detail, _PASS_THEM)
        case "":
            detail = f"a proxy does not pass WebSockets ({answer.fault or answer})"
            return failed("websocket", detail, _PASS_THEM)
        case code:
            remedy = "look up the code in the README; the gateway's log has it too"
            return failed("websocket", f"refused: {code} ({words_of(error)})", remedy)
