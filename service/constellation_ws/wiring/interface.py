"""The interface table that the settings name."""

from __future__ import annotations

from constellation_ws.delivery import routes
from constellation_ws.delivery.routes import Table
from constellation_ws.interface import table
from constellation_ws.interface.table import Interface
from constellation_ws.messages.namespaces import Namespaces
from constellation_ws.settings import settings
from constellation_ws.settings.settings import Settings


def load(values: Settings, *, requires_keys: bool = True) -> Interface:
    """Read the table. Raises InvalidInterface, also where a backend's key is not in the environment
    and `requires_keys`."""
    return table.load(
        values.delivery.interface_file,
        values.delivery.routes_file,
        own_prefix=values.redis.redis_prefix,
        emitters=values.redis.emitter_channels(),
        environment=settings.environment() if requires_keys else None,
    )


def namespaces_of(interface: Interface) -> Namespaces:
    """Name the namespaces of a table."""
    return Namespaces([row.name for row in interface.namespaces])


def compile_routes(interface: Interface, *, is_traced: bool = False) -> Table:
    """Compile the routes of a table."""
    return routes.compile_table(interface.routes, namespaces_of(interface), is_traced=is_traced)
