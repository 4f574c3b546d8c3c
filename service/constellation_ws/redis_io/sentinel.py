"""Redis Sentinel: which Redis is the primary, by what the Sentinels say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from constellation_ws.redis_io.address import Node
from constellation_ws.redis_io.topology import NoReport, TopologyReport


class SentinelWitnesses:
    """The Sentinels of the URL."""

    def __init__(self, nodes: Sequence[Node], service: str) -> None:
        self._nodes = tuple(nodes)
        self._service = service

    def whom(self, last: TopologyReport | None) -> Sequence[Node]:
        """Choose whom to ask: all of them."""
        return self._nodes

    async def ask(self, redis: Redis, node: Node) -> TopologyReport:
        """Ask one of them. Raises NoReport, or what redis-py raises."""
        async with redis.pipeline(transaction=False) as pipe:
            pipe.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
            pipe.execute_command("SENTINEL", "MASTER", self._service)
            address, details = await pipe.execute(raise_on_error=False)
        if isinstance(address, ResponseError) and "unknown command" in str(address).lower():
            raise NoReport("it is not a Sentinel")
        if isinstance(address, RedisError):
            raise address
        return read_report(address, details, self._service)

    def describe(self, faults: str) -> str:
        """Say that none of them could tell."""
        return f"no Sentinel reports the address of the primary {self._service} ({faults})"


def read_report(address: Sequence[Any] | None, details: object, service: str) -> TopologyReport:
    """Read the two answers of one Sentinel. Raises NoReport.

    The address is the new primary's as soon as it is promoted; the details hold the epoch, by which
    the newer of two reports is known. A Sentinel may keep them to itself.
    """
    if not address:
        raise NoReport(f"it monitors no primary named {service}")
    host, port = (_text(part) for part in address)
    return TopologyReport((host, int(port)), int(_named(details).get("config-epoch", 0)), ())


def _named(details: object) -> Mapping[str, str]:
    """Read names and values, a map in RESP3 and a flat list in RESP2."""
    if isinstance(details, list):
        details = dict(zip(details[::2], details[1::2], strict=False))
    if not isinstance(details, dict):
        return {}
    return {_text(name): _text(value) for name, value in details.items()}


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
