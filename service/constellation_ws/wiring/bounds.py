"""The settings' limits, as the values that each part takes."""

from __future__ import annotations

import math

from constellation_ws.engine.limits import EngineLimits
from constellation_ws.messages.admission import Limits, Rate
from constellation_ws.nest.connection import FRAME_SECONDS, TcpLimits
from constellation_ws.nest.requests import MAX_IN_HAND, REQUEST_SECONDS
from constellation_ws.recovery.replay import ReplayLimits
from constellation_ws.runtime.open_files import Shares
from constellation_ws.settings.limits import LimitSettings
from constellation_ws.settings.settings import Settings
from constellation_ws.settings.tls import TlsSettings
from constellation_ws.tls.handshake import ServerTls
from constellation_ws.websocket import LOAD_BYTES

_PACKET_BYTES = 1_024
"""What a packet has besides its event: the namespace and the event's name."""


def engine_limits(settings: Settings, files: Shares) -> EngineLimits:
    """What the engine takes."""
    delivery, limits = settings.delivery, settings.limits
    per_second = limits.max_connects_per_second
    return EngineLimits(
        delivery.ping_interval_seconds,
        delivery.ping_timeout_seconds,
        limits.connect_timeout_seconds,
        limits.max_payload_bytes,
        limits.max_request_bytes,
        limits.max_write_buffer_bytes,
        max_packets_per_ping_interval(settings),
        limits.max_connections,
        limits.max_connections_per_address,
        Rate(per_second, 5 * per_second),
        limits.max_event_bytes,
        files.sessions,
        files.http,
    )


def max_packets_per_ping_interval(settings: Settings) -> int:
    """Allow twice what lawful requests can come to between two heartbeats."""
    limits = settings.limits
    average = limits.max_requests_per_second * settings.delivery.ping_interval_seconds
    largest = 1 + limits.max_request_bytes // LOAD_BYTES
    return 2 * largest * (limits.max_request_burst + math.ceil(average))


def tcp_limits(limits: LimitSettings, files: Shares) -> TcpLimits:
    """What the TCP port takes."""
    return TcpLimits(
        limits.tcp_max_frame_bytes,
        limits.tcp_idle_seconds,
        FRAME_SECONDS,
        files.tcp,
        REQUEST_SECONDS,
        MAX_IN_HAND,
    )


def tcp_tls(files: TlsSettings) -> ServerTls | None:
    """How the TCP port is kept private; None where it is not."""
    if files.tcp_tls_cert_file is None or files.tcp_tls_key_file is None:
        return None
    return ServerTls(files.tcp_tls_cert_file, files.tcp_tls_key_file, files.tcp_tls_client_ca_file)


def replay_limits(settings: Settings) -> ReplayLimits:
    """What one resume may replay: half of what may wait for a client, and any one event."""
    largest = settings.limits.max_event_bytes + _PACKET_BYTES
    half_of_buffer = settings.limits.max_write_buffer_bytes // 2
    return ReplayLimits(settings.delivery.max_replay_events, max(half_of_buffer, largest))


def client_limits(limits: LimitSettings) -> Limits:
    """What a client may ask for."""
    return Limits(
        limits.max_id_chars,
        limits.max_rooms_per_socket,
        limits.max_request_bytes,
        Rate(limits.max_requests_per_second, limits.max_request_burst),
        limits.max_connections_per_user,
    )
