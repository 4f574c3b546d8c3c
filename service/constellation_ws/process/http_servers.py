"""How uvicorn is configured for each HTTP port."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import replace
from typing import Any

import uvicorn

from constellation_ws.api.problems import JSON, write_problem
from constellation_ws.engine.polling import LongPolling
from constellation_ws.engine.upgrading import SOCKET_IO_PATH, Upgrades
from constellation_ws.http.in_turns import in_turns
from constellation_ws.http.lobby import Lobby
from constellation_ws.http.protocol import HttpProtocol
from constellation_ws.http.refusals import SECURITY_HEADERS, TOO_MANY_IDLE, response_to
from constellation_ws.messages.admission import Refusal
from constellation_ws.observability.probes import (
    AsgiApp,
    create_app,
    create_metrics_app,
    dispatch,
)
from constellation_ws.observability.telemetry import trace_api, trace_pages
from constellation_ws.websocket import Refuse
from constellation_ws.wiring.gateway import Gateway

_QUIET_HTTP: dict[str, Any] = {
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "timeout_graceful_shutdown": 2,
    "server_header": False,
    "headers": [(name.decode(), value.decode()) for name, value in SECURITY_HEADERS],
    "proxy_headers": False,  # they would be trusted from anybody on this machine
}
"""What all HTTP ports have in common."""


def public_config(gateway: Gateway) -> uvicorn.Config:
    """Configure the public port: polling and upgrades are the engine's, the rest are pages."""
    settings, engine = gateway.settings, gateway.clients.engine
    admission = gateway.clients.admission
    has_metrics = settings.watching.metrics_port is None
    registry = gateway.metrics.registry if has_metrics else None
    pages: AsgiApp = create_app(gateway.health, registry, gateway.events.namespaces.scopes)
    pages = gateway.console.public(trace_pages(pages, gateway.tracing))
    polling = LongPolling(engine, admission, gateway.clients.polls, gateway.peering.elsewhere)
    upgrades = {SOCKET_IO_PATH: Upgrades(engine, admission, gateway.peering.elsewhere).handle}
    most = settings.limits.max_half_open_connections
    lobby = Lobby(most, admission.refuse, admission.is_crowded, admission.is_out_of_sockets)
    idle = Lobby(most, admission.refuse, reason=TOO_MANY_IDLE)
    return uvicorn.Config(
        in_turns(dispatch(pages, polling, SOCKET_IO_PATH), engine.turns),
        # Called like the class that uvicorn asks for.
        http=functools.partial(  # type: ignore[arg-type]
            HttpProtocol, turns=engine.turns, upgrades=upgrades, lobby=lobby, idle=idle
        ),
        ws=asyncio.Protocol,  # never made: HttpProtocol takes every upgrade
        backlog=4096,
        timeout_keep_alive=settings.limits.keep_alive_seconds,
        **_QUIET_HTTP,
    )


def api_config(gateway: Gateway, connections: set[object]) -> uvicorn.Config:
    """Configure the port of the HTTP API; `connections` are those that it has."""
    api = gateway.services.api
    application = trace_api(api, gateway.tracing, api.span_details)
    most = gateway.clients.files.api
    crowd = most - most // 8  # idle ones go first, so that there is room for those who ask

    def refuse(refusal: Refusal) -> Refuse:
        gateway.metrics.api_refused.labels(refusal.code).inc()
        response = response_to(refusal)
        body = write_problem(refusal.code, refusal.message)
        return replace(response, headers=(JSON, *response.headers), body=body)

    lobby = Lobby(
        most,
        refuse,
        is_crowded=lambda: len(connections) >= crowd,
        is_out_of_sockets=lambda: len(connections) >= most,
    )
    idle = Lobby(most, refuse, reason=TOO_MANY_IDLE)
    return uvicorn.Config(
        in_turns(application, gateway.clients.engine.turns),
        http=functools.partial(  # type: ignore[arg-type]
            HttpProtocol, turns=gateway.clients.engine.turns, upgrades={}, lobby=lobby, idle=idle
        ),
        ws=asyncio.Protocol,  # never made: HttpProtocol takes every upgrade, and refuses it here
        timeout_keep_alive=gateway.settings.limits.keep_alive_seconds,
        **_QUIET_HTTP,
    )


def metrics_config(gateway: Gateway) -> uvicorn.Config:
    """Configure the port of the metrics, and of the console where there is one."""
    most = gateway.settings.limits.max_half_open_connections
    lobby, idle = Lobby(most, response_to), Lobby(most, response_to, reason=TOO_MANY_IDLE)
    turns, upgrades = gateway.clients.engine.turns, gateway.console.upgrades
    return uvicorn.Config(
        gateway.console.private(create_metrics_app(gateway.metrics.registry)),
        http=functools.partial(  # type: ignore[arg-type]
            HttpProtocol, turns=turns, upgrades=upgrades, lobby=lobby, idle=idle
        ),
        ws=asyncio.Protocol,  # never made: HttpProtocol takes every upgrade
        timeout_keep_alive=gateway.settings.limits.keep_alive_seconds,
        **_QUIET_HTTP,
    )
