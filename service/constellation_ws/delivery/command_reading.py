"""What comes on channels without a route, as commands. Pure."""

from __future__ import annotations

import msgspec

from constellation_ws.messages import commands
from constellation_ws.messages.commands import EMITTER_CHANNEL, Command, Emit
from constellation_ws.messages.namespaces import Namespaces
from constellation_ws.messages.python_emitter import decode_emitter
from constellation_ws.messages.redis_emitter import (
    EmitterChannels,
    decode_emit,
    decode_request,
    namespace_in,
)

_PYTHON_EMITTER = EMITTER_CHANNEL.encode()
_SHOWN_CHARS = 64


class CommandReader:
    """Reads commands by the form that their channel has."""

    def __init__(
        self, emitters: EmitterChannels, namespaces: Namespaces, max_event_bytes: int
    ) -> None:
        self._emitters = emitters
        self._namespaces = namespaces
        self._max_event_bytes = max_event_bytes

    def read(self, channel: bytes, payload: bytes) -> Command | None:
        """Read a command; None where it is for a namespace that is not served.

        Raises MalformedEvent.
        """
        if channel.startswith(self._emitters.emits):
            return decode_emit(payload, self._max_event_bytes, self._namespaces)
        if channel.startswith(self._emitters.requests):
            scope = self._namespaces.scopes.get(namespace_in(channel, self._emitters.requests))
            return None if scope is None else decode_request(payload, scope, self._namespaces)
        if channel == _PYTHON_EMITTER:
            return decode_emitter(payload, self._namespaces)
        command = commands.decode(payload)
        if isinstance(command, Emit) and not command.namespace:
            command = msgspec.structs.replace(command, namespace=self._namespaces.default)
        return command

    def label(self, channel: bytes) -> str:
        """Name a channel in logs and metrics."""
        if channel.startswith(self._emitters.emits):
            return self._emitters.label  # what follows may be a user
        return channel.decode(errors="replace")[:_SHOWN_CHARS]
