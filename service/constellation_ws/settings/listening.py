"""Settings of the ports: where clients, services and other pods connect, and from which pages."""

from __future__ import annotations

from pydantic import Field

from constellation_ws.runtime.listening import EVERY_ADDRESS
from constellation_ws.settings.kinds import Host, OptionalHost, Origins, Port, PortOrOff
from constellation_ws.settings.part import Part


class ListeningSettings(Part):
    """The ports of one process, and the origins whose pages may connect."""

    ws_port: Port = Field(
        7000,
        description="Port of Socket.IO, the probes and the metrics. 0 selects a free port.",
    )
    ws_host: Host = Field(
        EVERY_ADDRESS,
        description="Address that Socket.IO, HTTP, the metrics and the API listen on. `::` is "
        "every address of the machine, IPv6 and IPv4; `0.0.0.0` is IPv4 alone.",
    )
    tcp_port: Port = Field(
        7756,
        description="Port of the NestJS TCP microservice. 0 selects a free port.",
    )
    tcp_host: Host = Field(
        "127.0.0.1",
        description="Address that the TCP microservice listens on: only this machine by default. "
        "The image sets `::`, which is every address, IPv6 and IPv4. The port has no "
        "authentication: restrict access to it.",
    )
    peer_port: PortOrOff = Field(
        7757,
        description="Port on which pods take each other's requests, so that a client's request may "
        "reach any pod. 0 selects a free port; `off` answers requests for other pods' sessions "
        "with `unknown_session`. Only pods may reach it: do not publish it.",
    )
    peer_address: OptionalHost = Field(
        None,
        description="Address at which other pods reach this one. Empty means the address of this "
        "machine from which it reaches Redis.",
    )
    cors_origins: Origins = Field(
        ("*",),
        description="Origins whose pages may connect, separated by commas; `*` allows all. "
        "`https://*.example.com` allows every name with one more label, `null` allows pages "
        "without an origin. Pages of the gateway's own host may always connect.",
    )
