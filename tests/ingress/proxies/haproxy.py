"""HAProxy, round-robin by request."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.processes import HOST
from tests.proxies.running import Reloaded

# Without an end for the workers of before a reload: they keep their WebSockets.
_HAPROXY = """
global
    maxconn 4000
defaults
    mode http
    option redispatch
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
frontend clients
    bind {host}:{port}
    http-request return status 200 content-type text/plain string "{version}" if {{ path /configured }}
    default_backend pods
backend pods
    balance roundrobin
    option forwardfor
    {servers}
"""  # noqa: E501 - a rule of HAProxy is one line
# Debian installs it where only root looks.
_PLACES = (None, "/usr/sbin:/usr/local/sbin")


def haproxy_executable() -> str | None:
    """HAProxy of this machine; no package index has it as a wheel."""
    return next(filter(None, (shutil.which("haproxy", path=place) for place in _PLACES)), None)


def haproxy(folder: Path) -> Reloaded:
    program = haproxy_executable()
    assert program is not None, "callers ask first"
    # A master, and the workers that it replaces at SIGUSR2.
    command = (Path(program), "-W", "-f", folder / "haproxy.cfg")
    return Reloaded(folder / "haproxy.cfg", command, signal.SIGUSR2, _configuration)


def _configuration(*, port: int, version: int, pod_ports: Sequence[int]) -> str:
    servers = "\n    ".join(f"server pod-{one} {HOST}:{one}" for one in pod_ports)
    return _HAPROXY.format(host=HOST, port=port, version=version, servers=servers)
