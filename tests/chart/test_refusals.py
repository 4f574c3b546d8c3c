"""A wrong value stops the rendering, and what Helm says names it."""

import re
from typing import Any

import pytest

from tests.chart.rendering import CHART, HELMS, Refused, render_values, run

REFUSED: list[tuple[dict[str, Any], str]] = [
    # What the schema knows.
    ({"nameOverride": "a b"}, "nameOverride"),
    ({"commonLabels": {"team": "a b"}}, "commonLabels"),
    ({"commonLabels": {"-team": "a"}}, "commonLabels.*-team"),
    ({"podLabels": {"team": "a" * 64}}, "podLabels"),
    ({"metrics.serviceMonitor.labels": {"release": "a/b"}}, "serviceMonitor"),
    ({"alerts.labels": {"release": "ä"}}, "alerts.labels"),
    ({"existingSecret": "My_Secret"}, "existingSecret"),
    ({"redis.existingSecret": "redis-"}, "redis.existingSecret"),
    ({"interface.configMap": "Table"}, "interface.configMap"),
    ({"tcp.tls.secret": "a..b"}, "tcp.tls.secret"),
    ({"api.keysKey": "api keys"}, "api.keysKey"),
    ({"serviceAccount.name": "Gateway"}, "serviceAccount.name"),
    ({"ingress.className": "Nginx_1"}, "ingress.className"),
    ({"ingress.hosts": ["https://ws.example.com"]}, "ingress.hosts"),
    ({"ingress.hosts": ["WS.example.com"]}, "ingress.hosts"),
    ({"httpRoute.hostnames": ["ws.example.com:443"]}, "httpRoute.hostnames"),
    ({"replica": 2}, "replica"),
    ({"replicas": "two"}, "replicas"),
    ({"image.tags": "1"}, "tags"),
    ({"image.digest": "sha256:1"}, "digest"),
    ({"image.pullPolicy": "Sometimes"}, "pullPolicy"),
    ({"config": {"CONSTELLATION_LOG_LEVLE": "debug"}}, "CONSTELLATION_LOG_LEVLE"),
    ({"config": {"CONSTELLATION_DRAIN_WINDOW_SECONDS": 5}}, "CONSTELLATION_DRAIN_WINDOW_SECONDS"),
    ({"config": {"CONSTELLATION_LOG_LEVEL": ["debug"]}}, "CONSTELLATION_LOG_LEVEL"),
    ({"secretConfig": {"JWT_SECRET": "x"}}, "JWT_SECRET"),
    ({"config": {"CONSTELLATION_AUTH_MODE": "jwt"}}, "CONSTELLATION_AUTH_MODE"),
    ({"config": {"CONSTELLATION_JWT_ISSUER": "api"}}, "CONSTELLATION_JWT_ISSUER"),
    ({"auth.mode": "none"}, "auth.mode"),
    ({"auth.jwt.algorithms": ["none"]}, "algorithms"),
    ({"auth.jwt.jwksUrl": "https://user:pass@issuer"}, "jwksUrl"),
    ({"auth.jwt.publicKey": "-----BEGIN PRIVATE KEY-----"}, "publicKey"),
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
    ({"service.ipFamilies": ["IPv5"]}, "ipFamilies"),
    ({"service.ipFamilyPolicy": "DualStack"}, "ipFamilyPolicy"),
    ({"stickiness": "ingress-nginx"}, "stickiness"),
    ({"autoscaling.type": "vpa"}, "autoscaling.type"),
    ({"podDisruptionBudget.maxUnavailable": "half"}, "maxUnavailable"),
    ({"ingress.path": "socket.io"}, "ingress.path"),
    ({"httpRoute.timeouts": {"total": "1s"}}, "total"),
    ({"metrics.serviceMonitor.interval": 30}, "interval"),
    ({"metrics.port": 70000}, "port"),
    ({"config": {"CONSTELLATION_METRICS_PORT": 9090}}, "CONSTELLATION_METRICS_PORT"),
    ({"config": {"CONSTELLATION_PEER_PORT": 9000}}, "CONSTELLATION_PEER_PORT"),
    ({"config": {"CONSTELLATION_PEER_ADDRESS": "10.0.0.1"}}, "CONSTELLATION_PEER_ADDRESS"),
    ({"peers.port": 9000}, "port"),
    ({"config": {"CONSTELLATION_API_PORT": 9000}}, "CONSTELLATION_API_PORT"),
    ({"api.port": 0}, "port"),
    ({"service.spec": {"type": "NodePort"}}, "service.spec"),
    ({"extraPodSpec": {"containers": []}}, "extraPodSpec"),
    ({"kindAnnotations": {"Deploy": {"a": "b"}}}, "kindAnnotations"),
    ({"strategy.type": "Canary"}, "strategy.type"),
    ({"global.imageRegistry": "https://mirror"}, "imageRegistry"),
    ({"autoscaling.behavior": {"up": {}}}, "behavior"),
    ({"podDisruptionBudget.unhealthyPodEvictionPolicy": "Never"}, "unhealthyPodEvictionPolicy"),
    ({"alerts.thresholds": {"lag": 1}}, "thresholds"),
    ({"alerts.thresholds": {"reconnects": -1}}, "reconnects"),
    ({"alerts.runbookBaseUrl": "wiki"}, "runbookBaseUrl"),
    ({"config": {"CONSTELLATION_REDIS_USERNAME": "a"}}, "CONSTELLATION_REDIS_USERNAME"),
    # What only the templates can know.
    ({"service.nodePort": 30000}, "service.nodePort needs service.type"),
    ({"api.enabled": True}, "api.enabled needs keys"),
    ({"api.keys": "a:b"}, "no effect without api.enabled"),
    ({"api.existingSecret": "api"}, "no effect without api.enabled"),
    (
        {"api.enabled": True, "api.keys": "a:b", "api.existingSecret": "api"},
        "api.keys must be empty",
    ),
    ({"secretConfig": {"CONSTELLATION_API_KEYS": "a:b"}}, "api.keys or api.existingSecret"),
    ({"api.port": 7757}, "api.port 7757 is in use"),
    ({"console.enabled": True}, "console.enabled needs metrics.port"),
    ({"console.enabled": True, "metrics.port": 9090}, "console.enabled needs a key"),
    ({"console.key": "k" * 16}, "no effect without console.enabled"),
    (
        {
            "console.enabled": True,
            "metrics.port": 9090,
            "console.access": "proxy",
            "console.existingSecret": "console",
        },
        "no effect without console.enabled and console.access=key",
    ),
    (
        {
            "console.enabled": True,
            "metrics.port": 9090,
            "console.key": "k" * 16,
            "console.existingSecret": "console",
        },
        "console.key must be empty",
    ),
    ({"console.key": "short"}, "key"),
    ({"secretConfig": {"CONSTELLATION_CONSOLE_KEY": "k"}}, "console.key or console.existingSecret"),
    ({"api.port": 9090, "metrics.port": 9090}, "api.port 9090 is in use"),
    ({"metrics.port": 7756}, "metrics.port 7756 is in use"),
    ({"metrics.port": 7757}, "metrics.port 7757 is in use"),
    ({"terminationGracePeriodSeconds": 39}, "terminationGracePeriodSeconds is 39.* needs 40"),
    (
        {"terminationGracePeriodSeconds": 60, "drain.windowSeconds": 60},
        "terminationGracePeriodSeconds is 60.* needs 80",
    ),
    ({"valkey.enabled": True, "redis.url": "redis://redis"}, "valkey.enabled"),
    ({"redis.usernameKey": "user"}, "keys of redis.existingSecret"),
    (
        {"redis.existingSecret": "redis", "redis.urlKey": "url", "redis.usernameKey": "user"},
        "redis.usernameKey and redis.sentinel.passwordKey must be empty",
    ),
    (
        {"redis.existingSecret": "redis", "redis.username": "a", "redis.usernameKey": "user"},
        "redis.username must be empty",
    ),
    (
        {
            "redis.existingSecret": "redis",
            "redis.sentinel.nodes": ["a"],
            "redis.sentinel.password": "x",
        },
        "use redis.sentinel.passwordKey",
    ),
    ({"redis.existingSecret": "r", "redis.sentinel.passwordKey": "x"}, "redis.sentinel.nodes"),
    ({"redis.existingSecret": "redis", "redis.password": "x"}, "redis.password"),
    ({"redis.urlKey": "url"}, "redis.existingSecret"),
    ({"redis.url": "redis://redis", "redis.sentinel.nodes": ["a"]}, "redis.sentinel.nodes"),
    ({"valkey.enabled": True, "redis.sentinel.nodes": ["a"]}, "redis.sentinel.nodes"),
    ({"redis.sentinel.password": "x"}, "redis.sentinel.nodes"),
    ({"redis.username": "gateway"}, "redis.username"),
    ({"tcp.tls.verifyClients": True}, "tcp.tls.secret"),
    ({"chatAccess.mode": "closed"}, "chatAccess.mode"),
    ({"chatAccess.url": "https://user:pass@api"}, "chatAccess.url"),
    ({"chatAccess.url": "tcp://api"}, "chatAccess.url"),
    ({"chatAccess.token": "a b"}, "token"),
    ({"chatAccess.timeoutSeconds": 0}, "timeoutSeconds"),
    ({"chatAccess.mode": "claim"}, "claim needs auth.mode jwt"),
    ({"chatAccess.mode": "http"}, "http needs the URL of the API in chatAccess.url"),
    (
        {"chatAccess.mode": "http", "chatAccess.url": "tcp://api:3001"},
        "http needs the URL of the API in chatAccess.url",
    ),
    (
        {"chatAccess.mode": "nest", "chatAccess.url": "http://api"},
        "nest needs the URL of the API in chatAccess.url",
    ),
    ({"chatAccess.token": "x"}, "are for chatAccess.mode http"),
    (
        {
            "chatAccess.mode": "http",
            "chatAccess.url": "http://api",
            "chatAccess.token": "x",
            "chatAccess.existingSecret": "mine",
        },
        "chatAccess.token must be empty",
    ),
    (
        {"secretConfig": {"CONSTELLATION_CHAT_ACCESS_TOKEN": "x"}},
        "CONSTELLATION_CHAT_ACCESS_TOKEN.*chatAccess",
    ),
    ({"config": {"CONSTELLATION_CHAT_ACCESS": "open"}}, "CONSTELLATION_CHAT_ACCESS"),
    ({"auth.mode": "jwt"}, "auth.mode jwt needs a key"),
    ({"auth.existingSecret": "jwt"}, "auth.existingSecret has no effect"),
    ({"auth.jwt.issuer": "api"}, "auth.jwt has no effect"),
    (
        {"auth.mode": "jwt", "auth.existingSecret": "jwt", "auth.jwt.secret": "x"},
        "auth.existingSecret and auth.jwt.secret are set",
    ),
    (
        {"auth.mode": "jwt", "auth.existingSecret": "jwt", "auth.jwt.cookie": "token"},
        "auth.jwt.cookie requires that config.CONSTELLATION_CORS_ORIGINS",
    ),
    ({"secretConfig": {"CONSTELLATION_JWT_SECRET": "x"}}, "CONSTELLATION_JWT_SECRET.*auth.jwt"),
    ({"extraEnv": [{"name": "REDIS_HOST", "value": "a"}]}, "extraEnv sets REDIS_HOST"),
    (
        {"interface.toml": 'extends = "default"', "interface.configMap": "mine"},
        "interface.toml must be empty",
    ),
    ({"config": {"CONSTELLATION_INTERFACE_FILE": "/x"}}, "CONSTELLATION_INTERFACE_FILE"),
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
@pytest.mark.parametrize(
    ("values", "name", "source"),
    [
        ({"nameOverride": "UPPER_case"}, "chat-UPPER_case", "nameOverride"),
        ({"nameOverride": "a.b"}, "chat-a.b", "nameOverride"),
        ({"fullnameOverride": "My-App"}, "My-App", "fullnameOverride"),
        ({"fullnameOverride": "1st"}, "1st", "fullnameOverride"),
        ({"fullnameOverride": "-a", "nameOverride": "B"}, "-a", "fullnameOverride"),
        ({"fullnameOverride": "a" * 49 + "--b"}, "a" * 49, None),
    ],
)
def test_a_name_that_kubernetes_refuses_is_refused(
    helm: str, values: dict[str, Any], name: str, source: str | None
) -> None:
    if source is None:  # what is cut off does not matter
        assert {one["metadata"]["name"] for one in render_values(values, helm)} >= {name}
        return
    with pytest.raises(Refused) as refusal:
        render_values(values, helm)
    message = str(refusal.value)
    assert f'would be named "{name}", from {source}, and Kubernetes refuses that' in message


def test_a_name_of_a_release_that_is_no_dns_label_needs_another_one() -> None:
    chart = str(CHART)
    with pytest.raises(Refused, match="from the name of the release"):
        run("helm4", "template", "my.app", chart)
    run("helm4", "template", "my.app", chart, "--set=fullnameOverride=my-app")


def test_names_and_labels_that_kubernetes_accepts_are_accepted() -> None:
    values: dict[str, Any] = {
        "fullnameOverride": "my-app-2",
        "nameOverride": "UPPER_case",  # in a label only
        "commonLabels": {"example.com/Team": "A_b.c-1", "empty": ""},
        "existingSecret": "my.secret-1",
        "api.keysKey": "API_KEYS.v1",
        "ingress.enabled": True,
        "ingress.hosts": ["*.example.com", "localhost"],
    }
    names = {one["metadata"]["name"].partition("-test")[0] for one in render_values(values)}
    assert all(name.startswith("my-app-2") for name in names)


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize(("values", "said"), REFUSED, ids=lambda one: str(one)[:60])
def test_a_wrong_value_is_refused_by_name(helm: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused) as refusal:
        render_values(values, helm)
    # Helm 3 writes a path with dots, Helm 4 with slashes.
    message = str(refusal.value).replace("/", ".")
    assert re.search(said, message), message
