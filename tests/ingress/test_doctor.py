"""`doctor` names the cause: each fault made by real parts, and found from outside.

Faults that a whole deployment has need pods of their own; those of proxies share two pods.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from redis.asyncio import Redis

from constellation_ws.cli.doctor import target as targets
from constellation_ws.cli.doctor.delivery import Inside
from constellation_ws.cli.doctor.examination import Extent, examine
from constellation_ws.cli.doctor.origins import check_origin
from constellation_ws.cli.doctor.polling import check_polling
from constellation_ws.cli.doctor.target import Target, read_target
from constellation_ws.cli.doctor.websockets import check_websockets
from constellation_ws.cli.findings import Finding, Verdict
from constellation_ws.cli.redis_connection import connected
from constellation_ws.redis_io.names import Names
from tests.ingress.proxies.connections import Connections
from tests.ingress.proxies.nginx import nginx
from tests.ingress.trial import PEER_SETTINGS
from tests.processes import HOST, Gateway, Valkey, running_valkey, started_gateway
from tests.proxies.nginx import NGINX_HEAD, nginx_user, reloaded_nginx
from tests.tokens import SECRET, claims_of, signed, token_of
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]

PING_SECONDS = 2
STRICT: dict[str, Any] = {
    **PEER_SETTINGS,
    "CONSTELLATION_PING_INTERVAL_SECONDS": PING_SECONDS,
    "CONSTELLATION_PING_TIMEOUT_SECONDS": PING_SECONDS,
    "CONSTELLATION_CORS_ORIGINS": "https://ours.example",
    "CONSTELLATION_AUTH_MODE": "jwt",
    "CONSTELLATION_JWT_SECRET": SECRET,
}
"""Tokens and origins are checked, so that each may be at fault."""
_NGINX = (
    NGINX_HEAD
    + """\
    server {{
        listen {host}:{port};
        location /configured {{ return 200 "{version}"; }}
        location {path} {{
            {lines}
            proxy_set_header Host $host;
            proxy_pass http://{host}:{pod_port}{rewritten};
        }}
    }}
}}
"""
)
_WEBSOCKETS = """
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pod(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A pod that checks tokens and origins."""
    log = tmp_path_factory.mktemp("doctor") / "pod.log"
    async with started_gateway(log, valkey.url, **STRICT) as pod:
        await pod.ready()
        yield pod


async def found(target: Target, inside: Inside | None = None, **extent: Any) -> list[Finding]:
    wanted = Extent(**{"waits_idle": False, **extent})
    return [one async for one in examine(target, inside, wanted, lambda text: None)]


async def checked(
    wanted: Target, check: Callable[[targets.Http], AsyncIterator[Finding]]
) -> list[Finding]:
    """What one part of the examination finds."""
    async with targets.connected(wanted) as http:
        return [one async for one in check(http)]


def target(url: str, **more: Any) -> Target:
    plain = read_target(url, "/socket.io/", "/chats", "bob")
    return replace(plain, token=token_of("bob"), **more)


def failures(findings: Sequence[Finding]) -> Mapping[str, str]:
    """The failed subjects, each with what was said, and what to do about it."""
    failed = [one for one in findings if one.verdict is Verdict.FAILED]
    assert all(one.remedy for one in failed)
    return {one.subject: f"{one.detail} -> {one.remedy}" for one in failed}


@contextmanager
def faulty_nginx(folder: Path, lines: str, path: str = "/", rewritten: str = "") -> Iterator[Any]:
    def configure(*, port: int, version: int, pod_ports: Sequence[int]) -> str:
        return _NGINX.format(
            user=nginx_user(),
            host=HOST,
            port=port,
            version=version,
            path=path,
            lines=lines,
            pod_port=pod_ports[0],
            rewritten=rewritten,
        )

    proxy = reloaded_nginx(folder, configure)
    try:
        yield proxy
    finally:
        proxy.stop()


async def test_nothing_is_wrong_with_a_proxy_that_passes_everything(
    pod: Gateway, valkey: Valkey, tmp_path: Path
) -> None:
    proxy = nginx(tmp_path)
    await proxy.route_to([pod.ws_port])
    try:
        with connected(valkey.url, Names()) as redis:
            origin = "https://ours.example"
            url = f"http://{HOST}:{proxy.port}"
            inside = Inside(redis, Names(), "durable")
            findings = await found(target(url, origin=origin), inside, waits_idle=True)
    finally:
        proxy.stop()

    assert {one.subject for one in findings if one.verdict is Verdict.OK} == {
        *("address", "path", "pods", "readiness", "polling", "identity", "requests"),
        *("websocket", "upgrade", "cors", "delivery", "idle", "long poll", "keep-alive"),
    }
    assert {one.subject for one in findings if one.verdict is not Verdict.OK} == {"tls"}


async def test_a_proxy_that_cuts_idle_connections(pod: Gateway, tmp_path: Path) -> None:
    with faulty_nginx(tmp_path, f"{_WEBSOCKETS} proxy_read_timeout 1s;") as proxy:
        await proxy.route_to([pod.ws_port])
        findings = await found(target(f"http://{HOST}:{proxy.port}"), waits_idle=True)

    failed = failures(findings)
    assert set(failed) == {"idle", "long poll"}
    assert "less than the ping interval of 2 s -> raise the proxy's idle" in failed["idle"]
    assert "HTTP 504" in failed["long poll"]


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ('proxy_http_version 1.1; proxy_set_header Connection "";', "removes the Upgrade header"),
        ("proxy_http_version 1.0;", "HTTP"),
    ],
)
async def test_a_proxy_without_websockets(
    lines: str, cause: str, pod: Gateway, tmp_path: Path
) -> None:
    with faulty_nginx(tmp_path, lines) as proxy:
        await proxy.route_to([pod.ws_port])
        url = f"http://{HOST}:{proxy.port}"
        failed = failures(await checked(target(url), check_websockets))

    assert set(failed) == {"websocket"}
    assert cause in failed["websocket"]
    assert "proxy_set_header Upgrade $http_upgrade" in failed["websocket"]


async def test_a_page_that_may_not_connect(pod: Gateway) -> None:
    findings = await found(target(pod.http_url, origin="https://theirs.example"))
    (cause,) = failures(findings).values()
    assert "pages of https://theirs.example are refused: forbidden_origin" in cause
    assert "add https://theirs.example to CONSTELLATION_CORS_ORIGINS" in cause


async def test_a_proxy_that_removes_cors(pod: Gateway, tmp_path: Path) -> None:
    lines = f"{_WEBSOCKETS} proxy_hide_header Access-Control-Allow-Origin;"
    with faulty_nginx(tmp_path, lines) as proxy:
        await proxy.route_to([pod.ws_port])
        named = target(f"http://{HOST}:{proxy.port}", origin="https://ours.example")
        async with targets.connected(named) as http:
            failed = failures([await check_origin(http)])
    assert "Access-Control-Allow-Origin: (none)" in failed["cors"]


async def test_a_path_that_is_rewritten(pod: Gateway, tmp_path: Path) -> None:
    with faulty_nginx(tmp_path, _WEBSOCKETS, "/socket.io/", "/") as proxy:
        await proxy.route_to([pod.ws_port])
        failed = failures(await found(target(f"http://{HOST}:{proxy.port}")))
    assert set(failed) == {"path"}

    wrong = replace(target(pod.http_url), path="/ws/")
    (cause,) = failures(await found(wrong)).values()
    assert "the gateway is there, but not at /ws/ (HTTP 404)" in cause
    assert "correct --path" in cause


async def test_something_else_at_that_address(tmp_path: Path) -> None:
    async with site(web.Response(text="<html>an app</html>")) as url:
        (cause,) = failures(await found(target(url))).values()
    assert "something else answers there" in cause
    async with site(web.Response(status=302, headers={"Location": "https://x/"})) as url:
        (cause,) = failures(await found(target(url))).values()
    assert "redirected to https://x/" in cause
    plain = web.Response(status=400, text="Client sent an HTTP request to an HTTPS server.")
    async with site(plain) as url:
        (cause,) = failures(await found(target(url))).values()
    assert "the port expects TLS -> give https:// here" in cause


async def test_nobody_at_that_address() -> None:
    (cause,) = failures(await found(target(f"http://{HOST}:1"))).values()
    assert "connection refused" in cause


@pytest.mark.parametrize(
    ("token", "cause"),
    [
        (None, "unauthorized: "),
        (token_of("bob", -60), "token_expired: "),
        (signed(claims_of("bob"), "another secret, as long as it has to be for HS256"), "forged"),
        (token_of("bob", aud="others"), "its aud is others"),
        (token_of("alice"), "unauthorized: "),
    ],
)
async def test_token_trouble(token: str | None, cause: str, pod: Gateway) -> None:
    cause = cause.replace("forged", "token_invalid: The token's signature is not valid.")
    trouble = replace(target(pod.http_url), token=token)
    failed = failures(await checked(trouble, check_polling))
    assert set(failed) == {"identity"}
    assert cause in failed["identity"]


async def test_a_token_that_ends_soon_is_a_warning(pod: Gateway) -> None:
    ending = replace(target(pod.http_url), token=token_of("bob", 60))
    findings = await checked(ending, check_polling)
    assert failures(findings) == {}
    warnings = [one.detail for one in findings if one.verdict is Verdict.WARNING]
    assert any("the token expires in" in one for one in warnings)


async def test_redis_that_is_full(tmp_path: Path) -> None:
    with running_valkey() as own:
        async with started_gateway(tmp_path / "log", own.url, **STRICT) as pod:
            await pod.ready()
            async with Redis.from_url(own.url) as redis:
                await redis.config_set("maxmemory", 1)
            with connected(own.url, Names()) as client:
                inside = Inside(client, Names(), "durable")
                failed = failures(await found(target(pod.http_url), inside))
            without = failures(await checked(target(pod.http_url), check_polling))

    assert "Redis is full (maxmemory)" in failed["delivery"]
    # Without access to Redis it shows in what clients are answered.
    assert "cannot write to Redis" in without["requests"]
    assert "Redis is full" in without["requests"]


async def test_pods_that_do_not_reach_each_other_behind_a_balancer_that_is_not_sticky(
    pod: Gateway, valkey: Valkey, tmp_path: Path
) -> None:
    cut = {**STRICT, "CONSTELLATION_PEER_PORT": "off"}
    async with started_gateway(tmp_path / "log", valkey.url, **cut) as other:
        await other.ready()
        async with balanced(pod, other) as url:
            failed = failures(await found(target(url)))

    assert set(failed) == {"polling", "upgrade"}
    assert "the balancer is not sticky, and pods do not reach each other" in failed["polling"]
    assert "port 7757" in failed["polling"]


async def test_one_pod_that_gets_no_clients_and_one_that_gets_them_and_is_not_ready(
    pod: Gateway, valkey: Valkey, tmp_path: Path
) -> None:
    draining = {**STRICT, "CONSTELLATION_DRAIN_DELAY_SECONDS": 60}
    async with started_gateway(tmp_path / "log", valkey.url, **draining) as other:
        await other.ready()
        with connected(valkey.url, Names()) as redis:
            inside = Inside(redis, Names(), "durable")
            findings = await found(target(pod.http_url), inside)
            warnings = [one.detail for one in findings if one.verdict is Verdict.WARNING]
            assert any(one.endswith("are registered, only one gets clients") for one in warnings)

            other.signal(signal.SIGTERM)
            await eventually(lambda: _is_refused(other), PATIENCE_SECONDS, "it drains")
            async with balanced(pod, other) as url:
                failed = failures(await found(target(url), inside))

    assert "handshakes were refused: HTTP 503 draining: one pod" in failed["pods"]
    assert "phase: draining" in failed["readiness"]
    assert "let the balancer check /readyz" in failed["readiness"]


async def _is_refused(pod: Gateway) -> bool:
    return (await pod.get("/readyz")).status == 503


@asynccontextmanager
async def balanced(*pods: Gateway) -> AsyncIterator[str]:
    proxy = Connections()
    await proxy.route_to([pod.ws_port for pod in pods])
    try:
        yield f"http://{HOST}:{proxy.port}"
    finally:
        proxy.stop()


@asynccontextmanager
async def site(answer: web.Response) -> AsyncIterator[str]:
    """A server that answers everything with the same."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=answer.status, text=answer.text, headers=answer.headers)

    application = web.Application()
    application.router.add_route("*", "/{any:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
