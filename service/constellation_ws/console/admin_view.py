"""What the Socket.IO Admin UI is sent, in the words of its own server (@socket.io/admin-ui). Pure.

Nothing of what clients present is in it: no headers, no query, no token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from constellation_ws.console.questions import PodStatus, SocketInfo

SHOW_SECONDS = 2.0
"""How often the UI expects statistics. A server that is silent for 10 seconds it calls down."""
_READ = ("AGGREGATED_EVENTS", "ALL_EVENTS")
"""The former makes it show the numbers of the statistics, the latter the listed sockets."""
_WRITE = ("EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT")

Event = tuple[str, tuple[object, ...]]
"""Its name and its arguments."""
Listed = Mapping[tuple[str, str], SocketInfo]
"""Sockets by namespace and sid."""


class Handshake(msgspec.Struct, frozen=True):
    """What is shown of the request that opened a connection."""

    address: str
    issued: int
    """Unix time in milliseconds."""
    headers: dict[str, str] = {}
    query: dict[str, str] = {}


class UiSocket(msgspec.Struct, frozen=True):
    """A socket as the UI takes it."""

    id: str
    clientId: str
    transport: str
    nsp: str
    data: dict[str, str]
    handshake: Handshake
    rooms: list[str]


def config(*, may_act: bool) -> Event:
    """Say what the UI may offer: without the words of actions it is read only."""
    features = [*_READ, *(_WRITE if may_act else ())]
    return "config", ({"supportedFeatures": features},)


def server_stats(
    instance: str, status: PodStatus, namespaces: Mapping[str, int], now: float
) -> Event:
    """Say how a pod is. Connections are those of its last sample, scaled to the time between."""
    connects = {
        "timestamp": int(now) * 1_000,
        "type": "rawConnection",
        "count": round(status.connects * SHOW_SECONDS, 2),
    }
    stats = {
        "serverId": instance,
        "hostname": status.name,
        "pid": status.pid,
        "uptime": status.uptime_seconds,
        "clientsCount": status.websockets + status.polling,
        "pollingClientsCount": status.polling,
        "aggregatedEvents": [connects] if connects["count"] else [],
        "namespaces": [{"name": name, "socketsCount": count} for name, count in namespaces.items()],
    }
    return "server_stats", (stats,)


def all_sockets(listed: Listed, now: float) -> Event:
    """List all sockets, in place of what the UI has."""
    return "all_sockets", ([_shown(one, now) for one in listed.values()],)


def changes(before: Listed, after: Listed, now: float) -> Iterator[Event]:
    """Say what has happened between two lists. A session that another pod has resumed is the same
    socket."""
    at = datetime.fromtimestamp(now, UTC).isoformat()
    for namespace, sid in before.keys() - after.keys():
        yield "socket_disconnected", (namespace, sid, "disconnected", at)
    for (namespace, sid), one in after.items():
        former = before.get((namespace, sid))
        if former is None:
            yield "socket_connected", (_shown(one, now), at)
            continue
        if one.transport != former.transport:
            yield "socket_updated", ({"nsp": namespace, "id": sid, "transport": one.transport},)
        if one.rooms != former.rooms:
            yield from _moves(namespace, sid, former.rooms, one.rooms, at)


def _moves(
    namespace: str, sid: str, before: list[str], after: list[str], at: str
) -> Iterator[Event]:
    for room in sorted(set(after).difference(before)):
        yield "room_joined", (namespace, room, sid, at)
    for room in sorted(set(before).difference(after)):
        yield "room_left", (namespace, room, sid, at)


def _shown(one: SocketInfo, now: float) -> UiSocket:
    return UiSocket(
        one.sid,
        one.client,
        one.transport,
        one.namespace,
        {"userId": one.user},
        Handshake(one.address, int((now - one.seconds) * 1_000)),
        [one.sid, *one.rooms],
    )
