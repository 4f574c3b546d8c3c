"""When each session is pinged, and which have not answered: one timer wheel for all sessions."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from constellation_ws.engine.limits import EngineLimits
from constellation_ws.engine.observer import Observer
from constellation_ws.engine.session import EngineSession
from constellation_ws.engine.wheel import Wheel
from constellation_ws.websocket import text_frame

_PING = text_frame(b"2")


class Pings:
    """Pings the sessions of one engine. `advance` must be called once each `step_seconds`."""

    def __init__(
        self, limits: EngineLimits, observer: Observer, timed_out: Callable[[EngineSession], None]
    ) -> None:
        """`timed_out` is called with a session that has not answered within the ping timeout."""
        interval, timeout = limits.ping_interval_seconds, limits.ping_timeout_seconds
        self.step_seconds = min(1.0, interval / 10, timeout / 10)
        self._interval_seconds, self._timeout_seconds = interval, timeout
        self._observer = observer
        self._timed_out = timed_out
        self._wheel = Wheel(self.step_seconds, max(interval, timeout))

    def __len__(self) -> int:
        return len(self._wheel)

    def add(self, session: EngineSession) -> None:
        """Ping a new session from now on."""
        # Spread from the start: after a roll thousands connect within a second, and their pings
        # would stay together. Earlier than the interval, so that a client that never answers is
        # closed when interval and timeout are over, whatever the wheel rounds up.
        self._wheel.put(session, self._interval_seconds * random.uniform(0.7, 0.9))

    def add_moved(self, session: EngineSession) -> None:
        """Continue with a session that another pod has pinged."""
        seconds = self._timeout_seconds if session.awaits_pong else self._interval_seconds
        self._wheel.put(session, seconds)

    def remove(self, session: EngineSession) -> None:
        """Do not ping a session any more."""
        self._wheel.remove(session)

    def receive_pong(self, session: EngineSession) -> None:
        """Note that a client has answered; it is pinged again after the interval."""
        session.awaits_pong = False
        self._wheel.put(session, self._interval_seconds)
        self._observer.ponged(session.sid)

    def advance(self) -> Iterator[None]:
        """Advance by one step: ping whose time it is, one session at each step of the iterator."""
        for session in self._wheel.advance():
            assert isinstance(session, EngineSession), "nothing else is put there"
            # Between two steps it may have answered, which puts it back, or have been closed.
            if session.slot < 0 and not session.closed:
                self._ping(session)
            yield

    def _ping(self, session: EngineSession) -> None:
        if session.awaits_pong:
            self._timed_out(session)
            return
        session.awaits_pong, session.packets_received = True, 0
        self._observer.pinged(session.sid)
        self._wheel.put(session, self._timeout_seconds)
        if session.write is not None:
            if session.pending is not None:
                session.write_pending()  # else the pong would prove more than was sent
            session.write(_PING)
        else:
            session.queue("2")
