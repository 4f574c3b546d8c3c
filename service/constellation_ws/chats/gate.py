"""Which requests of clients are read at all: neither too large nor too many."""

from __future__ import annotations

import time

import structlog

from constellation_ws.delivery.rooms import Member
from constellation_ws.messages.admission import (
    TOO_MANY_REQUESTS,
    Allowance,
    Denied,
    Limits,
    check_request_size,
)
from constellation_ws.observability.metrics import Metrics

logger = structlog.get_logger(__name__)


class Gate:
    """Judges each request before it is read, and counts those that are refused."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics

    def check(self, member: Member, request_bytes: int) -> Denied | None:
        """Say why a request is not read; None where it is."""
        if member.allowance is None:
            member.allow(Allowance(self._limits.requests, time.monotonic()))
        refusal = check_request_size(request_bytes, self._limits)
        if not member.allowance.consume(self._limits.requests, time.monotonic()):
            refusal = TOO_MANY_REQUESTS
        if refusal is None:
            return None
        self._metrics.requests.add("", refusal.code)
        closes = member.allowance.is_abused(self._limits.requests)
        if closes:
            logger.warning("client closed: it kept exceeding its rate limit", user=member.user)
        return Denied(refusal, closes)
