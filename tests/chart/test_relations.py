"""What must fit together does: ports, selectors, probe paths, the drain, secrets, metric names."""

import re
from pathlib import Path
from typing import Any

import pytest

from constellation_ws.interface import table
from constellation_ws.observability.probes import Health, create_app
from constellation_ws.process.lifecycle import DEADLINE_MARGIN_SECONDS
from constellation_ws.redis_io.address import SentinelAddress, read_sentinel
from constellation_ws.settings.settings import Settings, fields, load
from tests.certificates import Authority
from tests.chart.rendering import (
    CASES,
    CHART,
    ROOT,
    Object,
    cases,
    container,
    environment,
    gateway,
    of_kind,
    parse,
    render,
    render_values,
    run,
)
from tools.reference.metrics import made_gateway

CASE = pytest.mark.parametrize("case", list(cases()), ids=lambda path: path.stem)
EVERYTHING = f"--values={CASES / 'everything-values.yaml'}"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
PRODUCTION = f"--values={CASES / 'production-values.yaml'}"


def pod_labels(objects: list[Object]) -> list[dict[str, str]]:
    """The labels of each kind of pod: the gateway's, Valkey's, the tests'."""
    deployed = [one["spec"]["template"] for one in objects if one["kind"] == "Deployment"]
    pods = deployed + [one for one in objects if one["kind"] == "Pod"]
    return [one["metadata"]["labels"] for one in pods]


def selected(selector: dict[str, str], objects: list[Object]) -> list[dict[str, str]]:
    return [labels for labels in pod_labels(objects) if selector.items() <= labels.items()]


def selectors(objects: list[Object]) -> list[dict[str, str]]:
    """Every selector that should find exactly one kind of pod."""
    found = []
    for one in objects:
        spec = one.get("spec", {})
        match one["kind"]:
            case "Service":
                found.append(spec["selector"])
            case "Deployment" | "PodDisruptionBudget" | "PodMonitor":
                found.append(spec["selector"]["matchLabels"])
            case "NetworkPolicy":
                found.append(spec["podSelector"]["matchLabels"])
    return found


@CASE
def test_each_selector_finds_one_kind_of_pod(case: Path) -> None:
    objects = render("helm4", f"--values={case}")
    for selector in selectors(objects):
        assert len(selected(selector, objects)) == 1, selector


@CASE
def test_each_service_leads_to_a_port_that_its_pods_have(case: Path) -> None:
    objects = render("helm4", f"--values={case}")
    for service in (one for one in objects if one["kind"] == "Service"):
        (deployment,) = (
            one
            for one in objects
            if one["kind"] == "Deployment"
            and service["spec"]["selector"].items()
            <= one["spec"]["template"]["metadata"]["labels"].items()
        )
        pod = deployment["spec"]["template"]["spec"]
        ports = {port["name"] for port in pod["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_the_container_ports_are_those_the_gateway_is_told_to_listen_on() -> None:
    objects = render()
    ports = {port["name"]: str(port["containerPort"]) for port in container(objects)["ports"]}
    told = environment(objects)
    variables = {
        "http": "WS_PORT",
        "tcp": "TCP_PORT",
        "peer": "CONSTELLATION_PEER_PORT",
    }
    assert ports == {port: told[name] for port, name in variables.items()}
    settings = dict(fields())
    assert ports == {port: str(settings[name].default) for port, name in variables.items()}


def test_the_monitors_find_the_service_of_the_metrics_and_not_the_other_one() -> None:
    objects = render("helm4", PRODUCTION)
    wanted = of_kind(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    found = [
        one
        for one in objects
        if one["kind"] == "Service" and wanted <= one["metadata"]["labels"].items()
    ]
    assert [one["metadata"]["name"] for one in found] == ["chat-constellation-ws"]
    assert found[0]["spec"]["ports"][0]["name"] == "http"


def test_the_probes_and_the_monitors_ask_paths_that_the_gateway_answers() -> None:
    app = create_app(Health(), made_gateway().metrics.registry)
    paths = {getattr(route, "path", "") for route in app.routes}
    pod = container(render())
    asked = {kind: pod[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness")}
    assert asked == {"startup": "/livez", "liveness": "/livez"}
    assert pod["readinessProbe"]["httpGet"]["path"] == "/readyz"
    monitors = [
        of_kind(render("helm4", PRODUCTION), "ServiceMonitor")["spec"]["endpoints"],
        of_kind(render("helm4", EVERYTHING), "PodMonitor")["spec"]["podMetricsEndpoints"],
    ]
    assert {one["path"] for (one,) in monitors} == {"/metrics"}
    assert {"/livez", "/readyz", "/metrics"} <= paths


@CASE
def test_the_grace_period_is_enough_for_the_whole_drain(case: Path) -> None:
    objects = render("helm4", f"--values={case}")
    pod = gateway(objects)["spec"]["template"]["spec"]
    told = environment(objects)
    hooks = container(objects).get("lifecycle", {"preStop": {"sleep": {"seconds": 0}}})
    hook = hooks["preStop"]["sleep"]["seconds"]
    delay = float(told["CONSTELLATION_DRAIN_DELAY_SECONDS"])
    window = float(told["CONSTELLATION_DRAIN_WINDOW_SECONDS"])
    # Beyond its own deadline the process takes up to 4 s to close its doors.
    needed = hook + delay + window + DEADLINE_MARGIN_SECONDS + 4
    assert pod["terminationGracePeriodSeconds"] >= needed


def test_a_grace_period_that_is_long_enough_is_kept() -> None:
    objects = render_values({"terminationGracePeriodSeconds": 300})
    assert gateway(objects)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 300


def test_without_a_prestop_there_is_no_hook() -> None:
    objects = render_values({"drain.preStopSeconds": 0, "drain.delaySeconds": 5})
    assert "lifecycle" not in container(objects)
    assert gateway(objects)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 40


def read_as_a_pod(
    variables: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Read settings as a pod would, in which the certificate of a private CA is mounted."""
    mounted = str(Authority(folder).cert_file)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("/etc/redis-ca/ca.crt", mounted))
    return load()


@CASE
def test_every_variable_is_a_setting_of_the_gateway_and_can_be_read(
    case: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = {name for name, _ in fields()}
    objects = render("helm4", f"--values={case}")
    kept = [one["stringData"] for one in objects if one["kind"] == "Secret"]
    told = environment(objects) | (kept[0] if kept else {})
    own = {name: value for name, value in told.items() if not name.startswith("OTEL_")}
    assert own.keys() <= known
    held = {
        "CONSTELLATION_JWT_SECRET": "what a Secret of the user's own holds",
        "CONSTELLATION_API_KEYS": "billing:a-key-of-the-user-s-own",
    }
    own |= {name: held[name] for name in held if isinstance(own.get(name), dict)}
    texts = {name: value for name, value in own.items() if isinstance(value, str)}
    without_files = {name: one for name, one in texts.items() if not name.endswith("_FILE")}
    read_as_a_pod(without_files, tmp_path, monkeypatch)


def test_numbers_reach_the_gateway_as_people_write_them() -> None:
    told = environment(
        render_values(
            {
                "config": {
                    "CONSTELLATION_LOG_MAX_ENTRIES": 1000000,
                    "CONSTELLATION_LOG_LEVEL": "info",
                }
            }
        )
    )
    assert told["CONSTELLATION_LOG_MAX_ENTRIES"] == "1000000"


def test_while_an_autoscaler_owns_the_number_of_pods_the_deployment_does_not_say_it() -> None:
    assert "replicas" not in gateway(render("helm4", PRODUCTION))["spec"]
    assert "replicas" not in gateway(render("helm4", EVERYTHING))["spec"]
    assert gateway(render())["spec"]["replicas"] == 2
    for case, kind in ((PRODUCTION, "HorizontalPodAutoscaler"), (EVERYTHING, "ScaledObject")):
        objects = render("helm4", case)
        target = of_kind(objects, kind)["spec"]["scaleTargetRef"]
        assert target["name"] == gateway(objects)["metadata"]["name"]


def test_the_autoscalers_ask_for_metrics_that_the_gateway_has() -> None:
    by_pod = of_kind(render("helm4", PRODUCTION), "HorizontalPodAutoscaler")["spec"]["metrics"]
    asked = [one["pods"]["metric"]["name"] for one in by_pod if one["type"] == "Pods"]
    triggers = of_kind(render("helm4", EVERYTHING), "ScaledObject")["spec"]["triggers"]
    queries = [one["metadata"]["query"] for one in triggers if one["type"] == "prometheus"]
    asked += [name for query in queries for name in re.findall(r"constellation_\w+", query)]
    assert asked == ["constellation_sockets"] * 2
    # Its public views read every gauge, and one of them needs a running loop.
    assert set(asked) <= made_gateway().metrics.registry._names_to_collectors.keys()


REDIS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"redis.url": "rediss://u:p%40@r/1"}, {"REDIS_URL": "rediss://u:p%40@r/1"}),
    ({"redis.password": "p@ss"}, {"REDIS_PASSWORD": "p@ss"}),
    (
        {"redis.password": "p@ s+", "redis.username": "g", "redis.db": 2},
        {"REDIS_URL": "redis://g:p%40%20s%2B@redis:6379/2"},
    ),
    ({"redis.tls.enabled": True}, {"REDIS_URL": "rediss://redis:6379/0"}),
    (
        {"redis.tls.enabled": True, "redis.tls.caSecret": "ca", "redis.password": "x"},
        {"REDIS_URL": "rediss://:x@redis:6379/0?ssl_ca_certs=/etc/redis-ca/ca.crt"},
    ),
    (
        {
            "redis.sentinel.nodes": ["a"],
            "redis.sentinel.password": "s",
            "redis.tls.enabled": True,
            "redis.tls.caSecret": "ca",
        },
        {
            "REDIS_URL": "rediss+sentinel://a/0/mymaster?sentinel_password=s"
            "&ssl_ca_certs=/etc/redis-ca/ca.crt"
        },
    ),
    (
        {"redis.sentinel.nodes": ["a", "b:26380"]},
        {"REDIS_URL": "redis+sentinel://a,b:26380/0/mymaster"},
    ),
    (
        {"redis.url": "redis+sentinel://:p%40@a,b/1/chat"},
        {"REDIS_URL": "redis+sentinel://:p%40@a,b/1/chat"},
    ),
    (
        {"redis.url": "redis+cluster://:p%40@a:7000,b"},
        {"REDIS_URL": "redis+cluster://:p%40@a:7000,b"},
    ),
]


@pytest.mark.parametrize(("values", "secret"), REDIS)
def test_secrets_of_redis_are_in_the_secret_and_nowhere_else(
    values: dict[str, Any],
    secret: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    objects = render_values(values)
    assert of_kind(objects, "Secret")["stringData"] == secret
    assert "p@" not in str(gateway(objects))
    assert "p%40" not in str(gateway(objects))
    (source,) = container(objects)["envFrom"]
    assert source["secretRef"]["name"] == of_kind(objects, "Secret")["metadata"]["name"]
    read_as_a_pod(secret, tmp_path, monkeypatch)


def test_the_gateway_reads_of_the_sentinels_what_the_values_say() -> None:
    objects = render("helm4", f"--values={CASES / 'sentinel-values.yaml'}")

    found = read_sentinel(of_kind(objects, "Secret")["stringData"]["REDIS_URL"])

    assert found == SentinelAddress(
        nodes=(("sentinel-0.redis", 26379), ("sentinel-1.redis", 26380), ("fd00::2", 26380)),
        service="chat",
        options={"db": 1, "username": "gateway", "password": "p@ss word/+%"},
        password="s@nt/",
        tls={},
    )


def test_the_pods_may_reach_redis_and_the_sentinels() -> None:
    policy = of_kind(render("helm4", f"--values={CASES / 'sentinel-values.yaml'}"), "NetworkPolicy")
    _, redis, _ = policy["spec"]["egress"]
    assert [one["port"] for one in redis["ports"]] == [6379, 26379, 26380]


def test_a_secret_of_the_operator_is_referred_to_and_none_is_made() -> None:
    objects = render_values({"redis.existingSecret": "mine"})
    expected = {"secretKeyRef": {"name": "mine", "key": "redis-password"}}
    assert environment(objects)["REDIS_PASSWORD"] == expected
    objects = render_values({"redis.existingSecret": "mine", "redis.urlKey": "url"})
    assert environment(objects)["REDIS_URL"] == {"secretKeyRef": {"name": "mine", "key": "url"}}
    assert "REDIS_HOST" not in environment(objects)
    assert [one for one in objects if one["kind"] == "Secret"] == []


def test_a_changed_secret_or_table_rolls_the_pods_and_a_new_chart_alone_does_not() -> None:
    def annotations(values: Object) -> dict[str, str]:
        found: dict[str, str] = gateway(render_values(values))["spec"]["template"]["metadata"][
            "annotations"
        ]
        return found

    assert annotations({"redis.password": "x"}) != annotations({"redis.password": "y"})
    assert annotations({"routes": "a"}) != annotations({"routes": "b"})
    assert annotations({"interface.toml": "a"}) != annotations({"interface.toml": "b"})
    template = gateway(render())["spec"]["template"]
    assert "helm.sh/chart" not in template["metadata"]["labels"]


def mounted(objects: list[Object], variable: str) -> tuple[str, str]:
    """Give the ConfigMap and the key in it of the file that a variable names."""
    path = Path(environment(objects)[variable])
    mounts = {one["mountPath"]: one["name"] for one in container(objects)["volumeMounts"]}
    volumes = gateway(objects)["spec"]["template"]["spec"]["volumes"]
    (volume,) = (one for one in volumes if one["name"] == mounts[str(path.parent)])
    return volume["configMap"]["name"], path.name


def test_the_tables_are_mounted_where_the_gateway_looks(tmp_path: Path) -> None:
    objects = render("helm4", EVERYTHING)
    files = []
    for kind in ("interface", "routes"):
        name, key = mounted(objects, f"CONSTELLATION_{kind.upper()}_FILE")
        files.append(tmp_path / key)
        files[-1].write_text(of_kind(objects, "ConfigMap", f"-{kind}")["data"][key])
        assert name == of_kind(objects, "ConfigMap", f"-{kind}")["metadata"]["name"]
    found = table.load(*files)
    assert [row.name for row in found.namespaces] == ["/chats", "/orders"]
    assert found.routes[-1].channel == "like:new"


def test_an_interface_of_the_operator_is_mounted_and_none_is_made() -> None:
    objects = render_values({"interface.configMap": "mine", "interface.key": "orders.toml"})
    assert mounted(objects, "CONSTELLATION_INTERFACE_FILE") == ("mine", "orders.toml")
    made = [one["metadata"]["name"] for one in objects if one["kind"] == "ConfigMap"]
    assert not [name for name in made if name.endswith("-interface")]
    assert "CONSTELLATION_INTERFACE_FILE" not in environment(render())


@CASE
def test_every_pod_of_the_chart_satisfies_the_restricted_standard(case: Path) -> None:
    objects = render("helm4", f"--values={case}")
    pods = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"]
    pods += [one["spec"] for one in objects if one["kind"] == "Pod"]
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        security = pod["containers"][0]["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        # In development sources are copied into it.
        assert security["readOnlyRootFilesystem"] or case.stem == "dev"
        assert security["capabilities"] == {"drop": ["ALL"]}


def test_pods_spread_over_nodes_whether_or_not_these_name_a_zone() -> None:
    pod = gateway(render())["spec"]["template"]
    labels = pod["metadata"]["labels"].items()

    # One key that some nodes lack keeps those out of the spreading by all keys.
    (constraint,) = pod["spec"]["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "kubernetes.io/hostname"
    assert constraint["labelSelector"]["matchLabels"].items() <= labels
    (preferred,) = pod["spec"]["affinity"]["podAntiAffinity"][PREFERRED]
    assert preferred["podAffinityTerm"]["topologyKey"] == "topology.kubernetes.io/zone"
    assert preferred["podAffinityTerm"]["labelSelector"]["matchLabels"].items() <= labels


def test_an_affinity_of_the_user_s_keeps_the_zones_unless_it_says_otherwise() -> None:
    def affinity(values: Object) -> Object:
        found: Object = gateway(render_values(values))["spec"]["template"]["spec"]["affinity"]
        return found

    other: Object = {"nodeAffinity": {PREFERRED: []}}
    default = affinity({})
    assert affinity({"affinity": other}) == default | other
    own: Object = {"podAntiAffinity": {}}
    assert affinity({"affinity": own}) == own
    assert affinity({"affinity": None}) == default


def test_every_service_has_the_ip_families_that_the_values_say() -> None:
    families = {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]}
    others = {"metrics.port": 9090, "valkey.enabled": True}
    said = {f"service.{key}": value for key, value in families.items()}
    services = [one for one in render_values(said | others) if one["kind"] == "Service"]

    assert len(services) == 4
    assert all(families.items() <= one["spec"].items() for one in services)
    (http, *_) = (one for one in render() if one["kind"] == "Service")
    assert not families.keys() & http["spec"].keys(), "the cluster's own"


def test_the_host_that_the_page_gives_nestjs_is_a_service_of_the_release_that_is_installed() -> (
    None
):
    installing = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "nestjs.md").read_text(encoding="utf-8")
    (release,) = re.findall(r"^helm install (\S+) helm/constellation-ws", installing, re.MULTILINE)
    (host,) = re.findall(r"Transport\.TCP, options: \{ host: '([^']+)'", page)

    objects = parse(run("helm4", "template", release, CHART))
    assert of_kind(objects, "Service", "-tcp")["metadata"]["name"] == host


def test_a_rolling_update_never_has_fewer_pods_than_wanted() -> None:
    rolling = gateway(render())["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 1, "maxUnavailable": 0}


def test_the_nestjs_port_is_for_the_namespace_and_can_be_switched_off() -> None:
    ingress = of_kind(render(), "NetworkPolicy")["spec"]["ingress"]
    rules = {rule["ports"][0]["port"]: rule.get("from") for rule in ingress}
    assert rules["http"] is None
    assert rules["tcp"][0] == {"podSelector": {}}
    off = render_values({"tcp.enabled": False})
    assert [one["metadata"]["name"] for one in off if one["kind"] == "Service"] == [
        "chat-constellation-ws"
    ]
    assert environment(off)["TCP_HOST"] == "127.0.0.1"


@CASE
def test_only_the_release_s_gateways_reach_the_peer_port(case: Path) -> None:
    objects = render("helm4", f"--values={case}")
    labels = gateway(objects)["spec"]["template"]["metadata"]["labels"]
    for policy in (one["spec"] for one in objects if one["kind"] == "NetworkPolicy"):
        rules = [one for one in policy["ingress"] if one["ports"] == [{"port": "peer"}]]
        out = [one for one in policy.get("egress", []) if one["ports"] == [{"port": 7757}]]
        if not policy["podSelector"]["matchLabels"].items() <= labels.items():
            assert rules == out == [], "Valkey's"
            continue
        peers = {"podSelector": policy["podSelector"]}
        assert selected(policy["podSelector"]["matchLabels"], objects) == [labels]
        assert [one["from"] for one in rules] == [[peers]]
        assert [one["to"] for one in out] == [[peers]] * ("Egress" in policy["policyTypes"])


@CASE
def test_no_service_leads_to_the_peer_port(case: Path) -> None:
    objects = render("helm4", f"--values={case}")
    (peer,) = (one for one in container(objects)["ports"] if one["name"] == "peer")
    assert peer == {"name": "peer", "containerPort": 7757}, "nor a port of the node"
    targets = [
        target
        for service in objects
        if service["kind"] == "Service"
        for target in service["spec"]["ports"]
    ]
    assert {"peer", 7757}.isdisjoint(
        value for target in targets for value in (target["port"], target["targetPort"])
    )


def test_a_pod_is_registered_under_its_own_address() -> None:
    told = environment(render())
    assert told["CONSTELLATION_PEER_PORT"] == "7757"
    assert told["CONSTELLATION_PEER_ADDRESS"] == {"fieldRef": {"fieldPath": "status.podIP"}}


def test_without_peers_there_is_no_port_for_them() -> None:
    objects = render_values({"peers.enabled": False, "networkPolicy.egress.enabled": True})
    told = environment(objects)
    assert told["CONSTELLATION_PEER_PORT"] == "off"
    assert "CONSTELLATION_PEER_ADDRESS" not in told
    assert [port["name"] for port in container(objects)["ports"]] == ["http", "tcp"]
    policy = str(of_kind(objects, "NetworkPolicy"))
    assert "peer" not in policy
    assert "7757" not in policy


def test_the_nestjs_port_gets_the_certificate_of_its_secret() -> None:
    secret = {"tcp.tls.secret": "gateway-tls"}
    told = environment(render_values(secret))
    assert told["TCP_HOST"] == "::"
    assert told["CONSTELLATION_TCP_TLS_CERT_FILE"] == "/etc/tcp-tls/tls.crt"
    assert "CONSTELLATION_TCP_TLS_CLIENT_CA_FILE" not in told
    mutual = render_values({**secret, "tcp.tls.verifyClients": True})
    assert environment(mutual)["CONSTELLATION_TCP_TLS_CLIENT_CA_FILE"] == "/etc/tcp-tls/ca.crt"
    (volume,) = gateway(mutual)["spec"]["template"]["spec"]["volumes"]
    (mount,) = container(mutual)["volumeMounts"]
    assert volume == {"name": "tcp-tls", "secret": {"secretName": "gateway-tls"}}
    assert mount == {"name": "tcp-tls", "mountPath": "/etc/tcp-tls", "readOnly": True}
    assert "CONSTELLATION_TCP_TLS_CERT_FILE" not in environment(render())


def test_metrics_on_a_port_of_their_own_are_asked_there_and_only_by_who_may() -> None:
    peers = {
        "networkPolicy.httpFrom": [{"podSelector": {"matchLabels": {"app": "ingress"}}}],
        "networkPolicy.metricsFrom": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}],
    }
    objects = render_values({"metrics.port": 9090, "metrics.serviceMonitor.enabled": True, **peers})
    ports = {port["name"]: port["containerPort"] for port in container(objects)["ports"]}
    assert ports["metrics"] == int(environment(objects)["CONSTELLATION_METRICS_PORT"]) == 9090
    assert container(objects)["livenessProbe"]["httpGet"]["port"] == "http"

    monitor = of_kind(objects, "ServiceMonitor")["spec"]
    (service,) = (
        one
        for one in objects
        if one["kind"] == "Service"
        and monitor["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
    )
    assert service["metadata"]["name"] == "chat-constellation-ws-metrics"
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"] == "metrics"
    main = of_kind(objects, "Service", "constellation-ws")["spec"]["ports"]
    assert [port["name"] for port in main] == ["http"], "a LoadBalancer must not show metrics"

    ingress = of_kind(objects, "NetworkPolicy")["spec"]["ingress"]
    rules = {rule["ports"][0]["port"]: rule["from"] for rule in ingress}
    assert rules["metrics"] == peers["networkPolicy.metricsFrom"]
    assert rules["http"][0] == peers["networkPolicy.httpFrom"][0]
    assert rules["metrics"][0] not in rules["http"]

    pods = render_values({"metrics.port": 9090, "metrics.podMonitor.enabled": True})
    assert of_kind(pods, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"


def test_metrics_are_on_the_port_of_socket_io_unless_it_is_said_otherwise() -> None:
    monitors = {"metrics.podMonitor.enabled": True}
    peers = {
        "networkPolicy.httpFrom": [{"podSelector": {"matchLabels": {"app": "ingress"}}}],
        "networkPolicy.metricsFrom": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}],
    }
    objects = render_values({**monitors, **peers})
    assert of_kind(objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"] == "http"
    assert "CONSTELLATION_METRICS_PORT" not in environment(objects)
    ingress = of_kind(objects, "NetworkPolicy")["spec"]["ingress"]
    assert [rule["ports"][0]["port"] for rule in ingress] == ["http", "tcp", "peer"]
    assert peers["networkPolicy.metricsFrom"][0] in ingress[0]["from"]


def test_nothing_is_sticky_unless_it_is_asked_for() -> None:
    objects = render_values(
        {
            "ingress.enabled": True,
            "ingress.hosts": ["a"],
            "httpRoute.enabled": True,
            "httpRoute.parentRefs": [{"name": "public"}],
        }
    )
    assert "annotations" not in of_kind(objects, "Ingress")["metadata"]
    (rule,) = of_kind(objects, "HTTPRoute")["spec"]["rules"]
    assert rule.keys() == {"matches", "backendRefs"}
    for service in (one for one in objects if one["kind"] == "Service"):
        assert "annotations" not in service["metadata"]
        assert service["spec"].get("sessionAffinity", "None") == "None"
    assert "BackendTrafficPolicy" not in {one["kind"] for one in objects}


def test_each_ingress_finds_its_stickiness_where_it_looks_for_it() -> None:
    hosts = {"ingress.enabled": True, "ingress.hosts": ["a"]}
    made = {
        name: render_values({**hosts, "stickiness": name})
        for name in ("haproxy", "nginx", "traefik")
    }

    def annotations(name: str, kind: str) -> dict[str, str]:
        metadata = of_kind(made[name], kind, "constellation-ws")["metadata"]
        return dict(metadata.get("annotations", {}))

    # On an Ingress it would be ignored.
    assert annotations("haproxy", "Service") == {
        "haproxy.org/cookie-persistence": "constellation-pod"
    }
    assert annotations("haproxy", "Ingress") == {}
    cookie = annotations("nginx", "Ingress")["nginx.org/sticky-cookie-services"].split()
    assert cookie == [
        "serviceName=chat-constellation-ws", "constellation-pod", "path=/socket.io", "httponly",
    ]  # fmt: skip
    websockets = annotations("nginx", "Ingress")["nginx.org/websocket-services"]
    assert websockets == "chat-constellation-ws"
    sticky = "traefik.ingress.kubernetes.io/service.sticky.cookie"
    assert annotations("traefik", "Service")[sticky] == "true"
    policy = of_kind(render("helm4", EVERYTHING), "BackendTrafficPolicy")["spec"]
    assert policy["targetRefs"][0]["name"] == "every-constellation-ws"
    assert policy["loadBalancer"]["consistentHash"]["type"] == "Cookie"


def test_nothing_is_said_of_tokens_where_none_are_asked_for() -> None:
    told = environment(render())
    assert told["CONSTELLATION_AUTH_MODE"] == "trusted"
    assert [name for name in told if name.startswith("CONSTELLATION_JWT_")] == []


def test_a_key_stays_in_the_user_s_secret_or_goes_into_the_chart_s() -> None:
    mine = {"auth.mode": "jwt", "auth.existingSecret": "mine"}
    told = environment(render_values(mine))
    assert told["CONSTELLATION_JWT_SECRET"] == {
        "secretKeyRef": {"name": "mine", "key": "jwt-secret"}
    }
    told = environment(render_values({**mine, "auth.publicKeyKey": "key.pem"}))
    assert told["CONSTELLATION_JWT_PUBLIC_KEY"] == {
        "secretKeyRef": {"name": "mine", "key": "key.pem"}
    }
    assert "CONSTELLATION_JWT_SECRET" not in told
    objects = render_values({"auth.mode": "jwt", "auth.jwt.secret": "x" * 32})
    assert "CONSTELLATION_JWT_SECRET" not in environment(objects)
    assert of_kind(objects, "Secret")["stringData"] == {"CONSTELLATION_JWT_SECRET": "x" * 32}


def test_every_value_of_tokens_reaches_the_gateway() -> None:
    values = {
        "auth.mode": "jwt",
        "auth.jwt.jwksUrl": "https://issuer/keys",
        "auth.jwt.algorithms": ["RS256", "ES256"],
        "auth.jwt.issuer": "api",
        "auth.jwt.audience": "chat",
        "auth.jwt.leewaySeconds": 1.5,
        "auth.jwt.userClaim": "id",
        "auth.jwt.chatsClaim": "rooms",
        "auth.jwt.cookie": "__Host-token",
        "config": {"CONSTELLATION_CORS_ORIGINS": "https://app.example.com"},
    }
    told = environment(render_values(values))
    assert {
        name.removeprefix("CONSTELLATION_JWT_"): value
        for name, value in told.items()
        if name.startswith("CONSTELLATION_JWT_")
    } == {
        "JWKS_URL": "https://issuer/keys",
        "ALGORITHMS": "RS256,ES256",
        "ISSUER": "api",
        "AUDIENCE": "chat",
        "LEEWAY_SECONDS": "1.5",
        "USER_CLAIM": "id",
        "CHATS_CLAIM": "rooms",
        "COOKIE": "__Host-token",
    }


CHATS = "CONSTELLATION_CHAT_ACCESS"
ACCESS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"": "open"}),
    ({"auth.mode": "jwt", "auth.existingSecret": "a", "chatAccess.mode": "claim"}, {"": "claim"}),
    (
        {
            "chatAccess.mode": "http",
            "chatAccess.url": "http://api/access",
            "chatAccess.existingSecret": "mine",
            "chatAccess.timeoutSeconds": 0.5,
        },
        {
            "": "http",
            "_URL": "http://api/access",
            "_TIMEOUT_SECONDS": "0.5",
            "_TOKEN": {"secretKeyRef": {"name": "mine", "key": "chat-access-token"}},
        },
    ),
    (
        {
            "chatAccess.mode": "nest",
            "chatAccess.url": "tcp://api:3001",
            "chatAccess.pattern": '{"cmd":"getChatDetails"}',
        },
        {
            "": "nest",
            "_URL": "tcp://api:3001",
            "_TIMEOUT_SECONDS": "2",
            "_PATTERN": '{"cmd":"getChatDetails"}',
        },
    ),
]


@pytest.mark.parametrize(("values", "told"), ACCESS)
def test_the_gateway_is_told_who_may_join_a_chat(
    values: dict[str, Any], told: dict[str, Any]
) -> None:
    found = environment(render_values(values))
    assert {
        name.removeprefix(CHATS): value for name, value in found.items() if name.startswith(CHATS)
    } == told


def test_a_token_for_the_api_is_in_the_secret_and_nowhere_else() -> None:
    objects = render_values(
        {
            "chatAccess.mode": "http",
            "chatAccess.url": "http://api",
            "chatAccess.token": "hunter2",
        }
    )
    assert of_kind(objects, "Secret")["stringData"] == {f"{CHATS}_TOKEN": "hunter2"}
    assert "hunter2" not in str(gateway(objects))


def test_the_http_api_has_a_port_a_service_and_a_rule_of_its_own() -> None:
    objects = render("helm4", PRODUCTION)
    (service,) = (one for one in objects if one["metadata"]["name"] == "chat-constellation-ws-api")
    assert service["spec"]["type"] == "ClusterIP"
    assert service["spec"]["ports"] == [
        {"name": "api", "port": 7758, "targetPort": "api", "appProtocol": "http"}
    ]
    assert {"name": "api", "containerPort": 7758} in container(objects)["ports"]
    told = environment(objects)
    assert told["CONSTELLATION_API_PORT"] == "7758"
    assert told["CONSTELLATION_API_KEYS"] == {
        "secretKeyRef": {"name": "constellation-api", "key": "api-keys"}
    }
    (rule,) = (
        rule
        for rule in of_kind(objects, "NetworkPolicy")["spec"]["ingress"]
        if rule["ports"] == [{"port": "api"}]
    )
    backend = {"kubernetes.io/metadata.name": "backend"}
    assert rule["from"][0] == {"namespaceSelector": {"matchLabels": backend}}


def test_the_http_api_is_for_the_namespace_unless_others_are_named() -> None:
    objects = render_values({"api.enabled": True, "api.existingSecret": "api"})
    (rule,) = (
        rule
        for rule in of_kind(objects, "NetworkPolicy")["spec"]["ingress"]
        if rule["ports"] == [{"port": "api"}]
    )
    assert rule["from"][0] == {"podSelector": {}}


def test_the_console_has_its_key_from_a_secret_and_may_only_read_unless_allowed() -> None:
    values = {
        "console.enabled": True,
        "metrics.port": 9090,
        "console.existingSecret": "console",
    }
    told = environment(render_values(values))
    assert told["CONSTELLATION_CONSOLE"] == "read"
    assert told["CONSTELLATION_CONSOLE_EVENTS"] == "metadata"
    assert told["CONSTELLATION_CONSOLE_KEY"] == {
        "secretKeyRef": {"name": "console", "key": "console-key"}
    }
    own = render_values({**values, "console.existingSecret": "", "console.key": "k" * 16})
    assert of_kind(own, "Secret")["stringData"] == {"CONSTELLATION_CONSOLE_KEY": "k" * 16}
    assert "CONSTELLATION_CONSOLE" not in environment(render())


def test_without_the_http_api_nothing_of_it_is_there() -> None:
    objects = render()
    assert "api" not in [port["name"] for port in container(objects)["ports"]]
    assert not any(name.startswith("CONSTELLATION_API_") for name in environment(objects))
    assert "-api" not in str([one["metadata"]["name"] for one in objects])
