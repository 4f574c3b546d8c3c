"""Caddy, round-robin by request; with TLS browsers speak HTTP/2 to it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from tests.chaos.balancer import caddy_executable
from tests.processes import HOST, unused_port
from tests.proxies.running import PATIENCE_SECONDS, ask, end, start
from tests.waiting import eventually

# Without `stream_close_delay` a new configuration would close every WebSocket. The header lets a
# page see by which protocol it was answered.
_CADDYFILE = """
{{
    admin {host}:{admin_port}
    auto_https {automatic}
    skip_install_trust
    storage file_system {folder}
    persist_config off
    log {{
        level ERROR
    }}
}}
{site}:{port} {{
    bind {host}
    {tls}
    header Timing-Allow-Origin *
    respond /configured {version}
    reverse_proxy {upstreams} {{
        lb_policy round_robin
        lb_try_duration 5s
        lb_try_interval 50ms
        stream_close_delay 1h
    }}
}}
"""
_RELOAD_SECONDS = 60.0
"""Caddy answers when the requests of before are done: polls, which last up to a ping interval."""


class Caddy:
    """Caddy; a change of endpoints is a configuration that its admin port is given."""

    def __init__(self, folder: Path, *, has_tls: bool = False) -> None:
        self.port = unused_port()
        self.url = f"https://{HOST}:{self.port}" if has_tls else f"http://{HOST}:{self.port}"
        self._has_tls = has_tls
        self._admin_port = unused_port()
        self._folder = folder
        self._version = 0
        self._process: subprocess.Popen[bytes] | None = None

    async def route_to(self, pod_ports: Sequence[int]) -> None:
        self._version += 1
        text = self._configuration(pod_ports)
        if self._process is None:
            file = self._folder / "Caddyfile"
            file.write_text(text, "utf-8")
            options = ("run", "--config", file, "--adapter", "caddyfile")
            self._process = start(self._folder, caddy_executable(), *options)
        else:
            await self._load(text)
        await eventually(self._is_configured, PATIENCE_SECONDS, "Caddy has its endpoints")

    def stop(self) -> None:
        end(self._process)

    def _configuration(self, pod_ports: Sequence[int]) -> str:
        return _CADDYFILE.format(
            host=HOST,
            port=self.port,
            folder=self._folder,
            automatic="disable_redirects" if self._has_tls else "off",
            site=f"https://{HOST}" if self._has_tls else "http://",
            tls="tls internal" if self._has_tls else "",
            admin_port=self._admin_port,
            version=self._version,
            upstreams=" ".join(f"{HOST}:{port}" for port in pod_ports),
        )

    async def _load(self, text: str) -> None:
        url = f"http://{HOST}:{self._admin_port}/load"
        headers = {"Content-Type": "text/caddyfile"}
        limit = aiohttp.ClientTimeout(_RELOAD_SECONDS)
        async with aiohttp.request(
            "POST", url, data=text, headers=headers, timeout=limit
        ) as answer:
            assert answer.status == 200, await answer.text()

    async def _is_configured(self) -> bool:
        return await ask(f"{self.url}/configured") == str(self._version)
