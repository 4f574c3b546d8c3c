"""A backend that reads who came online and who went offline, as docs/presence.md tells it to."""

from __future__ import annotations

import json

from constellation_ws.redis_io.names import DEFAULT
from tests.simulation.redis_model.keyspace import Keyspace
from tests.simulation.redis_model.streams import Stream

SETTINGS: dict[str, object] = {"CONSTELLATION_PRESENCE_EVENTS": "redis"}
_KEY = DEFAULT.presence_events.encode()


class Announcements:
    """The last status of each user. Redis may lose what was read already."""

    def __init__(self) -> None:
        self._last = (0, 0)
        self._latest: dict[str, tuple[int, str]] = {}
        """The sequence of each user's last event, and its status."""

    @property
    def online(self) -> set[str]:
        """Who is online, by what was announced."""
        return {user for user, (_, status) in self._latest.items() if status == "online"}

    def read(self, data: Keyspace) -> None:
        """Read what is new in the stream."""
        stream = data.find(_KEY, Stream)
        if stream is None:
            return
        if stream.last < self._last:  # it begins anew, or is that of a snapshot
            self._last = (0, 0)
        for entry_id, fields in zip(stream.ids, stream.entries, strict=True):
            if entry_id > self._last:
                event = json.loads(fields[fields.index(b"data") + 1])
                sequence, _ = self._latest.get(event["userId"], (0, ""))
                if event["sequence"] > sequence:
                    self._latest[event["userId"]] = (event["sequence"], event["status"])
        self._last = stream.last
