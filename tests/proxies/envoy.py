"""Envoy with a ring of pods and a cookie, for an HTTPRoute."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.chart.rendering import Object, of_kind
from tests.processes import HOST, unused_port
from tests.proxies import Proxy
from tests.proxies.running import PATIENCE_SECONDS, ask, end, start
from tests.waiting import eventually


class Envoy:
    """Envoy, as Envoy Gateway sets it up: endpoints come apart from the rest, and without a reload.

    Requests that are open when an endpoint goes are left alone, WebSockets too.
    """

    def __init__(self, folder: Path, route: Object, balancing: Object, workers: int = 2) -> None:
        """`route` is the only one that it has, `balancing` what its cluster is given."""
        self.port = unused_port()
        self._admin_port = unused_port()
        self._folder = folder
        self._route = route
        self._balancing = balancing
        self._workers = str(workers)
        self._process: subprocess.Popen[bytes] | None = None

    async def route_to(self, pod_ports: Sequence[int]) -> None:
        self._write_endpoints(pod_ports)
        if self._process is None:
            bootstrap = self._folder / "envoy.yaml"
            bootstrap.write_text(yaml.safe_dump(self._bootstrap()), "utf-8")
            options = ("--use-dynamic-base-id", "--log-level", "warning")
            workers = ("--concurrency", self._workers)
            self._process = start(self._folder, "envoy", "-c", bootstrap, *workers, *options)
        wanted = {f"{HOST}:{port}" for port in pod_ports}

        async def has_taken() -> bool:
            return await self._endpoints() == wanted

        await eventually(has_taken, PATIENCE_SECONDS, "Envoy has taken its endpoints")

    def stop(self) -> None:
        end(self._process)

    def _write_endpoints(self, pod_ports: Sequence[int]) -> None:
        assignment = {
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": "pods",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _address(p)}} for p in pod_ports]}
            ],
        }
        # Envoy looks when a file is moved into place, not when it is written.
        (self._folder / "next.yaml").write_text(yaml.safe_dump({"resources": [assignment]}))
        (self._folder / "next.yaml").rename(self._folder / "endpoints.yaml")

    async def _endpoints(self) -> set[str]:
        said = await ask(f"http://{HOST}:{self._admin_port}/clusters?format=json")
        (cluster,) = yaml.safe_load(said or "{}").get("cluster_statuses", [{}])
        addresses = [one["address"]["socket_address"] for one in cluster.get("host_statuses", [])]
        return {f"{one['address']}:{one['port_value']}" for one in addresses}

    def _bootstrap(self) -> Object:
        return {
            "admin": {"address": _address(self._admin_port)},
            "node": {"id": "test", "cluster": "test"},
            "static_resources": {"listeners": [self._listener()], "clusters": [self._cluster()]},
        }

    def _listener(self) -> Object:
        virtual_host = {"name": "pods", "domains": ["*"], "routes": [self._route]}
        router = {"@type": _extension("http.router.v3.Router")}
        manager = {
            "@type": _extension("network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": "http",
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "route_config": {"virtual_hosts": [virtual_host]},
            "http_filters": [{"name": "router", "typed_config": router}],
        }
        chain = {"filters": [{"name": "http", "typed_config": manager}]}
        return {"name": "http", "address": _address(self.port), "filter_chains": [chain]}

    def _cluster(self) -> Object:
        source = {"path_config_source": {"path": str(self._folder / "endpoints.yaml")}}
        return {
            "name": "pods",
            "type": "EDS",
            "eds_cluster_config": {"eds_config": source | {"resource_api_version": "V3"}},
            **self._balancing,
        }


def _sticky_route(route: Object, policy: Object) -> Object:
    (rule,) = route["spec"]["rules"]
    (match,) = rule["matches"]
    balancing = policy["spec"]["loadBalancer"]
    assert balancing["type"] == "ConsistentHash"
    cookie = balancing["consistentHash"]["cookie"]
    assert cookie["ttl"] == "1h"
    action = {
        "cluster": "pods",
        "timeout": rule["timeouts"]["request"],
        "hash_policy": [{"cookie": {"name": cookie["name"], "ttl": "3600s"}}],
    }
    return {"match": {"prefix": match["path"]["value"]}, "route": action}


def _sticky_balancing(policy: Object) -> Object:
    limits = policy["spec"]["circuitBreaker"]
    threshold = {
        "max_connections": limits["maxConnections"],
        "max_requests": limits["maxParallelRequests"],
    }
    return {"lb_policy": "MAGLEV", "circuit_breakers": {"thresholds": [threshold]}}


def _extension(name: str) -> str:
    return f"type.googleapis.com/envoy.extensions.filters.{name}"


def _address(port: int) -> Object:
    return {"socket_address": {"address": HOST, "port_value": port}}


@contextmanager
def envoy(folder: Path, objects: Sequence[Object]) -> Iterator[Proxy]:
    """Envoy for the HTTPRoute of a rendered chart; it runs from its first endpoints on."""
    folder.mkdir()
    route, policy = of_kind(objects, "HTTPRoute"), of_kind(objects, "BackendTrafficPolicy")
    proxy = Envoy(folder, _sticky_route(route, policy), _sticky_balancing(policy))
    try:
        yield proxy
    finally:
        proxy.stop()
