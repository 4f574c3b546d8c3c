"""What the chart learns from the cluster that it is installed in: pods that run, Secrets."""

from pathlib import Path

import pytest

from tests.chart.api_server import api_server
from tests.chart.rendering import CHART, HELMS, Object, gateway, parse, run, value_flags

SCALED: Object = {"autoscaling.type": "hpa"}


def deployment(replicas: int) -> Object:
    metadata = {
        "name": "chat-constellation-ws",
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {
            "meta.helm.sh/release-name": "chat",
            "meta.helm.sh/release-namespace": "talk",
        },
    }
    spec = {"replicas": replicas}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def holding(kind: str, name: str, text: str) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": {"key": text}}


def upgraded(
    values: Object, present: list[Object], folder: Path, helm: str = "helm4"
) -> tuple[Object, list[str]]:
    """Give the gateway's Deployment as Helm would set it in a cluster with these objects.

    And the names of what Helm has asked the cluster for.
    """
    with api_server(present, folder) as (kubeconfig, asked):
        text = run(
            helm,
            "template",
            "chat",
            CHART,
            "--namespace=talk",
            "--dry-run=server",
            "--disable-openapi-validation",
            f"--kubeconfig={kubeconfig}",
            *value_flags(values),
        )
    return gateway(parse(text))["spec"], asked


@pytest.mark.parametrize("helm", HELMS)
def test_while_pods_are_scaled_an_upgrade_repeats_their_number(helm: str, tmp_path: Path) -> None:
    spec, _ = upgraded(SCALED, [deployment(5)], tmp_path, helm)
    assert spec["replicas"] == 5


def test_a_first_install_leaves_the_number_to_the_autoscaler(tmp_path: Path) -> None:
    spec, asked = upgraded(SCALED, [], tmp_path)
    assert "chat-constellation-ws" in asked
    assert "replicas" not in spec


def test_without_an_autoscaler_the_value_counts(tmp_path: Path) -> None:
    spec, _ = upgraded({"replicas": 3}, [deployment(5)], tmp_path)
    assert spec["replicas"] == 3


READ: Object = {
    "existingSecret": "settings",
    "redis.existingSecret": "redis",
    "auth.mode": "jwt",
    "auth.existingSecret": "jwt",
    "chatAccess.mode": "http",
    "chatAccess.url": "http://api",
    "chatAccess.existingSecret": "access",
    "api.enabled": True,
    "api.existingSecret": "keys",
    "interface.configMap": "table",
}


def test_a_changed_secret_or_table_of_the_user_s_rolls_the_pods(tmp_path: Path) -> None:
    def checksum(password: str, values: Object) -> str | None:
        present = [holding("Secret", "redis", password), holding("ConfigMap", "table", "same")]
        spec, asked = upgraded(READ | values, present, tmp_path)
        names = {"settings", "redis", "jwt", "access", "keys", "table"}
        assert (names & set(asked)) == (set() if values else names)
        found: str | None = spec["template"]["metadata"]["annotations"].get("checksum/existing")
        return found

    before, after = checksum("old", {}), checksum("new", {})
    assert before
    assert after not in (None, before)
    assert checksum("new", {"rollOnSecretChange": False}) is None
