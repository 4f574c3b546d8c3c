"""What makes sessions resumable, or does nothing where no client can resume."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from redis.asyncio import Redis

from constellation_ws.access.access import Access
from constellation_ws.delivery.partitioning import Partitioning
from constellation_ws.delivery.relay import Relay
from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.log.logs import Logs
from constellation_ws.log.recent_entries import NoRecentEntries, RecentEntries
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.recovery.history import History
from constellation_ws.recovery.missed import MissedEvents
from constellation_ws.recovery.moving import MovingSessions
from constellation_ws.recovery.none import NoMoving, NoRecovery, NoSessions
from constellation_ws.recovery.resume import Offsets, Recovery
from constellation_ws.recovery.sessions import Sessions
from constellation_ws.recovery.store import SessionStore
from constellation_ws.redis_io.names import Names
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring import bounds
from constellation_ws.wiring.partition import part_name

Parts = dict[str, Coroutine[Any, Any, None]]
"""What lives as long as the process, by its name."""
Expect = Callable[[str], Callable[[], None]]
"""Gives a part what it calls at each step, so that liveness judges it."""

_RECENT_BYTES = 64 * 1024 * 1024
"""Objects included: two minutes of a thousand events a second, of 300 bytes each. Older ones are
read from Redis when somebody asks."""


class Resuming:
    """Sessions in Redis, recent entries in memory, and what both take to be resumed."""

    def __init__(
        self,
        logs: Logs,
        redis: Redis,
        names: Names,
        rooms: Rooms,
        relay: Relay,
        partitioning: Partitioning,
        settings: Settings,
        spawn: Spawn,
    ) -> None:
        window_seconds = settings.delivery.recovery_window_seconds
        self._logs = logs
        self._offsets = Offsets(settings.delivery.recovery)
        # Sessions are where the first partition is.
        self._store = SessionStore(redis, spawn, logs.partitions[0].state.mark, names)
        self.sessions = Sessions(logs, self._store, rooms, window_seconds=window_seconds)
        recent_bytes = _RECENT_BYTES // len(logs)
        self._histories = [
            History(log, recent_bytes, relay.read, window_seconds) for log in logs.partitions
        ]
        limits = bounds.replay_limits(settings)
        self._missed_events = MissedEvents(logs, self._histories, limits, partitioning.of_room)

    def recent(self, partition: int) -> RecentEntries:
        """Give what takes the entries of a partition as they are delivered."""
        return self._histories[partition].recent

    def recovery(
        self,
        instance: str,
        rooms: Rooms,
        metrics: Metrics,
        *,
        access: Access,
        close: Callable[[Member, str], None],
        fence: Callable[[str, str], None],
        tracing: Tracing | NoTracing,
    ) -> Recovery:
        """Make what gives members their sessions."""
        return Recovery(
            instance,
            self._logs,
            self._store,
            self.sessions,
            self._missed_events,
            rooms,
            metrics,
            offsets=self._offsets,
            close=close,
            fence=fence,
            find_revoked=access.find_revoked,
            tracing=tracing,
        )

    def moving(self) -> MovingSessions:
        """Make what lets sessions move between pods."""
        return MovingSessions(self._logs, self._store, self.sessions, self._missed_events)

    def parts(self, expect: Expect, fence: Callable[[str, str], None]) -> Parts:
        """Give what has to run."""
        parts: Parts = {
            "store": self._store.run(lambda: self._logs.delivered, fence),
            "sessions": self.sessions.run(expect("sessions")),
        }
        for number, history in enumerate(self._histories):
            backlog = part_name("backlog", number)
            parts[backlog] = history.run(expect(backlog))
            parts[part_name("read-back", number)] = history.read_back()
            parts[part_name("confirmation of the log", number)] = history.confirm()
        return parts

    def report_gap(self, reconnect_clients: Callable[[], None]) -> None:
        """Have every client reconnect: it may have missed something."""
        reconnect_clients()


class NotResuming:
    """No client can resume: nothing is retained, and no client is notified."""

    def __init__(self) -> None:
        self.sessions = NoSessions()

    def recent(self, _: int) -> NoRecentEntries:
        """Give what retains nothing."""
        return NoRecentEntries()

    def recovery(self, *_: object, **__: object) -> NoRecovery:
        """Make what gives nobody a session."""
        return NoRecovery()

    def moving(self) -> NoMoving:
        """Make what lets every session stay where it is."""
        return NoMoving()

    def parts(self, *_: object) -> Parts:
        """Nothing has to run."""
        return {}

    def report_gap(self, reconnect_clients: Callable[[], None]) -> None:
        """A client that resumes nothing has been promised nothing."""
