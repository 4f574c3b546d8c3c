"""What operators and Kubernetes ask over HTTP: health, probes, metrics. No Socket.IO here."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from constellation_ws import __version__
from constellation_ws.messages.events import NAMESPACE
from constellation_ws.observability.metrics_text import MetricsText

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

STALE_TURNS = 300
"""A part that has not reported for so many turns of the event loop, half a minute, is stuck."""


class ProcessPhase(enum.Enum):
    """Where the process is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One question of a probe and its answer."""

    name: str
    ok: bool
    detail: str


class Health:
    """What the probes report: the phase, which parts work, and the checks of readiness.

    Liveness fails only for what a restart of this process cures: a part has ended, or one that
    waits for nobody outside the process is stuck. A part that waits for Redis, the API or an issuer
    is not judged by its silence: they may be slow, full, hung or away for as long as they like.
    That the event loop turns is shown by the answer itself.
    """

    def __init__(self, readiness: Iterable[Callable[[], HealthCheck]] = ()) -> None:
        """`readiness` is what readiness looks at beside the phase."""
        self.phase = ProcessPhase.STARTING
        self._readiness = tuple(readiness)
        self._turns = 0
        self._running: dict[str, bool] = {}
        self._reported: dict[str, int] = {}

    def enter(self, phase: ProcessPhase) -> None:
        """Go on to a phase of the process."""
        self.phase = phase

    def is_draining(self) -> bool:
        """Return whether the process is about to stop."""
        return self.phase is ProcessPhase.DRAINING

    def pulse(self) -> None:
        """Note that the event loop has turned; called about ten times a second.

        Silence is counted in these, not in seconds: a process that was paused, or is starved of
        CPU, has not given its parts the time.
        """
        self._turns += 1

    def begin(self, part: str) -> None:
        """Note that a part runs, which should outlive all that uses it."""
        self._running[part] = True

    def end(self, part: str) -> None:
        """Note that a part has ended."""
        self._running[part] = False

    def expect(self, part: str) -> Callable[[], None]:
        """Expect that a part, which waits for nobody outside this process, reports itself alive.

        It calls what is returned at least every few seconds.
        """

        def report_alive() -> None:
            self._reported[part] = self._turns

        report_alive()
        return report_alive

    def liveness(self) -> list[HealthCheck]:
        """Judge each part."""
        return [self._judge(part) for part in dict.fromkeys([*self._running, *self._reported])]

    def _judge(self, part: str) -> HealthCheck:
        if not self._running.get(part, True):
            return HealthCheck(part, False, "ended")
        seen = self._reported.get(part)
        if seen is None:
            return HealthCheck(part, True, "running")
        silent = self._turns - seen
        return HealthCheck(part, silent < STALE_TURNS, f"seen {silent / 10:.1f} s ago")

    def ready(self) -> list[HealthCheck]:
        """Judge whether new clients should come here."""
        ended = [part for part, is_running in self._running.items() if not is_running]
        is_serving = self.phase is ProcessPhase.SERVING and not ended
        detail = f"{ended[0]} has ended" if ended else self.phase.value
        serving = HealthCheck("phase", is_serving, detail)
        return [serving, *(ask() for ask in self._readiness)]


def create_app(
    health: Health, registry: CollectorRegistry | None, namespaces: Iterable[str] = (NAMESPACE,)
) -> Starlette:
    """Make the application that answers the paths of CONTRACT section 5.

    Without a registry `/metrics` is elsewhere, and not found here.
    """
    welcome = _welcome(namespaces)

    def greet(_: Request) -> Response:
        return PlainTextResponse(welcome)

    def report_health(_: Request) -> Response:
        return JSONResponse(
            {
                "status": "ok",
                "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "service": "constellation-ws",
                "version": __version__,
            }
        )

    def report_liveness(_: Request) -> Response:
        return _verdict(health.liveness())

    def report_readiness(_: Request) -> Response:
        return _verdict(health.ready())

    routes = [
        _page("/", greet),
        _page("/health", report_health),
        _page("/livez", report_liveness),
        _page("/readyz", report_readiness),
    ]
    return Starlette(routes=routes if registry is None else [*routes, _metrics_page(registry)])


def create_metrics_app(registry: CollectorRegistry) -> Starlette:
    """Make the application of the port that has metrics alone."""
    return Starlette(routes=[_metrics_page(registry)])


def dispatch(pages: AsgiApp, long_polling: AsgiApp, path: str) -> AsgiApp:
    """Give Engine.IO's path to long-polling and everything else to the pages."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        is_polling = scope["type"] == "http" and scope["path"].rstrip("/") == path
        await (long_polling if is_polling else pages)(scope, receive, send)

    return application


def _welcome(namespaces: Iterable[str]) -> str:
    """What a person reads who opens the address in a browser."""
    return f"""Constellation WS {__version__}, a Socket.IO gateway
Socket.IO is on /socket.io/ (socket.io-client 3 and 4). Namespaces: {", ".join(namespaces)}
"""


def _metrics_page(registry: CollectorRegistry) -> Route:
    """Answer with Prometheus text, or, where accepted, with OpenMetrics and its exemplars."""
    text = MetricsText(registry)

    async def report_metrics(request: Request) -> Response:
        body, content_type = await text.read(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type, "cache-control": "no-store"})

    return Route("/metrics", report_metrics)


def _page(path: str, answer: Callable[[Request], Response]) -> Route:
    """Keep a plain function on the event loop: Starlette would hand it to a thread."""

    async def handle(request: Request) -> Response:
        response = answer(request)
        response.headers["cache-control"] = "no-store"  # an answer of now, whatever is in between
        return response

    return Route(path, handle)


def _verdict(checks: list[HealthCheck]) -> Response:
    failing = [check.name for check in checks if not check.ok]
    body = {
        "status": "failing" if failing else "ok",
        "failing": failing,
        "checks": [{"name": c.name, "ok": c.ok, "detail": c.detail} for c in checks],
    }
    return JSONResponse(body, 503 if failing else 200)
