"""Which handshakes are accepted now: limits of the pod and of one IP address, and allowed origins.

Not here: what a handshake must contain (`http.query`), and opening sessions (`server`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import structlog

from constellation_ws.engine.server import Engine
from constellation_ws.http import refusals
from constellation_ws.http.addresses import Proxies, site_of
from constellation_ws.http.origins import Origins
from constellation_ws.messages.admission import DRAINING, Allowance, Refusal
from constellation_ws.websocket import Refuse
from constellation_ws.websocket.handshake import Headers

logger = structlog.get_logger(__name__)

_SHOWN_ORIGIN_CHARS = 200


class Admission:
    """Decides about the handshakes of one engine, and writes refusals."""

    def __init__(
        self,
        engine: Engine,
        *,
        cors_origins: tuple[str, ...],
        proxies: Proxies | None = None,
        http_connections: Collection[object] = (),
        tunnels: Collection[object] = (),
        is_overloaded: Callable[[], bool] = lambda: False,
    ) -> None:
        """`http_connections` are those of the port that are not WebSockets.

        `tunnels` are the WebSockets whose session another pod holds. `is_overloaded` is called
        before each handshake is accepted.
        """
        self.proxies = proxies or Proxies(())
        self._engine = engine
        self._limits = engine.limits
        self._origins = Origins(cors_origins)
        self._http_connections = http_connections
        self._tunnels = tunnels
        self._is_overloaded = is_overloaded
        self._connects = Allowance(engine.limits.connects, time.monotonic())
        self._is_closed_to_new = False

    @property
    def is_closed_to_new(self) -> bool:
        """Whether the pod drains: it accepts no new sessions."""
        return self._is_closed_to_new

    def close_to_new(self) -> None:
        """Refuse new handshakes from now on. Open sessions continue."""
        self._is_closed_to_new = True

    def admit(self, address: str) -> Refusal | None:
        """Decide whether this IP address may open one more session now."""
        if (refusal := self.admit_tunnel()) is not None:
            return refusal
        most_per_address = self._limits.max_connections_per_address
        if most_per_address and self._engine.sites.is_full(site_of(address)):
            return refusals.TOO_MANY_FROM_ADDRESS
        if not self._connects.consume(self._limits.connects, time.monotonic()):
            return refusals.TOO_MANY_CONNECTS
        return None

    def admit_tunnel(self) -> Refusal | None:
        """Decide whether this pod has room for the WebSocket of a session of another pod.

        The other pod has admitted its client. If it is refused here, it continues to poll.
        """
        if self._is_closed_to_new:
            return DRAINING
        if self.is_full() or self._is_overloaded():
            return refusals.TOO_MANY_CONNECTIONS
        return None

    def is_full(self) -> bool:
        """Return whether the pod holds as many connections as it may."""
        return len(self._engine.sockets) >= self._limits.max_connections or self.is_crowded()

    @property
    def open_sockets(self) -> int:
        """Upper bound of the port's open sockets.

        A session is counted while it polls too, when it may have two connections or none.
        """
        without_session = len(self._http_connections) + len(self._tunnels)
        return len(self._engine.sockets) + self._engine.detached_websockets + without_session

    def is_crowded(self) -> bool:
        """Return whether open files are short: no session is opened, no idle connection kept."""
        return self.open_sockets >= self._limits.max_session_sockets

    def is_out_of_sockets(self) -> bool:
        """Return whether a waiting connection must be closed for each new one."""
        return self.open_sockets > self._limits.max_sockets

    def check_origin(self, headers: Headers) -> Refusal | None:
        """Check the origin that a browser sends, and log one that is refused."""
        if (origin := self._origins.refused(headers)) is None:
            return None
        logger.warning(
            "origin not allowed",
            code=refusals.FORBIDDEN_ORIGIN.code,
            origin=origin[:_SHOWN_ORIGIN_CHARS],
            remedy="if it is yours, add it to CONSTELLATION_CORS_ORIGINS",
        )
        return refusals.FORBIDDEN_ORIGIN

    def refuse(self, refusal: Refusal) -> Refuse:
        """Count a refusal, and return the response to it."""
        self._engine.observer.refused(refusal.code)
        if refusal.is_temporary:
            logger.warning(f"client refused for now: {refusal.code}")
        if (fault := refusals.FAULTS_OF_PROXIES.get(refusal)) is not None:
            logger.warning(fault, code=refusal.code)
        return refusals.response_to(refusal)
