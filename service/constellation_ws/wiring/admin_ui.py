"""Where the Socket.IO Admin UI connects: an engine and a Socket.IO server of its own.

It is on the port of the metrics, beside the console, and shares nothing with the clients' one but
the turns of the event loop: no namespace of the public port, no room, no session.
"""

from __future__ import annotations

from constellation_ws.api.keys import Keys
from constellation_ws.console.admin_ui import NAMESPACE, AdminUi
from constellation_ws.console.cluster import Cluster
from constellation_ws.delivery.rooms import Member
from constellation_ws.engine.admission import Admission
from constellation_ws.engine.elsewhere import Nowhere
from constellation_ws.engine.limits import EngineLimits
from constellation_ws.engine.polling import LongPolling
from constellation_ws.engine.polls import Polls
from constellation_ws.engine.server import Engine
from constellation_ws.engine.upgrading import SOCKET_IO_PATH, Upgrades
from constellation_ws.http.origins import ANY
from constellation_ws.http.upgrade_request import Upgrade
from constellation_ws.messages.admission import Rate
from constellation_ws.messages.namespaces import Namespaces
from constellation_ws.observability.probes import AsgiApp, dispatch
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.services.actions import Actions
from constellation_ws.socketio.membership import Membership
from constellation_ws.socketio.server import Server
from constellation_ws.wiring.resuming import Parts

_LIMITS = EngineLimits(
    ping_interval_seconds=25.0,
    ping_timeout_seconds=20.0,
    connect_timeout_seconds=10.0,
    max_payload_bytes=65_536,
    max_request_bytes=65_536,
    max_write_buffer_bytes=8_000_000,
    max_packets_per_ping_interval=1_000,
    max_connections=32,
    max_connections_per_address=0,
    connects=Rate(5, 20),
)
"""Whoever reaches the port may connect before it presents a key: so there are few connections."""


class NoAdminUi:
    """The Admin UI cannot connect."""

    def __init__(self) -> None:
        self.upgrades: dict[str, Upgrade] = {}
        """The WebSocket handshakes of its port, by path."""

    def pages(self, pages: AsgiApp) -> AsgiApp:
        """Give the pages of its port."""
        return pages

    def parts(self) -> Parts:
        """Nothing has to run."""
        return {}


class AdminPort:
    """The Admin UI can connect. Pages of any site may: what admits is a key in the CONNECT, which
    no browser sends by itself."""

    def __init__(
        self,
        instance: str,
        cluster: Cluster,
        actions: Actions,
        keys: Keys,
        spawn: Spawn,
        turns: TurnQueue,
        *,
        may_act: bool,
    ) -> None:
        """`instance` begins the session IDs."""
        self._engine = engine = Engine(_LIMITS, pod_tag=instance, spawn=spawn, turns=turns)
        admission = Admission(engine, cors_origins=(ANY,))
        server = Server(engine, Membership(Namespaces((NAMESPACE,))), _admit)
        self._ui = AdminUi(server, cluster, actions, keys, may_act=may_act)
        self._polling = LongPolling(engine, admission, Polls(engine, admission), Nowhere())
        self.upgrades: dict[str, Upgrade] = {
            SOCKET_IO_PATH: Upgrades(engine, admission, Nowhere()).handle
        }

    def pages(self, pages: AsgiApp) -> AsgiApp:
        """Give the pages of its port."""
        return dispatch(pages, self._polling, SOCKET_IO_PATH)

    def parts(self) -> Parts:
        """Give what has to run."""
        return {"admin ui": self._ui.run(), "admin engine": self._engine.run(lambda: None)}


def _admit(member: Member, request_bytes: int) -> None:
    """Have every request read: the engine bounds their size and number."""
