"""The settings' limits, as the values that each part takes."""

from __future__ import annotations

import math

from constellation_ws.engine.limits import EngineLimits
from constellation_ws.messages.admission import Limits, Rate
from constellation_ws.nest.connection import FRAME_SECONDS, TcpLimits
from constellation_ws.nest.requests import MAX_IN_HAND, REQUEST_SECONDS
from constellation_ws.recovery.replay import ReplayLimits
from constellation_ws.runtime.open_files import Shares
from constellation_ws.settings.settings import Settings
from constellation_ws.tls.handshake import ServerTls
from constellation_ws.websocket import LOAD_BYTES

_PACKET_BYTES = 1_024
"""What a packet has besides its event: the namespace and the event's name."""


def engine_limits(settings: Settings, files: Shares) -> EngineLimits:
    """What the engine takes."""
    per_second = settings.max_connects_per_second
    return EngineLimits(
        settings.ping_interval_seconds,
        settings.ping_timeout_seconds,
        settings.connect_timeout_seconds,
        settings.max_payload_bytes,
        settings.max_request_bytes,
        settings.max_write_buffer_bytes,
        max_packets_per_heartbeat(settings),
        settings.max_connections,
        settings.max_connections_per_address,
        Rate(per_second, 5 * per_second),
        settings.max_event_bytes,
        files.sessions,
        files.http,
    )


def max_packets_per_heartbeat(settings: Settings) -> int:
    """Allow twice what lawful requests can come to between two heartbeats."""
    average = settings.max_requests_per_second * settings.ping_interval_seconds
    largest = 1 + settings.max_request_bytes // LOAD_BYTES
    return 2 * largest * (settings.max_request_burst + math.ceil(average))


def tcp_limits(settings: Settings, files: Shares) -> TcpLimits:
    """What the TCP port takes."""
    return TcpLimits(
        settings.tcp_max_frame_bytes,
        settings.tcp_idle_seconds,
        FRAME_SECONDS,
        files.tcp,
        REQUEST_SECONDS,
        MAX_IN_HAND,
    )


def tcp_tls(settings: Settings) -> ServerTls | None:
    """How the TCP port is kept private; None where it is not."""
    if settings.tcp_tls_cert_file is None or settings.tcp_tls_key_file is None:
        return None
    return ServerTls(
        settings.tcp_tls_cert_file, settings.tcp_tls_key_file, settings.tcp_tls_client_ca_file
    )


def replay_limits(settings: Settings) -> ReplayLimits:
    """What one resume may replay: half of what may wait for a client, and any one event."""
    largest = settings.max_event_bytes + _PACKET_BYTES
    return ReplayLimits(
        settings.max_replay_events, max(settings.max_write_buffer_bytes // 2, largest)
    )


def client_limits(settings: Settings) -> Limits:
    """What a client may ask for."""
    return Limits(
        settings.max_id_chars,
        settings.max_rooms_per_socket,
        settings.max_request_bytes,
        Rate(settings.max_requests_per_second, settings.max_request_burst),
        settings.max_connections_per_user,
    )
