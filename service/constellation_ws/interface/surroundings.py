"""What a row is checked against: the rows that it may name, and what the deployment reserves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from constellation_ws.interface.rows import BackendRow, NamespaceRow
from constellation_ws.messages.commands import is_own_channel
from constellation_ws.messages.redis_emitter import EmitterChannels

USER_ROOM = "user:"
"""Begins the rooms that users are in by their identity, never by a request."""
CHAT_ROOM = "chat:"
"""Begins the rooms that CONSTELLATION_CHAT_ACCESS decides about."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a table must agree with."""

    own_prefix: str
    """Begins all keys and channels of the gateway's own."""
    emitters: EmitterChannels
    environment: Mapping[str, str] | None
    """Holds the keys of backends; None where the table is only read, and not served."""

    def owns_channel(self, channel: str) -> bool:
        """Return whether pods and emitters talk to each other on it."""
        return is_own_channel(channel, self.own_prefix) or self.emitters.own(channel)

    def owns_key(self, key: str) -> bool:
        """Return whether the gateway keeps something of its own there."""
        return key.startswith((f"{self.own_prefix}:", f"{{{self.own_prefix}:"))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The rows that others name. Names of rows that could not be read are no rows here."""

    namespaces: Mapping[str, NamespaceRow]
    namespace_names: Sequence[str]
    backends: Mapping[str, BackendRow]
    backend_names: Sequence[str]
    deployment: Deployment

    def is_anonymous(self, namespace: str) -> bool:
        """Return whether clients of the namespace have no user."""
        row = self.namespaces.get(namespace)
        return row is not None and row.identity == "none"

    def foreign(self, namespace: str, prefix: str) -> str | None:
        """Find another namespace of which a template with this fixed part could name a room.

        Rooms of the default namespace are called by their names alone, those of others `/orders,…`.
        """
        first, *others = self.namespace_names or ("",)
        if namespace != first:
            return None
        return next(
            (one for one in others if prefix.startswith(f"{one},") or f"{one},".startswith(prefix)),
            None,
        )
