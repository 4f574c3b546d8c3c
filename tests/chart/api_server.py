"""As much of a Kubernetes API server as `lookup` of a chart needs: versions, kinds, objects."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.chart.rendering import Object

_HOST = "127.0.0.1"
_KINDS = {
    "v1": {
        "ConfigMap": "configmaps",
        "Pod": "pods",
        "Secret": "secrets",
        "Service": "services",
        "ServiceAccount": "serviceaccounts",
    },
    "apps/v1": {"Deployment": "deployments"},
    "autoscaling/v2": {"HorizontalPodAutoscaler": "horizontalpodautoscalers"},
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
    "policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
}
"""What the chart makes by default or asks for: Helm 4 wants to know all of it."""


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _group(name: str, version: str) -> Object:
    only = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [only], "preferredVersion": only}


def _answers(objects: list[Object]) -> dict[str, Object]:
    """Give what is answered to each path."""
    groups = [version.split("/") for version in _KINDS if "/" in version]
    answers: dict[str, Object] = {
        "/version": {"major": "1", "minor": "31", "gitVersion": "v1.31.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "groups": [_group(*names) for names in groups]},
    }
    for version, kinds in _KINDS.items():
        resources = [
            {"name": name, "namespaced": True, "kind": kind, "verbs": ["get"]}
            for kind, name in kinds.items()
        ]
        answers[_root(version)] = {
            "kind": "APIResourceList",
            "groupVersion": version,
            "resources": resources,
        }
    for one in objects:
        root, plural = _root(one["apiVersion"]), _KINDS[one["apiVersion"]][one["kind"]]
        name = one["metadata"]["name"]
        answers[f"{root}/namespaces/talk/{plural}/{name}"] = one
    return answers


@contextmanager
def api_server(objects: list[Object], folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Serve objects of the namespace `talk`; gives a kubeconfig in that folder and what was got."""
    answers = _answers(objects)
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            got.append(path.rpartition("/")[2])
            missing = {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
            body = json.dumps(answers.get(path, missing)).encode()
            self.send_response(200 if path in answers else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer((_HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        named = {"name": "here", "context": {"cluster": "here", "user": "me"}}
        url = f"http://{_HOST}:{server.server_address[1]}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [named],
            "clusters": [{"name": "here", "cluster": {"server": url}}],
            "users": [{"name": "me", "user": {}}],
        }
        file = folder / "kubeconfig"
        file.write_text(json.dumps(config), encoding="utf-8")
        try:
            yield file, got
        finally:
            server.shutdown()
            thread.join()
