"""Every way to use the chart renders alike in Helm 3 and 4, to objects that Kubernetes takes."""

from pathlib import Path

import pytest

from tests.chart.rendering import (
    CASES,
    CHART,
    HELMS,
    NEWEST,
    OLDEST,
    Object,
    Refused,
    cases,
    of_kind,
    render,
    run,
)
from tests.chart.schemas import CUSTOM, UNPUBLISHED, core_faults, custom_faults, group

OPTIONAL = CUSTOM + UNPUBLISHED
CASE = pytest.mark.parametrize("case", list(cases()), ids=lambda path: path.stem)


def by_name(objects: list[Object]) -> dict[tuple[str, str], Object]:
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


@CASE
def test_both_helms_render_the_same_objects(case: Path) -> None:
    one, other = (by_name(render(helm, f"--values={case}")) for helm in HELMS)
    assert one == other


@CASE
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_what_its_schema_takes(case: Path, version: str) -> None:
    objects = render("helm4", f"--values={case}", version=version)
    assert core_faults(objects, version) == []


def test_every_custom_resource_is_what_its_owner_takes() -> None:
    objects = [one for case in cases() for one in render("helm4", f"--values={case}")]
    kinds = {one["kind"] for one in objects if group(one) in CUSTOM}
    assert kinds == {"HTTPRoute", "ScaledObject", "ServiceMonitor", "PodMonitor", "PrometheusRule"}
    assert custom_faults(objects) == []


@CASE
def test_no_two_objects_share_a_name(case: Path) -> None:
    objects = render("helm4", f"--values={case}")
    assert len(by_name(objects)) == len(objects)


@CASE
def test_every_object_belongs_to_the_release_namespace_and_carries_its_labels(case: Path) -> None:
    for one in render("helm4", f"--values={case}"):
        metadata = one["metadata"]
        assert metadata["namespace"] == "talk", metadata
        if metadata["name"] != "extra-object":
            assert metadata["labels"]["app.kubernetes.io/instance"] == "chat", metadata


@pytest.mark.parametrize("helm", HELMS)
def test_lint_has_nothing_to_say(helm: str) -> None:
    for case in cases():
        said = run(helm, "lint", "--strict", CHART, f"--values={case}")
        assert "[WARNING]" not in said
        assert "[ERROR]" not in said


def test_an_older_cluster_is_refused() -> None:
    with pytest.raises(Refused, match=r"requires kubeVersion: >=1\.30"):
        render("helm4", version="1.29.0")


def test_the_default_makes_no_object_that_a_bare_cluster_lacks_the_kind_of() -> None:
    assert [one["kind"] for one in render() if group(one) in OPTIONAL] == []


def test_the_cases_leave_out_no_template() -> None:
    rendered = {
        line.removeprefix("# Source: ").partition("/")[2]
        for case in cases()
        for line in run("helm4", "template", "chat", CHART, f"--values={case}").splitlines()
        if line.startswith("# Source: ")
    }
    written = {str(path.relative_to(CHART)) for path in (CHART / "templates").rglob("*.yaml")}
    assert written - rendered == set()


def test_the_schemas_refuse_what_is_wrong() -> None:
    objects = render("helm4", f"--values={CASES / 'everything-values.yaml'}")
    deployment = of_kind(objects, "Deployment", "constellation-ws")
    assert core_faults([deployment | {"spec": deployment["spec"] | {"replica": 2}}], OLDEST)
    route = of_kind(objects, "HTTPRoute")
    assert custom_faults([route | {"spec": route["spec"] | {"hostnames": "one"}}])
