"""Tokens of clients: some end while the client is connected, and some are refreshed before.

The gateway has to end a connection when its token does: nothing that is published later may arrive.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import NamedTuple

import jwt

from tests.chaos.ledger import Ledger
from tests.chaos.timeline import Timeline
from tests.simulation.hosts import WALL_CLOCK, Universe

_SECRET = "the secret of the simulated issuer"
SETTINGS: dict[str, object] = {
    "CONSTELLATION_AUTH_MODE": "jwt",
    "CONSTELLATION_JWT_SECRET": _SECRET,
    "CONSTELLATION_JWT_LEEWAY_SECONDS": 0,
}
_SHORT_SECONDS, _LONG_SECONDS = (6, 20), 3_600
_END_MS = 1_000
"""The gateway may take half a second; the rest is for what was under way."""
_LATE = ("pause", "pause-all")
"""Faults in which a pod does nothing in time."""
CLOCK_FAULT = "step-pod-clock"
"""A pod whose clock is wrong knows no token's end: worlds with this fault have no tokens."""


class Token(NamedTuple):
    """What a client presents."""

    text: str
    expires_ms: int
    """In the time of the stories."""


class Issuer:
    """Signs the tokens of one client."""

    def __init__(self, universe: Universe, user: str, *, are_short: bool) -> None:
        self._universe = universe
        self._user = user
        self._are_short = are_short
        self._chance = Random(f"{user} tokens")

    def issue(self) -> Token:
        """Sign a token that is valid from now on."""
        seconds = self._chance.randint(*_SHORT_SECONDS) if self._are_short else _LONG_SECONDS
        now = self._universe.now
        expires_at = int(WALL_CLOCK + now) + seconds
        text = jwt.encode({"sub": self._user, "exp": expires_at}, _SECRET, "HS256")
        return Token(text, self._universe.now_ms + int(1_000 * (expires_at - WALL_CLOCK - now)))


class Overdue(NamedTuple):
    """An event that came though the token of its connection had expired."""

    number: int
    expired_ms: int


def too_late(overdue: Iterable[Overdue], ledger: Ledger, timeline: Timeline) -> list[int]:
    """Number the events that were sent after a token's end, and arrived.

    What was sent before may arrive later, on a link that was stalled.
    """
    late = [one for one in timeline.strikes if one.name in _LATE]

    def is_excused(expired_ms: int, sent_ms: int) -> bool:
        return any(one.start_ms < sent_ms and one.ends() + _END_MS > expired_ms for one in late)

    return [
        one.number
        for one in overdue
        if (event := ledger.events.get(one.number)) is not None
        and event.sent_ms > one.expired_ms + _END_MS
        and not is_excused(one.expired_ms, event.sent_ms)
    ]
