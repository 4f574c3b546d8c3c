"""Serves those who look with the Socket.IO Admin UI: signs them in, shows them all pods, acts.

What they see is asked of all pods every two seconds while somebody looks, and compared with what
they have: nothing is noted at a connect, a join or an event.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Protocol

import msgspec
import structlog
from msgspec import Raw
from socketio.exceptions import ConnectionRefusedError as ConnectRefused

from constellation_ws.api.keys import Keys
from constellation_ws.console import admin_view, questions
from constellation_ws.console.admin_view import SHOW_SECONDS, Event
from constellation_ws.console.cluster import Asked, Cluster
from constellation_ws.console.door import RefusalLog
from constellation_ws.console.pod import MAX_LISTED
from constellation_ws.console.questions import PodListing, PodStatus
from constellation_ws.messages.admission import Refusal, read_id
from constellation_ws.messages.events import Room, UserId, user_room
from constellation_ws.services.actions import Actions
from constellation_ws.services.refusals import RequestRefused

NAMESPACE = "/admin"
MAX_VIEWERS = 8
MAX_SHOWN = 2_000
"""Sockets of all pods together: the UI walks all it has for each one that connects."""
_REFUSED_SECONDS = 1.0
"""How long a wrong key waits for its answer: a connection has one answer at a time."""
_MAX_NAME_CHARS = 512
_OF_USER = user_room(UserId(""))

logger = structlog.get_logger(__name__)


class Server(Protocol):
    """What is needed of the Socket.IO server."""

    def on(self, event: str, handler: Callable[..., Any], namespace: str) -> Any:
        """Register a handler."""

    async def emit(self, event: str, data: tuple[object, ...], *, to: str, namespace: str) -> None:
        """Send an event to one member."""


class AdminUi:
    """The namespace `/admin`, its handlers registered on construction. `run` must run in a task."""

    def __init__(
        self, server: Server, cluster: Cluster, actions: Actions, keys: Keys, *, may_act: bool
    ) -> None:
        self._server = server
        self._cluster = cluster
        self._actions = actions
        self._keys = keys
        self._may_act = may_act
        self._refusals = RefusalLog()
        self._viewers: dict[str, bool] = {}
        """By sid, whether they have been sent the whole list."""
        self._arrived = asyncio.Event()
        self._listings: dict[str, PodListing] = {}
        server.on("connect", self._connect, namespace=NAMESPACE)
        server.on("disconnect", self._disconnect, namespace=NAMESPACE)
        server.on("*", self._act, namespace=NAMESPACE)

    async def run(self) -> None:
        """Show all pods to whoever looks, without end."""
        while True:
            if not self._viewers:
                self._listings = {}
                await self._arrived.wait()
            self._arrived.clear()
            with contextlib.suppress(RequestRefused):  # Redis is away: the UI shows silent servers
                await self._show()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHOW_SECONDS):
                    await self._arrived.wait()

    async def _connect(self, sid: str, handshake: Any, auth: object) -> None:
        password = auth.get("password") if isinstance(auth, dict) else None
        # A page that is opened again has no password any more, and asks for one when refused.
        if not isinstance(password, str) or not password:
            raise ConnectRefused("invalid credentials")
        if not password.isascii() or self._keys.find(password) is None:
            self._refusals.note("unauthorized", handshake.address)
            await asyncio.sleep(_REFUSED_SECONDS)
            raise ConnectRefused("invalid credentials")
        if len(self._viewers) >= MAX_VIEWERS:
            raise ConnectRefused(f"{MAX_VIEWERS} Admin UIs are connected to this pod already")
        logger.info("admin ui connected", address=handshake.address)
        self._viewers[sid] = False
        self._arrived.set()

    def _disconnect(self, sid: str, reason: str) -> None:
        self._viewers.pop(sid, None)

    async def _show(self) -> None:
        """Send what is new. Raises RequestRefused."""
        # Whoever has arrived before these waits has the answer to its CONNECT after them.
        statuses = await self._cluster.ask(questions.Status(), PodStatus)
        listings = await self._cluster.ask(questions.Sockets(MAX_LISTED), PodListing)
        now, before = time.time(), _listed(self._listings)
        self._listings = _latest(self._listings, listings)
        after = _listed(self._listings)
        stats = [
            admin_view.server_stats(pod, status, self._namespaces_of(pod), now)
            for pod, status in statuses.reports
        ]
        news = [*admin_view.changes(before, after, now), *stats]
        newcomers = [sid for sid, has_list in self._viewers.items() if not has_list]
        viewers = [sid for sid, has_list in self._viewers.items() if has_list]
        self._viewers = dict.fromkeys(self._viewers, True)
        await self._send(viewers, news)
        if newcomers:
            config = admin_view.config(may_act=self._may_act)
            await self._send(newcomers, [config, admin_view.all_sockets(after, now), *stats])

    async def _send(self, viewers: Iterable[str], events: Iterable[Event]) -> None:
        for event, arguments in events:
            for sid in viewers:
                await self._server.emit(event, arguments, to=sid, namespace=NAMESPACE)

    def _namespaces_of(self, pod: str) -> dict[str, int]:
        listing = self._listings.get(pod)
        return {} if listing is None else listing.namespaces

    async def _act(self, event: str, sid: str, *arguments: object) -> object:
        """Do what is requested; what is not done is logged, as the UI waits for no answer."""
        try:
            if not self._may_act:
                raise RequestRefused("forbidden", "this requires CONSTELLATION_CONSOLE=write")
            await self._carry_out(event, arguments)
        except RequestRefused as refused:
            logger.warning("admin ui request refused", code=refused.code, reason=refused.message)
            return Refusal(refused.code, refused.message).acknowledgement()
        return {"success": True}

    async def _carry_out(self, event: str, arguments: tuple[object, ...]) -> None:
        """Act on a room, or on the socket of a sid, on every pod. Raises RequestRefused."""
        actions = self._actions
        match event, arguments:
            case "join", (str(namespace), room, who):
                await actions.regroup(Room(_name(who)), namespace, enters=[_shared(room)])
            case "leave", (str(namespace), room) | (str(namespace), room, None):
                await actions.regroup(_shared(room), namespace, leaves=[_shared(room)])
            case "leave", (str(namespace), room, who):
                await actions.regroup(Room(_name(who)), namespace, leaves=[_shared(room)])
            case "_disconnect", (str(namespace), _, who):
                await actions.disconnect_all(Room(_name(who)), namespace)
            case "emit", (str(namespace), who, name, data):
                body = Raw(_encode(data))
                await actions.emit(Room(_name(who)), _name(name), body, namespace)
            case _:
                raise RequestRefused("invalid_request", "not a request of the Admin UI")


def _listed(listings: dict[str, PodListing]) -> admin_view.Listed:
    sockets = (one for pod in sorted(listings) for one in listings[pod].sockets)
    return {(one.namespace, one.sid): one for one in islice(sockets, MAX_SHOWN)}


def _latest(former: dict[str, PodListing], asked: Asked[PodListing]) -> dict[str, PodListing]:
    """Give the list of each pod; one that did not answer in time has what it had."""
    silent = {pod: former[pod] for pod in asked.silent if pod in former}
    return silent | dict(asked.reports)


def _encode(data: object) -> bytes:
    """Write what is emitted. Raises RequestRefused."""
    try:
        return msgspec.json.encode(data)
    except (UnicodeEncodeError, OverflowError) as error:
        raise RequestRefused("invalid_request", "data that cannot be written as JSON") from error


def _name(value: object) -> str:
    """Read a name. Raises RequestRefused: without one an action would be for everybody."""
    name = read_id(value, _MAX_NAME_CHARS)
    if name is None:
        raise RequestRefused("invalid_request", "name a room or a socket")
    return name


def _shared(value: object) -> Room:
    """Read the name of a room that sockets may enter and leave. Raises RequestRefused."""
    room = Room(_name(value))
    if room.startswith(_OF_USER):
        sentence = "the room of a user has the user's sockets: nobody else enters, and none leaves"
        raise RequestRefused("invalid_request", sentence)
    return room
