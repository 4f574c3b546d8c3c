"""All proxies by name, and whether this machine has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.ingress.proxies.caddy import Caddy
from tests.ingress.proxies.connections import Connections
from tests.ingress.proxies.envoy import envoy
from tests.ingress.proxies.haproxy import haproxy, haproxy_executable
from tests.ingress.proxies.nginx import nginx
from tests.proxies import Proxy


class Stoppable(Proxy, Protocol):
    def stop(self) -> None: ...


PROXIES: Mapping[str, Callable[[Path], Stoppable]] = {
    "caddy": Caddy,
    "nginx": nginx,
    "envoy": envoy,
    "haproxy": haproxy,
    "connections": lambda _: Connections(),
}


def why_not(name: str) -> str | None:
    """Say why this machine cannot run a proxy, and what to do about it; None where it can."""
    if name == "haproxy" and haproxy_executable() is None:
        return "there is no HAProxy on this machine: apt-get install haproxy"
    return None


@contextmanager
def running(name: str, folder: Path) -> Iterator[Proxy]:
    """A proxy of that name; it listens from its first endpoints on."""
    folder.mkdir(parents=True)
    proxy = PROXIES[name](folder)
    try:
        yield proxy
    finally:
        proxy.stop()
