"""The ports of the process: opened before anything runs, so that nobody finds them half ready."""

from __future__ import annotations

import contextlib

from constellation_ws.process.http_servers import api_config, metrics_config, public_config
from constellation_ws.process.servers import HttpServer
from constellation_ws.runtime.listening import PortUnavailable, bound, listen
from constellation_ws.wiring.gateway import Gateway

_HOST = "CONSTELLATION_WS_HOST"


def open_http_ports(held: contextlib.AsyncExitStack, gateway: Gateway) -> dict[str, HttpServer]:
    """Listen on the HTTP ports, and give what serves each. Raises PortUnavailable."""
    settings, host = gateway.settings, gateway.settings.listening.ws_host
    listeners = held.enter_context(listen(host, settings.listening.ws_port, f"{_HOST}, WS_PORT"))
    config, connections = public_config(gateway), gateway.clients.http_connections
    servers = {"http": HttpServer(config, listeners, connections)}
    if settings.watching.metrics_port is not None:
        variables = f"{_HOST}, CONSTELLATION_METRICS_PORT"
        listeners = held.enter_context(listen(host, settings.watching.metrics_port, variables))
        servers["metrics"] = HttpServer(metrics_config(gateway), listeners, set())
    if settings.api.api_port is not None:
        variables = f"{_HOST}, CONSTELLATION_API_PORT"
        listeners = held.enter_context(listen(host, settings.api.api_port, variables))
        api_connections: set[object] = set()
        config = api_config(gateway, api_connections)
        servers["api"] = HttpServer(config, listeners, api_connections)
    return servers


async def open_peer_port(held: contextlib.AsyncExitStack, gateway: Gateway) -> None:
    """Listen for other pods, unless that is off. Raises PortUnavailable."""
    settings, peers = gateway.settings, gateway.peering.peers
    if settings.listening.peer_port is None:
        return
    variables = f"{_HOST}, CONSTELLATION_PEER_PORT"
    try:
        listeners = bound(settings.listening.ws_host, settings.listening.peer_port, variables)
    except PortUnavailable:
        if "peer_port" in settings.model_fields_set:
            raise
        # Nobody has set this port, and pods register theirs: a second gateway on one machine
        # takes another one.
        listeners = bound(settings.listening.ws_host, 0, variables)
    await peers.start(listeners)
    held.push_async_callback(peers.aclose)
    gateway.peering.directory.announce(settings.own_address(), peers.port)


def port_numbers(gateway: Gateway, servers: dict[str, HttpServer]) -> dict[str, int]:
    """Give the number of each open port, by the name that it has in the log."""
    numbers = {"ws_port": servers["http"].port, "tcp_port": gateway.services.tcp.port}
    for name in ("metrics", "api"):
        if name in servers:
            numbers[f"{name}_port"] = servers[name].port
    if gateway.settings.listening.peer_port is not None:
        numbers["peer_port"] = gateway.peering.peers.port
    return numbers
