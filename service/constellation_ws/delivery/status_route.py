"""The route of changes of who is online: as any other, and noted where answers depend on it."""

from __future__ import annotations

from collections.abc import Callable

from constellation_ws.delivery.routes import Route, RoutedEvent
from constellation_ws.interface.rows import RouteRow
from constellation_ws.messages.namespaces import Scope


class StatusRoute(Route):
    """Routes what is announced to those who watch the user."""

    __slots__ = ("_note",)

    def __init__(
        self, row: RouteRow, scope: Scope, note: Callable[[bytes], None], *, is_traced: bool
    ) -> None:
        super().__init__(row, scope, is_traced=is_traced)
        self._note = note

    def route(self, raw: bytes) -> RoutedEvent | None:
        """As `Route.route`."""
        self._note(raw)
        return super().route(raw)
