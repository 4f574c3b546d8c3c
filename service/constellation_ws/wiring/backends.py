"""Makes the backends of the interface table, each once, for the requests that go to them."""

from __future__ import annotations

from collections.abc import Mapping

from constellation_ws.backends.backend import Backend, GuardedBackend
from constellation_ws.backends.http import HttpWay
from constellation_ws.backends.nest import NestWay
from constellation_ws.backends.redis import RedisWay, append, publish
from constellation_ws.backends.ways import Conversation, SpawningWay, Target
from constellation_ws.interface.addresses import split_nest
from constellation_ws.interface.rows import BackendRow, RequestRow
from constellation_ws.interface.table import Interface, InvalidInterface
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.wiring.redis_clients import RedisClients

_REDIS_SECONDS = 2.0
"""How long Redis may take to accept a request."""
_REDIS_CONCURRENT = 1_000
_REDIS_NAMES = {"channel": "redis:channel", "log": "redis:log"}
"""By `to` of a request; what operators see instead of a backend's name."""
_REDIS_COMMANDS = {"channel": publish, "log": append}


class Backends:
    """Where requests of clients go. Nothing connects before the first one."""

    def __init__(
        self,
        interface: Interface,
        redis: RedisClients,
        endpoint: Endpoint,
        metrics: Metrics,
        tracing: Tracing | NoTracing,
        spawn: Spawn,
        environment: Mapping[str, str],
    ) -> None:
        """`environment` has the keys of backends. Raises InvalidInterface."""
        for row in interface.requests:
            _check_stream(row, endpoint)
        self._backends: dict[str, Backend] = {
            row.name: GuardedBackend(
                row.name,
                SpawningWay(_make_conversation(row, environment), spawn),
                metrics,
                max_concurrent=row.max_concurrent,
                tracing=tracing,
            )
            for row in interface.backends
        }
        for to in sorted({row.to for row in interface.requests if row.to in _REDIS_NAMES}):
            name = _REDIS_NAMES[to]
            self._backends[name] = GuardedBackend(
                name,
                RedisWay(redis.once, spawn, _REDIS_SECONDS, _REDIS_COMMANDS[to]),
                metrics,
                max_concurrent=_REDIS_CONCURRENT,
                tracing=tracing,
            )

    def find(self, row: RequestRow) -> tuple[Backend, Target]:
        """Say where the requests of a row go that has `to`."""
        assert row.to is not None, "joins and leaves go nowhere"
        backend = self._backends[_REDIS_NAMES.get(row.to, row.backend)]
        match row.to:
            case "nest":
                return backend, Target(row.pattern)
            case "http":
                return backend, Target(row.path, is_idempotent=row.idempotent)
            case "channel":
                return backend, Target(row.channel)
            case "log":
                return backend, Target(row.stream)

    async def aclose(self) -> None:
        """Hang up."""
        for backend in self._backends.values():
            await backend.aclose()


def _make_conversation(row: BackendRow, environment: Mapping[str, str]) -> Conversation:
    timeout_seconds = row.timeout_ms / 1_000
    if row.http:
        key = environment[row.key_variable].encode() if row.key_variable else b""
        return HttpWay(row.http, key, timeout_seconds)
    address = split_nest(row.nest)
    assert address is not None, "checked when the table was read"
    return NestWay(*address, timeout_seconds)


def _check_stream(row: RequestRow, endpoint: Endpoint) -> None:
    if row.to == "log" and not endpoint.has_key(row.stream):
        raise InvalidInterface(
            f"[[request]] {row.event}: on a Redis Cluster the stream must be in the hash slot of "
            f"the gateway's keys; name it {row.stream}:{{{endpoint.names.log}}}, for example"
        )
