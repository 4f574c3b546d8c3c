"""What Helm says after an install: the next commands, and a warning for each insecure choice."""

from typing import Any

import pytest

from tests.chart.rendering import CHART, run, value_flags

Values = dict[str, Any]


def notes(values: Values) -> str:
    """What an install with these values would say; no cluster is asked."""
    said = run("helm4", "install", "chat", CHART, "--dry-run=client", *value_flags(values))
    return said.partition("\nNOTES:\n")[2]


def test_the_next_three_commands_are_there() -> None:
    commands = [line.split()[0] for line in notes({}).splitlines() if line.startswith("  kubectl")]
    assert commands == ["kubectl"] * 2
    assert "rollout status deployment/chat-constellation-ws" in notes({})
    assert "helm --namespace default test chat" in notes({})
    assert "port-forward service/chat-constellation-ws 7000:7000" in notes({})


def test_stickiness_is_asked_for_only_where_pods_do_not_reach_each_other() -> None:
    alone = {"peers.enabled": False}
    assert "No sticky sessions are needed" in notes({})
    assert "sticky sessions are off" not in notes({})
    assert "sticky sessions are off" in notes(alone)
    assert "sticky" not in notes({**alone, "stickiness": "haproxy"})
    assert "sticky" not in notes({**alone, "service.sessionAffinity": "ClientIP"})


SECURE: Values = {
    "image.repository": "registry.example.com/constellation-ws",
    "auth.mode": "jwt",
    "auth.existingSecret": "jwt",
    "chatAccess.mode": "claim",
    "redis.existingSecret": "redis",
    "redis.urlKey": "url",
    "config": {"CONSTELLATION_CORS_ORIGINS": "https://app.example.com"},
}
API: Values = {"chatAccess.mode": "http", "chatAccess.url": "https://api/access"}
INSECURE: list[tuple[Values, str]] = [
    ({}, "docker build -t constellation-ws:0.1.0 ."),
    ({"redis.password": "x"}, "The password of Redis"),
    ({"redis.url": "rediss://:x@redis"}, "The password of Redis"),
    ({"redis.host": "elsewhere"}, "to Redis is not encrypted"),
    ({"redis.url": "redis+sentinel://a/0/b"}, "to Redis is not encrypted"),
    ({"redis.url": "redis+cluster://a"}, "to Redis is not encrypted"),
    ({"redis.host": "redis"}, "Redis is expected at the Service"),
    ({"valkey.enabled": True}, "only for tests"),
    ({"config": {"CONSTELLATION_CORS_ORIGINS": "*"}}, "every origin"),
    ({**SECURE, "networkPolicy.enabled": False}, "The NestJS port has no authentication"),
    (
        {**SECURE, "ingress.enabled": True, "ingress.hosts": ["a"], "ingress.path": "/"},
        "/metrics is public",
    ),
    ({}, "can claim any auth.userId"),
    ({"auth.mode": "jwt", "auth.jwt.secret": "x" * 32}, "The secret of tokens"),
    ({"auth.mode": "jwt", "auth.jwt.jwksUrl": "http://issuer/keys"}, "jwksUrl is not encrypted"),
    (
        {
            "auth.mode": "jwt",
            "auth.jwt.jwksUrl": "https://issuer/keys",
            "networkPolicy.egress.enabled": True,
        },
        "does not let the pods reach auth.jwt.jwksUrl",
    ),
    ({}, "Everybody may join any chat"),
    ({**API, "chatAccess.token": "x"}, "The token for the API"),
    ({**API, "networkPolicy.egress.enabled": True}, "does not let the pods reach chatAccess.url"),
    (
        {
            **SECURE,
            "console.enabled": True,
            "console.access": "proxy",
            "metrics.port": 9090,
        },
        "The console has no key",
    ),
    ({**SECURE, "replicas": 1}, "one replica"),
    ({**SECURE, "autoscaling.type": "hpa"}, "maxConnectionAgeSeconds"),
]


@pytest.mark.parametrize(("values", "said"), INSECURE, ids=lambda one: str(one)[:40])
def test_an_insecure_choice_is_warned_of(values: Values, said: str) -> None:
    assert said in notes(values)
    assert said not in notes(SECURE)


def test_an_image_in_the_registry_of_the_release_is_not_warned_of() -> None:
    assert "docker build" not in notes({"global.imageRegistry": "registry.example.com"})


def test_the_example_presents_what_is_asked_for() -> None:
    assert "{ auth: { userId: 'u1', recovery: true } }" in notes({})
    assert "{ auth: { token, recovery: true } }" in notes(SECURE)


def test_what_is_not_chosen_is_not_warned_of() -> None:
    encrypted = notes({"redis.sentinel.nodes": ["a"], "redis.tls.enabled": True})
    assert "to Redis is not encrypted" not in encrypted
    assert "Redis is expected at" not in encrypted
