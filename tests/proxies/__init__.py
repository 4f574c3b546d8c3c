"""Real ingress proxies, set up as their controllers do from what the chart renders.

Lives here: turning an Ingress or an HTTPRoute into a proxy's own configuration, running it, and
giving it endpoints. Who is an endpoint, and when, is said by whoever rolls the pods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Proxy(Protocol):
    """What leads clients to the pods."""

    port: int

    async def route_to(self, pod_ports: Sequence[int]) -> None:
        """Let new requests go to these pods, and return once they do; open ones stay."""
