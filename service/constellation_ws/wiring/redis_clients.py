"""Clients of one Redis by purpose, so that a storm in one starves no other."""

from __future__ import annotations

import asyncio

from constellation_ws.redis_io.endpoint import Endpoint


class RedisClients:
    """Each connects on first use; `aclose` lets all connections go."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._partitions: dict[int, RedisClients] = {}
        self.vital = endpoint.client(retries=5)
        """For what a pod lives by: subscription, lease, heartbeat and log."""
        self.sessions = endpoint.client(retries=5)
        """For sessions, which a storm of reconnects reads and writes."""
        self.requests = endpoint.client(retries=5)
        """For what clients and services ask."""
        self.once = endpoint.client(retries=0)
        """For events: the sender decides whether to send one again."""

    def of_partition(self, number: int) -> RedisClients:
        """Give the clients that reach another partition of the log; they are closed with these."""
        if number == self._endpoint.names.partition:
            return self
        if number not in self._partitions:
            self._partitions[number] = RedisClients(self._endpoint.of_partition(number))
        return self._partitions[number]

    async def aclose(self) -> None:
        """Close every connection, side by side: one to a Redis that hangs takes its time."""
        clients = (self.vital, self.sessions, self.requests, self.once)
        others = [one.aclose() for one in self._partitions.values()]
        await asyncio.gather(*(client.aclose() for client in clients), *others)
