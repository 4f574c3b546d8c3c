"""What Socket.IO emitters publish and the gateway does not support: counted, and logged."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from constellation_ws.messages.redis_emitter import Unsupported
from constellation_ws.observability.metrics import Metrics

logger = structlog.get_logger(__name__)

LOG_SECONDS = 60.0
"""How often each kind is logged: Socket.IO servers nearby may send some all the time."""

_SENTENCES = {
    Unsupported.NAMESPACE: "ignored emitters that publish to a namespace that is not served here",
    Unsupported.SERVER_SIDE_EMIT: "ignored serverSideEmit: a gateway has no handlers for it",
    Unsupported.QUERY: "ignored fetchSockets or the like: Socket.IO servers get no answer",
    Unsupported.EMIT_WITH_ACK: "ignored an emit that asks clients for acknowledgements: it is not "
    "delivered to clients of this gateway",
    Unsupported.REQUEST: "ignored a request of a Socket.IO server that is not supported",
}


class UnsupportedMessages:
    """Counts each, and logs each kind at most once a minute."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._counts = {kind: metrics.unsupported.of(kind.value) for kind in Unsupported}
        self._clock = clock
        self._logged: dict[Unsupported, tuple[float, int]] = {}
        """When each kind was logged last, and how many there had been by then."""

    def note(self, kind: Unsupported) -> None:
        """Count one."""
        count = self._counts[kind]
        count.value += 1
        now = self._clock()
        logged_at, logged = self._logged.get(kind, (now - LOG_SECONDS, count.value - 1))
        if now - logged_at >= LOG_SECONDS:
            self._logged[kind] = now, count.value
            logger.warning(_SENTENCES[kind], kind=kind.value, messages=count.value - logged)
