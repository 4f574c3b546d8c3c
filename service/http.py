"""What operators and Kubernetes ask over HTTP: health, probes, metrics. No Socket.IO here."""

from __future__ import annotations

import enum
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service import __version__

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

STALE_SECONDS = 30.0
"""A vital task that has shown no sign of life for so long is stuck: only a restart helps."""


class Phase(enum.Enum):
    """Where the process is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Check:
    """One question of a probe and its answer."""

    name: str
    ok: bool
    detail: str


class Health:
    """What the probes know: the phase, the vital tasks' signs of life, and what readiness asks."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self._signs: dict[str, float] = {}
        self.readiness: list[Callable[[], Check]] = []

    def watch(self, task: str) -> Callable[[], None]:
        """Expect signs of life of a task from now on; the task calls what is returned."""

        def alive() -> None:
            self._signs[task] = time.monotonic()

        alive()
        return alive

    def liveness(self) -> list[Check]:
        """Judge each vital task by its last sign of life."""
        now = time.monotonic()
        return [
            Check(task, now - seen < STALE_SECONDS, f"seen {now - seen:.1f} s ago")
            for task, seen in self._signs.items()
        ]

    def ready(self) -> list[Check]:
        """Judge whether new clients should come here."""
        serving = Check("phase", self.phase is Phase.SERVING, self.phase.value)
        return [serving, *(ask() for ask in self.readiness)]


def create_app(health: Health, registry: CollectorRegistry | None) -> Starlette:
    """Make the application that answers the paths of CONTRACT section 5.

    Without a registry `/metrics` is elsewhere, and not found here.
    """

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


def _metrics_page(registry: CollectorRegistry) -> Route:
    """Answer with Prometheus text, or with OpenMetrics, exemplars included, where it is taken."""

    def report_metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return _page("/metrics", report_metrics)


def _page(path: str, answer: Callable[[Request], Response]) -> Route:
    """Keep a plain function on the event loop: Starlette would hand it to a thread."""

    async def handle(request: Request) -> Response:
        return answer(request)

    return Route(path, handle)


def _verdict(checks: list[Check]) -> Response:
    failing = [check.name for check in checks if not check.ok]
    body = {
        "status": "failing" if failing else "ok",
        "failing": failing,
        "checks": [{"name": c.name, "ok": c.ok, "detail": c.detail} for c in checks],
    }
    return JSONResponse(body, 503 if failing else 200)
