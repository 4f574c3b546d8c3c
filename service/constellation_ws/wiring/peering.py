"""The other pods: what arrives here for their sessions, and what they have received for ours."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import replace

from opentelemetry.trace import SpanKind

from constellation_ws.engine.admission import Admission
from constellation_ws.engine.elsewhere import Elsewhere, Nowhere
from constellation_ws.engine.polls import Polls
from constellation_ws.engine.server import Engine
from constellation_ws.engine.upgrading import accept_tunnelled
from constellation_ws.http.refusals import SECURITY_HEADERS, UNKNOWN_SESSION
from constellation_ws.http.responses import HttpResponse
from constellation_ws.http.upgrade_request import UpgradeRequest
from constellation_ws.messages import trace_context
from constellation_ws.messages.admission import Refusal
from constellation_ws.moving.arrivals import Arrivals
from constellation_ws.moving.departures import Departures
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.probes import HealthCheck
from constellation_ws.observability.spans import traceparent_of
from constellation_ws.observability.tracing import Tracing
from constellation_ws.peers.directory import Directory
from constellation_ws.peers.peers import Peers
from constellation_ws.peers.tunnel_entrance import TunnelEntrance
from constellation_ws.peers.tunnel_exit import TunnelExit
from constellation_ws.peers.wire import ForwardedRequest, ForwardedResponse, Opening
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.settings.settings import Settings
from constellation_ws.websocket import Accept, refusal_response, upgrade_response
from constellation_ws.wiring.clients import Clients
from constellation_ws.wiring.events import Events
from constellation_ws.wiring.readiness import check_peers
from constellation_ws.wiring.resuming import Parts


class Peering:
    """The links to other pods. Without a peer port there are none, and nobody is asked."""

    def __init__(
        self,
        settings: Settings,
        events: Events,
        clients: Clients,
        metrics: Metrics,
        spawn: Spawn,
        tracing: Tracing | NoTracing,
    ) -> None:
        self._is_on = settings.listening.peer_port is not None
        parts = (clients.members, events.delivery.resuming.moving(), metrics, spawn, tracing)
        inside = Inside(
            clients.engine,
            clients.polls,
            Departures(clients.engine, clients.server, *parts),
            clients.closing.close_for_peer,
            tracing,
        )
        instance = events.bus.instance
        self.directory = Directory(events.redis.requests, events.names, instance)
        self.peers = Peers(instance, self.directory, inside, metrics, spawn, clients.tunnels)
        self.arrivals = Arrivals(clients.engine, clients.admission, *parts)
        self.elsewhere: Elsewhere = Nowhere()
        if self._is_on:
            self.elsewhere = Outside(
                clients.engine, clients.admission, self.peers, self.arrivals, metrics, tracing
            )

    def parts(self) -> Parts:
        """Give what has to run."""
        if not self._is_on:
            return {}
        return {"peers": self.directory.run(_not_judged), "peer links": self.peers.run(_not_judged)}

    def readiness(self) -> list[Callable[[], HealthCheck]]:
        """Give what readiness looks at."""
        return [functools.partial(check_peers, self.directory)] if self._is_on else []


class Outside:
    """Leads what arrives here to the pod that holds the session."""

    def __init__(
        self,
        engine: Engine,
        admission: Admission,
        peers: Peers,
        arrivals: Arrivals,
        metrics: Metrics,
        tracing: Tracing | NoTracing,
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._peers = peers
        self._arrivals = arrivals
        self._metrics = metrics
        self._tracing = tracing

    async def forward(
        self, method: str, sid: str, body: bytes, gone: asyncio.Future[None]
    ) -> HttpResponse | None:
        """Have a request answered where its session is; None where no pod has it."""
        owner = self._engine.owner_of(sid)
        assert owner is not None, "asked before"
        with self._tracing.act("forward request", SpanKind.CLIENT) as span:
            request = ForwardedRequest(method, sid, body, traceparent_of(span))
            response = await self._peers.forward(owner, request, gone)
        if response is None:
            outcome = "gone" if gone.done() else "unreachable"
        else:
            is_unknown = response.code == UNKNOWN_SESSION.code
            outcome = "unknown_session" if is_unknown else "answered"
        self._metrics.forwarded_requests.labels(method, outcome).inc()
        if response is None:
            return None
        return HttpResponse(response.status, response.headers, response.body, response.code)

    def tunnel(
        self, transport: asyncio.Transport, request: UpgradeRequest, accept: Accept, sid: str
    ) -> asyncio.Protocol | Refusal:
        """Lead a WebSocket to where its session is."""
        owner = self._engine.owner_of(sid)
        assert owner is not None, "asked before"
        entrance = TunnelEntrance(
            transport,
            welcome=upgrade_response(accept),
            refusal=self._refusal,
            arrivals=self._arrivals,
            closed=self._peers.tunnels.discard,
            max_waiting_bytes=self._engine.limits.max_write_buffer_bytes,
        )
        self._peers.open_tunnel(owner, Opening(sid), entrance)
        return entrance

    def _refusal(self) -> bytes:
        """Write the response to a handshake whose session no pod knows."""
        refuse = self._admission.refuse(UNKNOWN_SESSION)
        headers = (*refuse.headers, *SECURITY_HEADERS)
        return refusal_response(replace(refuse, headers=headers))


class Inside:
    """Answers what other pods have received for sessions of this one."""

    def __init__(
        self,
        engine: Engine,
        polls: Polls,
        departures: Departures,
        close_session: Callable[[str], None],
        tracing: Tracing | NoTracing,
    ) -> None:
        """`close_session` closes a session, by its ID, as a drain does."""
        self._engine = engine
        self._polls = polls
        self._departures = departures
        self._close_session = close_session
        self._tracing = tracing

    async def respond(
        self, request: ForwardedRequest, gone: asyncio.Future[None], finish: asyncio.Future[None]
    ) -> ForwardedResponse:
        """Answer a request of a long-polling client."""
        finish.add_done_callback(lambda _: self._polls.finish_poll(request.sid))
        parent = trace_context.parse(request.traceparent, None)
        with self._tracing.act("forwarded request", SpanKind.SERVER, parent=parent):
            response = await self._polls.serve_forwarded(
                request.method, request.sid, request.body, gone
            )
        return ForwardedResponse(*response)

    def accept(
        self, opening: Opening, make_exit: Callable[[Callable[[], None]], TunnelExit]
    ) -> None:
        """Let a WebSocket of another pod ask for a session of this one, or refuse it."""
        transport = make_exit(lambda: self._close_session(opening.sid))
        connection = accept_tunnelled(
            self._engine,
            transport,
            opening.sid,
            lambda session: self._departures.begin(session, transport),
        )
        if isinstance(connection, Refusal):
            transport.refuse()
        else:
            transport.start(connection)


def _not_judged() -> None:
    """What a part calls at each step where liveness does not judge it: it waits for others."""
