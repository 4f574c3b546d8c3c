"""May a page of this origin connect: CORS for polling, the Origin header for a WebSocket?"""

from __future__ import annotations

import aiohttp

from constellation_ws.cli.doctor.target import Http, words_of
from constellation_ws.cli.findings import Finding, failed, ok, skipped
from constellation_ws.cli.lean_client import read_handshake

_ALLOW = "Access-Control-Allow-Origin"


async def check_origin(http: Http) -> Finding:
    """Open a session and a WebSocket as a browser would for that page."""
    target = http.target
    if target.origin is None:
        return skipped(
            "cors", "no page was named", "give --origin, such as https://app.example.com"
        )
    headers = {"Origin": target.origin}
    answer = await http.handshake(headers)
    if answer.code == "forbidden_origin":
        return _forbidden(target.origin)
    try:
        read_handshake(answer.text)
    except ValueError:
        remedy = "let the proxy pass requests with an Origin header"
        return failed("cors", f"with Origin: {target.origin} the answer is {answer}", remedy)
    allowed = next((v for k, v in answer.headers.items() if k.lower() == _ALLOW.lower()), None)
    if allowed not in (target.origin, "*") and target.origin != target.url:
        detail = f"the answer has {_ALLOW}: {allowed or '(none)'}"
        remedy = "let the gateway alone write CORS headers: remove those of the proxy"
        return failed("cors", f"{detail}, so the browser refuses it", remedy)
    try:
        async with http.websocket(headers=headers) as websocket:
            await websocket.receive()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        if isinstance(error, aiohttp.WSServerHandshakeError) and error.status == 403:
            return _forbidden(target.origin)
        return skipped("cors", f"polling may; a WebSocket does not open: {words_of(error)}")
    return ok("cors", f"pages of {target.origin} may connect")


def _forbidden(origin: str) -> Finding:
    detail = f"pages of {origin} are refused: forbidden_origin"
    return failed("cors", detail, f"add {origin} to CONSTELLATION_CORS_ORIGINS")
