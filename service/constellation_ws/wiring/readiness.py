"""What readiness looks at: each check gives its answer as it is now."""

from __future__ import annotations

import time

from constellation_ws.engine.admission import Admission
from constellation_ws.engine.server import Engine
from constellation_ws.observability.probes import HealthCheck
from constellation_ws.peers.directory import Directory
from constellation_ws.recording.fault import RecordingFault
from constellation_ws.redis_io.bus import RedisBus
from constellation_ws.runtime.overload import Overload


def check_source(name: str, *, has_stood: bool, lost_at: float | None, grace: float) -> HealthCheck:
    """Judge a connection to Redis; `lost_at` is monotonic, the grace is in seconds."""
    if not has_stood:
        return HealthCheck(name, False, "not connected yet")
    if lost_at is None:
        return HealthCheck(name, True, "connected")
    away = time.monotonic() - lost_at
    return HealthCheck(name, away < grace, f"lost {away:.0f} s ago")


def check_redis(bus: RedisBus, grace: float) -> HealthCheck:
    """Judge the subscription."""
    return check_source(
        "redis", has_stood=bus.has_subscribed, lost_at=bus.disconnected_at, grace=grace
    )


def check_recording(
    name: str, fault: RecordingFault, grace: float, *, is_admitted: bool
) -> HealthCheck:
    """Judge whether published events can be recorded, by this pod or another one.

    `is_admitted` says that this pod follows as many partitions of the log as are in use.
    """
    if not is_admitted:
        return HealthCheck(name, False, "the number of partitions in use is not known yet")
    if fault.since is None:
        return HealthCheck(name, True, "possible")
    away = time.monotonic() - fault.since
    return HealthCheck(name, away < grace, f"not possible for {away:.0f} s: {fault.reason}")


def check_room(engine: Engine, admission: Admission) -> HealthCheck:
    """Judge whether there is room for one more client."""
    limits = engine.limits
    detail = f"{len(engine.sockets)} of {limits.max_connections}"
    if admission.is_crowded():
        most = limits.max_session_sockets
        detail += f"; few open files are left: {admission.open_sockets} of {most} sockets"
    return HealthCheck("connections", not admission.is_full(), detail)


def check_load(overload: Overload) -> HealthCheck:
    """Judge the event loop and the memory."""
    return HealthCheck("load", overload.reason is None, overload.reason or "no overload")


def check_peers(directory: Directory) -> HealthCheck:
    """Judge whether other pods know this one: until then they could not send it its requests.

    Once they do, this check passes for good: what is lost later is found out per request.
    """
    if directory.is_shown:
        return HealthCheck("peers", True, "registered")
    return HealthCheck("peers", False, "not registered yet")
