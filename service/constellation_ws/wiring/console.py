"""The console of operators, made from the settings; without it nothing is measured or shown."""

from __future__ import annotations

import asyncio
import functools
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Mapping

from msgspec import Raw

from constellation_ws.api.app import Api, ApiLimits
from constellation_ws.api.keys import EVERYTHING, Keys, Scope, read_keys
from constellation_ws.console import interface
from constellation_ws.console.cluster import Cluster
from constellation_ws.console.describing import Describing
from constellation_ws.console.door import Door, Lock
from constellation_ws.console.operations import PREFIX, Operations
from constellation_ws.console.pages import ConsolePages, FirstLook, ThisMachineOnly
from constellation_ws.console.pod import Pod
from constellation_ws.console.samples import STEP_SECONDS, Bounds, Samples
from constellation_ws.console.tail import Tails
from constellation_ws.delivery.command_reading import CommandReader
from constellation_ws.http.upgrade_request import Upgrade
from constellation_ws.log.layout import Logged
from constellation_ws.messages.admission import Rate
from constellation_ws.messages.commands import Inspect
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.probes import AsgiApp, Health
from constellation_ws.redis_io.all_pods import ASK_SECONDS, AllPods
from constellation_ws.redis_io.bus import Published
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.services.actions import Actions
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring.admin_ui import AdminPort, NoAdminUi
from constellation_ws.wiring.background_jobs import BackgroundJobs
from constellation_ws.wiring.clients import Clients
from constellation_ws.wiring.events import Events
from constellation_ws.wiring.pod_status import PodReading
from constellation_ws.wiring.resuming import Parts

_REQUESTS = Rate(50, 200)
"""Of the console's key, on one pod: ten people who look at once."""
_FRAME_BYTES = 4_096
_NOT_ASKED = Raw(b"null")


class NoConsole:
    """No console: other pods may ask, and are told so at once, as they would wait."""

    def __init__(self, all_pods: AllPods, jobs: BackgroundJobs) -> None:
        self._all_pods = all_pods
        self._jobs = jobs

    @property
    def is_looked_at(self) -> bool:
        """Whether anybody looks at events: asked for each batch."""
        return False

    def look(self, batch: list[Published]) -> None:
        """Nobody looks."""

    def look_at_logged(self, batch: list[Logged], age_seconds: float) -> None:
        """Nobody looks."""

    def begin(self, command: Inspect) -> None:
        """Begin to answer another pod. Never waits."""
        work = functools.partial(self._answer, command)
        self._jobs.put((command.reply_to, command.ask), work, ASK_SECONDS)

    async def _answer(self, command: Inspect) -> None:
        await self._all_pods.answer_inspect(command, await self._report(command.query))

    async def _report(self, query: Raw) -> Raw:
        return _NOT_ASKED

    @property
    def upgrades(self) -> Mapping[str, Upgrade]:
        """The WebSocket handshakes of the port of the metrics, by path."""
        return {}

    def parts(self) -> Parts:
        """Nothing has to run."""
        return {}

    def public(self, pages: AsgiApp) -> AsgiApp:
        """Give the pages of the public port."""
        return pages

    def private(self, pages: AsgiApp) -> AsgiApp:
        """Give the pages of the port of the metrics."""
        return pages


class Console(NoConsole):
    """What this pod shows, and what it tells other pods."""

    def __init__(
        self,
        settings: Settings,
        events: Events,
        clients: Clients,
        make_actions: Callable[[], Actions],
        reading: PodReading,
        metrics: Metrics,
        health: Health,
        jobs: BackgroundJobs,
        spawn: Spawn,
    ) -> None:
        NoConsole.__init__(self, events.bus.all_pods, jobs)
        self._settings = settings
        self._events = events
        self._reading = reading
        bounds = Bounds(metrics.event_loop_lag.bounds, metrics.publish_to_write.bounds)
        self._samples = Samples(bounds, reading.counters(time.monotonic()))
        self._tails = Tails(_describing(settings, events))
        self._pod = Pod(
            clients.engine,
            events.rooms,
            events.namespaces,
            socket.gethostname(),
            functools.partial(_address, clients),
            lambda: reading.status(self._samples),
            self._samples,
            self._tails,
        )
        actions, may_act = make_actions(), settings.console.mode != "read"
        cluster = Cluster(events.bus.all_pods.inspect, clients.presence.pods)
        own_key = settings.console.console_key.get_secret_value() or secrets.token_urlsafe(24)
        keys = _keys(own_key, EVERYTHING if may_act else (Scope.READ,))
        operations = self._make_operations(actions, cluster, may_act=may_act)
        self._door = self._make_door(operations, keys, own_key, health, spawn)
        self._admin: AdminPort | NoAdminUi = NoAdminUi()
        if _lock(settings) is Lock.KEY:
            turns, pod = clients.engine.turns, events.bus.instance
            self._admin = AdminPort(pod, cluster, actions, keys, spawn, turns, may_act=may_act)

    def _make_operations(self, actions: Actions, cluster: Cluster, *, may_act: bool) -> Operations:
        shows_text = _shows_text(self._settings)
        name = socket.gethostname()
        return Operations(actions, cluster, name, may_act=may_act, shows_text=shows_text)

    def _make_door(
        self, operations: Operations, keys: Keys, own_key: str, health: Health, spawn: Spawn
    ) -> Door:
        settings = self._settings
        limits = ApiLimits(settings.limits.max_event_bytes + _FRAME_BYTES, _REQUESTS)
        documents = {f"{PREFIX}interface": self._describe(is_local=True)}
        api = Api(
            operations.rows(), documents, keys, limits, _NotCounted(), spawn, health.is_draining
        )
        return Door(api, _lock(settings), keys, own_key)

    @property
    def is_looked_at(self) -> bool:
        """Whether anybody looks at events: asked for each batch."""
        return self._tails.is_on

    def look(self, batch: list[Published]) -> None:
        """Show what Pub/Sub has brought to those who look."""
        self._tails.look([(b"", *one) for one in batch], None)

    def look_at_logged(self, batch: list[Logged], age_seconds: float) -> None:
        """Show what the log has brought to those who look."""
        self._tails.look(batch, age_seconds)

    async def _report(self, query: Raw) -> Raw:
        return await self._pod.answer(query)

    @property
    def upgrades(self) -> Mapping[str, Upgrade]:
        """The WebSocket handshakes of the port of the metrics, by path."""
        return self._admin.upgrades

    def parts(self) -> Parts:
        """Give what has to run."""
        return {"console": self._measure(), **self._admin.parts()}

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(STEP_SECONDS)
            self._samples.add(self._reading.counters(time.monotonic()))

    def public(self, pages: AsgiApp) -> AsgiApp:
        """Give the pages of the public port: all of it only on a developer's own gateway."""
        is_local = self._settings.console.mode == "local"
        page = FirstLook(pages, self._describe(is_local=is_local))
        if not is_local:
            return page
        console = ConsolePages(page, self._door, is_home=False)
        return ThisMachineOnly(console, pages)

    def private(self, pages: AsgiApp) -> AsgiApp:
        """Give the pages of the port of the metrics."""
        if self._settings.console.mode == "local":
            return pages
        return self._admin.pages(ConsolePages(pages, self._door, is_home=True))

    def _describe(self, *, is_local: bool) -> bytes:
        settings, delivery = self._settings, self._settings.delivery
        return interface.describe(
            self._events.interface,
            has_tokens=settings.identity.auth_mode == "jwt",
            has_recovery=delivery.mode == "durable" and delivery.recovery != "off",
            publishes=is_local and settings.console.mode != "read",
            shows_channels=is_local,
            redis=_shown_redis(settings),
            tcp_port=settings.listening.tcp_port,
        )


class _NotCounted:
    """The console's requests are people who look: they are not among the metrics of services."""

    def request(self, route: str, outcome: str, seconds: float) -> None:
        """Count nothing."""


def _lock(settings: Settings) -> Lock:
    return Lock.LOCAL if settings.console.mode == "local" else Lock(settings.console.console_access)


def _keys(key: str, scopes: Iterable[Scope]) -> Keys:
    return read_keys(f"console:{key}:{'+'.join(scopes)}")


def _shown_redis(settings: Settings) -> str:
    """Give the address of Redis for a snippet: on a developer's machine, and without a password."""
    url = settings.redis.address()
    return url if settings.console.mode == "local" and "@" not in url else ""


def _address(clients: Clients, eio_sid: str) -> str:
    handshake = clients.server.environ.get(eio_sid)
    return "" if handshake is None else str(handshake.address)


def _describing(settings: Settings, events: Events) -> Describing:
    max_event_bytes = settings.limits.max_event_bytes
    return Describing(
        events.bus.instance,
        events.table,
        events.rooms,
        CommandReader(settings.redis.emitter_channels(), events.namespaces, max_event_bytes),
        commands_channel=events.names.commands,
        max_event_bytes=max_event_bytes,
        shows_text=_shows_text(settings),
    )


def _shows_text(settings: Settings) -> bool:
    return settings.console.console_events == "text" or settings.console.mode == "local"
