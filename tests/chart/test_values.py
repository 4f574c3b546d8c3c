"""The values that charts of this kind have: each reaches the objects that it is about."""

import json
import re
from typing import Any

import pytest
import yaml

from constellation_ws.settings.settings import load
from tests.chart.rendering import (
    CASES,
    CHART,
    Object,
    container,
    environment,
    gateway,
    of_kind,
    placed,
    render,
    render_values,
)
from tests.chart.test_alerts import RULES

EVERYTHING = f"--values={CASES / 'everything-values.yaml'}"
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def images(objects: list[Object]) -> set[str]:
    return {pod["containers"][0]["image"] for pod in placed(objects)}


def test_one_registry_has_all_images_of_a_release() -> None:
    every = {"valkey.enabled": True, "global.imageRegistry": "mirror:5000/hub/"}
    assert images(render_values(every)) == {
        "mirror:5000/hub/constellation-ws:0.1.0", "mirror:5000/hub/valkey/valkey:8.1.4-alpine",
    }  # fmt: skip
    own = {"image.repository": "localhost/a/b", "image.tag": "1"}
    assert images(render_values(own)) == {"localhost/a/b:1"}
    assert images(render_values({**own, "global.imageRegistry": "m.io"})) == {"m.io/a/b:1"}


def test_each_pod_gets_what_the_gateway_s_get_to_be_admitted() -> None:
    values: Object = {
        "valkey.enabled": True,
        "global.imagePullSecrets": ["one", {"name": "two"}],
        "image.pullSecrets": [{"name": "one"}],
        "nodeSelector": {"pool": "chat"},
        "tolerations": [{"key": "chat", "operator": "Exists"}],
        "priorityClassName": "high",
        "dnsConfig": {"nameservers": ["10.0.0.2"]},
        "hostAliases": [{"ip": "10.0.0.7", "hostnames": ["redis"]}],
        "podSecurityContext.runAsUser": 4711,
    }
    pods = placed(render_values(values))
    assert len(pods) == 4
    for pod in pods:
        assert pod["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
        assert pod["securityContext"]["runAsUser"] == 4711
        for name in (
            "nodeSelector",
            "tolerations",
            "priorityClassName",
            "dnsConfig",
            "hostAliases",
        ):
            assert pod[name] == values[name]


def test_the_pods_of_the_tests_may_be_given_what_a_quota_requires() -> None:
    limits = {"cpu": "100m", "memory": "256Mi"}
    objects = render_values({"tests.resources": {"limits": limits}})
    tests = [one for one in objects if one["kind"] == "Pod"]
    assert [one["spec"]["containers"][0]["resources"]["limits"] for one in tests] == [limits] * 2


@pytest.mark.parametrize(
    ("tls", "said"),
    [({}, [False]), ({"secret": "a"}, [True]), ({"secret": "a", "verifyClients": True}, [])],
)
def test_the_nestjs_port_is_tried_as_it_is_open(tls: Object, said: list[bool]) -> None:
    values = {f"tcp.tls.{key}": value for key, value in tls.items()}
    pods = [one for one in render_values(values) if one["metadata"]["name"].endswith("-nestjs")]
    scripts = [pod["spec"]["containers"][0]["args"][0] for pod in pods]
    for script in scripts:
        compile(script, "nestjs", "exec")
    assert ["wrap_socket" in script for script in scripts] == said


def test_an_annotation_is_for_all_for_a_kind_or_for_one() -> None:
    objects = render("helm4", EVERYTHING)
    for one in (one for one in objects if one["metadata"]["name"] != "extra-object"):
        said = one["metadata"]["annotations"]
        expected = "services" if one["kind"] == "Service" else "everything"
        assert said["example.com/of"] == expected, one["metadata"]["name"]
    budget = of_kind(objects, "PodDisruptionBudget")
    assert budget["metadata"]["annotations"]["example.com/name"] == "budget"
    reloads = "reloader.stakater.com/auto"
    assert [
        one["kind"] for one in objects if reloads in one["metadata"].get("annotations", {})
    ] == ["Deployment"]
    pod = gateway(objects)["spec"]["template"]["metadata"]["annotations"]
    assert "example.com/of" not in pod, "it would make clients reconnect"
    hooks = [one["metadata"]["annotations"] for one in objects if one["kind"] == "Pod"]
    assert {one["helm.sh/hook"] for one in hooks} == {"test"}
    own = {"service.annotations": {"a": "own"}, "kindAnnotations": {"Service": {"a": "kind"}}}
    service = of_kind(render_values(own), "Service", "constellation-ws")
    assert service["metadata"]["annotations"] == {"a": "own"}


def test_a_service_and_its_pods_have_further_fields_and_ports() -> None:
    objects = render("helm4", EVERYTHING)
    service = of_kind(objects, "Service", "every-constellation-ws")["spec"]
    assert service["externalTrafficPolicy"] == "Local"
    assert service["loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    assert service["ports"][0]["nodePort"] == 30080
    assert service["ports"][1] == {"name": "agent", "port": 9999, "targetPort": "agent"}
    assert {"name": "agent", "containerPort": 9999} in container(objects)["ports"]
    assert {"ports": [{"port": "agent"}]} in of_kind(objects, "NetworkPolicy")["spec"]["ingress"]
    spec = gateway(objects)["spec"]["template"]["spec"]
    assert spec["runtimeClassName"] == "gvisor"


def test_how_pods_are_replaced_can_be_chosen() -> None:
    rolling = gateway(render("helm4", EVERYTHING))["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": "50%", "maxUnavailable": 0}
    recreated = gateway(render_values({"strategy.type": "Recreate"}))["spec"]["strategy"]
    assert recreated == {"type": "Recreate"}


def test_an_autoscaler_s_behavior_is_the_chart_s_where_nothing_else_is_said() -> None:
    scaler = of_kind(render("helm4", EVERYTHING), "ScaledObject")["spec"]["advanced"]
    behavior = scaler["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleUp"]["policies"] == [{"type": "Pods", "value": 4, "periodSeconds": 30}]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 600


@pytest.mark.parametrize(
    ("cpu", "percent", "target"),
    [("250m", 240, 240), ("1", 240, 80), (0.5, 240, 160), ("1", 70, 70), ("100m", 70, 70)],
)
def test_an_autoscaler_s_target_can_be_reached_by_one_process(
    cpu: str | float, percent: int, target: int
) -> None:
    values = {"autoscaling.type": "hpa", "autoscaling.targetCpuPercent": percent}
    objects = render_values({**values, "resources": {"requests": {"cpu": cpu}}})
    (metric,) = of_kind(objects, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["resource"]["target"]["averageUtilization"] == target


def test_the_target_of_the_defaults_is_what_the_documentation_says() -> None:
    millicores = int(DEFAULTS["resources"]["requests"]["cpu"].removesuffix("m"))
    assert millicores * DEFAULTS["autoscaling"]["targetCpuPercent"] / 100 == 600


def test_monitors_relabel() -> None:
    (endpoint,) = of_kind(render("helm4", EVERYTHING), "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["relabelings"][0]["targetLabel"] == "node"
    assert endpoint["metricRelabelings"][0]["action"] == "drop"
    lists = {"relabelings": [{"action": "drop"}], "metricRelabelings": [{"action": "keep"}]}
    values = {f"metrics.serviceMonitor.{key}": value for key, value in lists.items()}
    objects = render_values({"metrics.serviceMonitor.enabled": True, **values})
    (endpoint,) = of_kind(objects, "ServiceMonitor")["spec"]["endpoints"]
    assert lists.items() <= endpoint.items()


def test_dashboards_have_a_folder_and_a_route_has_filters() -> None:
    objects = render("helm4", EVERYTHING)
    dashboards = of_kind(objects, "ConfigMap", "-dashboards")["metadata"]
    assert dashboards["annotations"]["grafana_folder"] == "Chat"
    (rule,) = of_kind(objects, "HTTPRoute")["spec"]["rules"]
    assert [one["type"] for one in rule["filters"]] == ["ResponseHeaderModifier"]
    budget = of_kind(objects, "PodDisruptionBudget")["spec"]
    assert budget["unhealthyPodEvictionPolicy"] == "IfHealthyBudget"


def rules(objects: list[Object]) -> dict[str, Object]:
    (group,) = of_kind(objects, "PrometheusRule")["spec"]["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def test_alerts_have_labels_thresholds_and_runbooks_of_the_user_s() -> None:
    found = rules(render("helm4", EVERYTHING))
    for name, rule in found.items():
        assert rule["labels"] == {**RULES[name]["labels"], "team": "chat"}
        runbook = f"https://wiki.example.com/alerts/{name.lower()}"
        assert rule["annotations"]["runbook_url"] == runbook
    assert "> 3.25 # logLagSeconds" in found["ConstellationNotDelivering"]["expr"]


def test_each_threshold_is_a_number_of_one_alert() -> None:
    defaults = DEFAULTS["alerts"]["thresholds"]
    pattern = re.compile(r"([\d.]+) # (\w+)$", re.M)
    written = [found for rule in RULES.values() for found in pattern.findall(rule["expr"])]
    assert {name: float(number) for number, name in written} == defaults
    assert len(written) == len(defaults)
    values = {f"alerts.thresholds.{name}": 7.5 for name in defaults}
    changed = rules(render_values({"alerts.enabled": True, **values}))
    found = [one for rule in changed.values() for one in pattern.findall(rule["expr"])]
    assert found == [("7.5", name) for _, name in written]


USER, PASSWORD = "CONSTELLATION_REDIS_USERNAME", "CONSTELLATION_REDIS_URL_PASSWORD"
SENTINEL = "CONSTELLATION_REDIS_SENTINEL_PASSWORD"
KEYS: list[tuple[Object, dict[str, str], str]] = [
    (
        {"usernameKey": "user"},
        {USER: "user", "REDIS_PASSWORD": "redis-password"},
        "redis://%40:%40@redis:6379/0",
    ),
    (
        {"usernameKey": "user", "passwordKey": "pass", "tls.enabled": True, "host": "fd00::7"},
        {USER: "user", PASSWORD: "pass"},
        "rediss://%40:%40@[fd00::7]:6379/0",
    ),
    (
        {"sentinel.nodes": ["a", "b:1"], "sentinel.passwordKey": "s", "tls.enabled": True},
        {SENTINEL: "s", PASSWORD: "redis-password"},
        "rediss+sentinel://:%40@a,b:1/0/mymaster?sentinel_password=%40",
    ),
]


@pytest.mark.parametrize(("values", "keys", "address"), KEYS)
def test_user_and_passwords_of_redis_come_from_keys_of_a_secret_as_they_are(
    values: Object, keys: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {f"redis.{key}": value for key, value in values.items()}
    objects = render_values({"redis.existingSecret": "mine", **given})

    told = environment(objects)
    found = {name: one for name, one in told.items() if isinstance(one, dict) and "REDIS" in name}
    assert found == {
        name: {"secretKeyRef": {"name": "mine", "key": key}} for name, key in keys.items()
    }
    assert [one for one in objects if one["kind"] == "Secret"] == []
    for name in (name for name in told if "REDIS" in name):
        monkeypatch.setenv(name, "@" if name in found else told[name])
    assert load().redis.address() == address


def test_the_first_probe_leaves_python_time_to_start() -> None:
    probe = container(render())["startupProbe"]
    assert probe["initialDelaySeconds"] == 5
    assert json.dumps(probe["httpGet"]) == '{"path": "/livez", "port": "http"}'
