"""A wrong value stops the rendering, and what Helm says names it."""

import re
from typing import Any

import pytest

from tests.chart.rendering import HELMS, Refused, render_values

REFUSED: list[tuple[dict[str, Any], str]] = [
    # What the schema knows.
    ({"replica": 2}, "replica"),
    ({"replicas": "two"}, "replicas"),
    ({"image.tags": "1"}, "tags"),
    ({"image.digest": "sha256:1"}, "digest"),
    ({"image.pullPolicy": "Sometimes"}, "pullPolicy"),
    ({"config": {"CONSTELLATION_LOG_LEVLE": "debug"}}, "CONSTELLATION_LOG_LEVLE"),
    ({"config": {"CONSTELLATION_DRAIN_WINDOW_SECONDS": 5}}, "CONSTELLATION_DRAIN_WINDOW_SECONDS"),
    ({"config": {"CONSTELLATION_LOG_LEVEL": ["debug"]}}, "CONSTELLATION_LOG_LEVEL"),
    ({"secretConfig": {"JWT_SECRET": "x"}}, "JWT_SECRET"),
    ({"redis.host": "redis:6379"}, "redis.host"),
    ({"redis.port": 70000}, "redis.port"),
    ({"redis.url": "http://redis"}, "redis.url"),
    ({"redis.sentinel": True}, "sentinel"),
    ({"redis.sentinel.nodes": ["redis://a"]}, "redis.sentinel.nodes"),
    ({"redis.sentinel.primary": "my/master"}, "redis.sentinel.primary"),
    ({"drain.windowSeconds": -1}, "windowSeconds"),
    ({"drain.preStopSeconds": 1.5}, "preStopSeconds"),
    ({"maxConnectionAgeSeconds": 5}, "maxConnectionAgeSeconds"),
    ({"service.type": "External"}, "service.type"),
    ({"stickiness": "ingress-nginx"}, "stickiness"),
    ({"autoscaling.type": "vpa"}, "autoscaling.type"),
    ({"podDisruptionBudget.maxUnavailable": "half"}, "maxUnavailable"),
    ({"ingress.path": "socket.io"}, "ingress.path"),
    ({"httpRoute.timeouts": {"total": "1s"}}, "total"),
    ({"metrics.serviceMonitor.interval": 30}, "interval"),
    ({"metrics.port": 70000}, "port"),
    ({"config": {"CONSTELLATION_METRICS_PORT": 9090}}, "CONSTELLATION_METRICS_PORT"),
    # What only the templates can know.
    ({"metrics.port": 7756}, "metrics.port 7756 is taken"),
    ({"terminationGracePeriodSeconds": 39}, "terminationGracePeriodSeconds is 39.* needs 40"),
    (
        {"terminationGracePeriodSeconds": 60, "drain.windowSeconds": 60},
        "terminationGracePeriodSeconds is 60.* needs 80",
    ),
    ({"valkey.enabled": True, "redis.url": "redis://redis"}, "valkey.enabled"),
    ({"redis.existingSecret": "redis", "redis.tls.enabled": True}, "redis.urlKey"),
    ({"redis.existingSecret": "redis", "redis.password": "x"}, "redis.password"),
    ({"redis.urlKey": "url"}, "redis.existingSecret"),
    ({"redis.existingSecret": "redis", "redis.sentinel.nodes": ["a"]}, "redis.urlKey"),
    ({"redis.url": "redis://redis", "redis.sentinel.nodes": ["a"]}, "redis.sentinel.nodes"),
    ({"valkey.enabled": True, "redis.sentinel.nodes": ["a"]}, "redis.sentinel.nodes"),
    ({"redis.sentinel.password": "x"}, "redis.sentinel.nodes"),
    (
        {"redis.sentinel.nodes": ["a"], "redis.tls.enabled": True, "redis.tls.caSecret": "ca"},
        "redis.tls.caSecret.*SSL_CERT_FILE",
    ),
    ({"redis.username": "gateway"}, "redis.username"),
    ({"tcp.tls.verifyClients": True}, "tcp.tls.secret"),
    ({"extraEnv": [{"name": "REDIS_HOST", "value": "a"}]}, "extraEnv sets REDIS_HOST"),
    ({"ingress.enabled": True}, "ingress.hosts"),
    ({"httpRoute.enabled": True}, "httpRoute.parentRefs"),
    ({"stickiness": "envoy-gateway"}, "httpRoute.enabled"),
    ({"podDisruptionBudget.minAvailable": 1}, "exactly one of maxUnavailable and minAvailable"),
    ({"autoscaling.type": "hpa", "autoscaling.targetCpuPercent": None}, "targetCpuPercent"),
    ({"autoscaling.type": "hpa", "autoscaling.minReplicas": 11}, "minReplicas"),
    ({"autoscaling.type": "keda", "autoscaling.targetConnections": 5}, "prometheusAddress"),
    (
        {"metrics.serviceMonitor.enabled": True, "metrics.podMonitor.enabled": True},
        "metrics.podMonitor",
    ),
]


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize(("values", "said"), REFUSED, ids=lambda one: str(one)[:60])
def test_a_wrong_value_is_refused_by_name(helm: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused) as refusal:
        render_values(values, helm)
    # Helm 3 writes a path with dots, Helm 4 with slashes.
    message = str(refusal.value).replace("/", ".")
    assert re.search(said, message), message
