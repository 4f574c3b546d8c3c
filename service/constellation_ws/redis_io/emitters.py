"""Which of the messages on the channels of Socket.IO emitters are for this gateway.

What they mean is not known here. All pods must decide alike, since only messages for the gateway
have a position in the Pub/Sub stream; so this depends on the message alone.
"""

from __future__ import annotations

from constellation_ws.messages.namespaces import Namespaces
from constellation_ws.messages.redis_emitter import (
    EmitterChannels,
    Unsupported,
    find_unsupported,
    namespace_in,
)
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.unsupported import UnsupportedMessages


class EmitterFilter:
    """Drops messages that are not for the gateway before they are recorded."""

    def __init__(self, channels: EmitterChannels, namespaces: Namespaces, metrics: Metrics) -> None:
        self.patterns = channels.patterns
        self._namespaces = namespaces
        self._emits = channels.emits
        self._requests = channels.requests
        self._unsupported = UnsupportedMessages(metrics)

    def admits(self, channel: bytes, payload: bytes) -> bool:
        """Return whether a message that came by a pattern is for the gateway; count it, if not."""
        is_emit = channel.startswith(self._emits)
        prefix = self._emits if is_emit else self._requests
        kind: Unsupported | None = Unsupported.NAMESPACE
        if namespace_in(channel, prefix) in self._namespaces:
            kind = None if is_emit else find_unsupported(payload)
        if kind is not None:
            self._unsupported.note(kind)
        return kind is None
