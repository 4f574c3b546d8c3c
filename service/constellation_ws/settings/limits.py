"""Settings that bound what anybody may take from the others, each with a default to ship.

What happens at a limit, its code and its metric: docs/operations.md has the table.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from constellation_ws.settings.kinds import Count, Networks
from constellation_ws.settings.part import Part

_FRAME_BYTES = 4_096
"""What a frame of the TCP port has besides its event: the pattern, the id, the address."""


class LimitSettings(Part):
    """Limits of one process, one user, one address and one connection."""

    max_id_chars: Count = Field(
        128,
        description="Maximum length of a user id or chat id, in characters.",
    )
    max_rooms_per_socket: Count = Field(
        500,
        description="Maximum number of chats that one client can be in at a time.",
    )
    max_request_bytes: Count = Field(
        16_384,
        description="Maximum size of a client's request, including its binary attachments. A "
        "larger one is refused with `payload_too_large`.",
    )
    # A limit that the handshake itself exceeds would let nobody in.
    max_payload_bytes: Annotated[int, Field(ge=512, le=10_000_000)] = Field(
        1_000_000,
        description="Maximum size of an Engine.IO packet; above it the connection is closed.",
    )
    max_requests_per_second: Count = Field(
        50,
        description="Average number of requests per second that one client may send. At twice as "
        "many packets of any kind, including pings and each fragment of a message, it is closed.",
    )
    max_request_burst: Count = Field(
        500,
        description="Number of requests that one client may send at once. After as many refused "
        "requests in a row it is closed.",
    )
    # Below a thousand the gateway's own commands would not fit.
    max_event_bytes: Annotated[int, Field(ge=1_000, le=10_000_000)] = Field(
        1_000_000,
        description="Maximum size of an event, in bytes of its JSON. A service that sends a larger "
        "one over TCP or HTTP is refused with `too_large`; published on Redis, it is dropped, "
        "counted and logged.",
    )
    max_write_buffer_bytes: Count = Field(
        1_048_576,
        description="Maximum number of bytes that are buffered for one client. For a moment eight "
        "of the largest events may be buffered in addition. A client that exceeds this, or does "
        "not read, is closed and reconnects.",
    )
    max_connections: Count = Field(
        50_000,
        description="Maximum number of connections of one process; above it handshakes get 503 and "
        "the pod is not ready.",
    )
    max_connections_per_user: Count = Field(
        50,
        description="Maximum number of connections of one user to one process, over all tabs and "
        "devices; further ones are refused with `too_many_connections`.",
    )
    # Off: behind NAT or an ingress a whole office or everybody has one address.
    max_connections_per_address: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        0,
        description="Maximum number of connections of one IP address (IPv6: one /64) to one "
        "process; further handshakes get 429. 0 means no limit. Behind an ingress set "
        "`CONSTELLATION_TRUSTED_PROXIES` first.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Proxies whose `X-Forwarded-For` is trusted; from others it is ignored.",
    )
    max_half_open_connections: Count = Field(
        5_000,
        description="Maximum number of connections that have not sent a complete HTTP request, and "
        "of connections between two requests; above it the oldest of them is closed.",
    )
    # Balancers keep connections to their backends, mostly for 60 s. They have to close first: a
    # request that is under way when we do is lost, and a POST is not sent again.
    keep_alive_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        75,
        description="Seconds for which an HTTP connection may be idle between two requests. Must "
        "be longer than the idle timeout of the load balancer in front.",
    )
    max_connects_per_second: Count = Field(
        2_000,
        description="Average number of handshakes per second, five times as many at once; more get "
        "503.",
    )
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        45,
        description="Seconds in which a client must connect to a namespace.",
    )
    # Twice the largest event, so that an event above that is refused with a reason.
    tcp_max_frame_bytes: Annotated[int, Field(ge=1, le=20_000_000)] = Field(
        2_000_000,
        description="Maximum size of a frame on the TCP microservice port; above it the connection "
        "is closed.",
    )
    tcp_idle_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        3_600,
        description="Seconds without a frame after which a TCP connection is closed.",
    )
    tcp_max_connections: Count = Field(
        1_000,
        description="Maximum number of connections on the TCP microservice port.",
    )
    api_max_connections: Count = Field(
        1_000,
        description="Maximum number of connections to the HTTP API; above it the one that has been "
        "idle for longest is closed.",
    )
    api_max_requests_per_second: Count = Field(
        1_000,
        description="Average number of requests per second with one key of the HTTP API, twice as "
        "many at once; more get 429.",
    )

    @model_validator(mode="after")
    def _check_request_fits_payload(self) -> Self:
        if self.max_request_bytes > self.max_payload_bytes:
            raise ValueError(
                "CONSTELLATION_MAX_REQUEST_BYTES must not be above CONSTELLATION_MAX_PAYLOAD_BYTES"
            )
        return self

    @model_validator(mode="after")
    def _check_event_fits_frame(self) -> Self:
        # Who lowers the limit of frames alone has decided what the TCP port takes.
        is_said = "max_event_bytes" in self.model_fields_set
        if is_said and self.tcp_max_frame_bytes < self.max_event_bytes + _FRAME_BYTES:
            raise ValueError(
                f"CONSTELLATION_TCP_MAX_FRAME_BYTES must be at least {_FRAME_BYTES:,} above "
                "CONSTELLATION_MAX_EVENT_BYTES, so that a larger event is refused with a reason "
                "instead of closing its connection"
            )
        return self
