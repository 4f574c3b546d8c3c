"""NGINX, round-robin by request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.processes import HOST
from tests.proxies.nginx import NGINX_HEAD, nginx_user, reloaded_nginx
from tests.proxies.running import Reloaded

_NGINX = (
    NGINX_HEAD
    + """\
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream pods {{
        {servers}
    }}
    server {{
        listen {host}:{port} backlog=4096;
        location /configured {{ return 200 "{version}"; }}
        location / {{
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_pass http://pods;
        }}
    }}
}}
"""
)


def nginx(folder: Path) -> Reloaded:
    return reloaded_nginx(folder, _configuration)


def _configuration(*, port: int, version: int, pod_ports: Sequence[int]) -> str:
    servers = "\n".join(f"server {HOST}:{pod_port};" for pod_port in pod_ports)
    return _NGINX.format(user=nginx_user(), servers=servers, host=HOST, port=port, version=version)
