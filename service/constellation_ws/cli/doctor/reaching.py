"""Is there a gateway at this address and path? Name, TCP, TLS, and what answers."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator

from constellation_ws.cli.doctor.target import REQUEST_SECONDS, Http, Response, Target, words_of
from constellation_ws.cli.findings import Finding, failed, ok, skipped, warning
from constellation_ws.cli.lean_client import read_handshake

_SOON_DAYS = 14
_LOCAL = ("localhost", "127.0.0.1", "::1")
_ATTEMPTS = 5
"""A pod that drains or is full refuses for a moment; the next connection may reach another one."""


async def check_address(target: Target) -> AsyncIterator[Finding]:
    """Connect, and look at the certificate."""
    where = f"{target.host}:{target.port}"
    if not target.is_tls:
        fault = await _fault_of_connection(target, None)
        if fault:
            yield failed("address", f"{where}: {fault}", _unreachable(fault))
            return
        yield ok("address", f"{where} accepts connections")
        if target.host in _LOCAL:
            yield skipped("tls", "plain HTTP to this machine")
        else:
            yield warning(
                "tls",
                "plain HTTP: tokens and messages can be read on the way",
                "let the ingress terminate TLS, and give https:// here",
            )
        return
    context = ssl.create_default_context()
    if fault := await _fault_of_connection(target, None):
        yield failed("address", f"{where}: {fault}", _unreachable(fault))
        return
    yield ok("address", f"{where} accepts connections")
    yield await _check_certificate(target, context)


async def is_trusted(target: Target) -> bool:
    """Return whether browsers would accept the certificate, or there is no need of one."""
    return not target.is_tls or not await _fault_of_connection(target, ssl.create_default_context())


async def _check_certificate(target: Target, context: ssl.SSLContext) -> Finding:
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            _, writer = await asyncio.open_connection(target.host, target.port, ssl=context)
    except (OSError, TimeoutError) as error:
        remedy = "give the ingress a certificate for this name, with its whole chain"
        if not isinstance(error, ssl.SSLCertVerificationError):
            remedy = "is it a port with TLS? A plain one needs http:// here"
        return failed("tls", words_of(error), remedy)
    certificate = writer.get_extra_info("peercert")
    version = writer.get_extra_info("ssl_object").version()
    writer.transport.abort()
    days = (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / 86_400
    if days < _SOON_DAYS:
        remedy = "renew it; with cert-manager look at `kubectl describe certificate`"
        return warning("tls", f"the certificate expires in {days:.0f} days", remedy)
    return ok("tls", f"{version}, the certificate is valid for {days:.0f} days")


async def _fault_of_connection(target: Target, context: ssl.SSLContext | None) -> str:
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            _, writer = await asyncio.open_connection(target.host, target.port, ssl=context)
    except (OSError, TimeoutError) as error:
        return words_of(error)
    writer.transport.abort()
    return ""


def _unreachable(fault: str) -> str:
    if "name" in fault:
        return "check the host name, and its DNS record"
    return "check host and port, and that the balancer, the Service or the firewall lets it through"


async def check_path(http: Http) -> tuple[Finding, bool]:
    """Ask for an Engine.IO handshake; say whether there was one."""
    answer = Response(0)
    for _ in range(_ATTEMPTS):
        answer = await http.handshake()
        if not (answer.status == 503 and answer.code):
            break
    try:
        handshake = read_handshake(answer.text)
    except ValueError:
        return await _explain_path(http, answer), False
    detail = f"Engine.IO answers at {http.target.path}, ping every {handshake.ping_seconds:g} s"
    return ok("path", detail), True


async def _explain_path(http: Http, answer: Response) -> Finding:
    path = http.target.path
    if answer.code:
        remedy = "look up the code in the README; the gateway's log has it too"
        return failed("path", f"the gateway refuses every client: {answer.code}", remedy)
    if answer.is_from_proxy:
        remedy = (
            "see `kubectl get pods,endpoints`: no pod is ready, or the ingress has a wrong port"
        )
        return failed("path", f"{answer}: a proxy answers, and no gateway behind it", remedy)
    if 300 <= answer.status < 400:
        remedy = "give clients that URL; socket.io-client does not follow redirects"
        return failed("path", f"redirected to {answer.headers.get('Location')}", remedy)
    if not answer.status:
        remedy = "is it HTTP? A port with TLS needs https:// here, a plain one http://"
        return failed("path", answer.fault, remedy)
    if answer.status == 400 and "https" in answer.text.lower():
        return failed("path", "the port expects TLS", "give https:// here")
    front = await http.ask(f"{http.target.url}/")
    if "Constellation WS" in front.text:
        remedy = "forward /socket.io unchanged: no rewrite, no stripped prefix; or correct --path"
        return failed("path", f"the gateway is there, but not at {path} ({answer})", remedy)
    if answer.status in (401, 403):
        remedy = f"exempt {path} from the login of the proxy"
        return failed("path", f"{answer}: something in front of the gateway refuses", remedy)
    remedy = f"let the ingress forward {path} to the gateway, or correct --url and --path"
    return failed("path", f"{answer} at {path}: something else answers there", remedy)
