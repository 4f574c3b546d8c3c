"""What is made from other files is up to date, and every value says what it is for."""

import re
import subprocess
from typing import Any

import yaml

from constellation_ws.settings.settings import fields
from tests.chart.rendering import (
    CHART,
    OLDEST,
    ROOT,
    of_kind,
    parse,
    recipes,
    render,
    render_values,
)
from tests.chart.schemas import core_faults, custom_faults
from tools.chart import stale, values_rows
from tools.reference.metrics import made_gateway


def test_the_chart_readme_its_schema_and_the_base_are_up_to_date() -> None:
    assert stale() == [], "run `make chart`"


def test_every_value_has_a_sentence() -> None:
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    told = {key for key, _, _ in values_rows(text)}

    def untold(values: dict[str, Any], path: str = "") -> list[str]:
        found = []
        for key, value in values.items():
            name = path + key
            if name in told:
                continue
            found += untold(value, f"{name}.") if isinstance(value, dict) and value else [name]
        return found

    assert untold(yaml.safe_load(text)) == []
    assert all(sentence.rstrip()[-1] in ".:" for _, _, sentence in values_rows(text))


def test_the_chart_and_the_service_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    text = (ROOT / "service" / "constellation_ws" / "__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{chart["appVersion"]}"' in text


def test_the_chart_its_listing_and_development_have_one_valkey() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    (listed,) = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    image = listed["image"]
    development = (ROOT / "k8s" / "overlays" / "dev" / "redis.yaml").read_text(encoding="utf-8")
    assert f"image: {image}\n" in development
    deployed = of_kind(render_values({"valkey.enabled": True}), "Deployment", "-valkey")
    assert deployed["spec"]["template"]["spec"]["containers"][0]["image"] == image


def test_the_dockerfile_satisfies_hadolint() -> None:
    done = subprocess.run(
        [ROOT / ".venv" / "bin" / "hadolint", "--failure-threshold=style", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_gets_all_that_its_dockerfile_copies_and_nothing_else_of_the_checkout() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copies = (line.split()[1:-1] for line in lines if line.startswith("COPY "))
    sources = {word for words in copies for word in words if not word.startswith(("--", "/"))}
    assert "*" in ignored
    assert sources == allowed


def test_the_base_differs_from_a_release_only_in_what_helm_adds() -> None:
    base = list(parse((ROOT / "k8s/base/constellation-ws.yaml").read_text(encoding="utf-8")))
    release = [one for one in render() if one["kind"] != "Pod"]
    assert sorted(one["kind"] for one in base) == sorted(one["kind"] for one in release)
    one, other = (of_kind(objects, "Deployment") for objects in (base, release))
    containers = [of["spec"]["template"]["spec"]["containers"] for of in (one, other)]
    assert containers[0] == containers[1]


def test_every_recipe_of_the_documentation_renders_to_valid_objects() -> None:
    assert len(recipes()) >= 6
    objects = [one for recipe in recipes() for one in render_values(recipe)]
    assert core_faults(objects, OLDEST) == []
    assert custom_faults(objects) == []


def test_every_value_and_setting_that_the_documentation_names_exists() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    values = {key for key, _, _ in values_rows((CHART / "values.yaml").read_text(encoding="utf-8"))}
    tops = {key.partition(".")[0] for key in values}
    named = set(re.findall(r"`([a-z]\w*(?:\.\w+)+)[=:`]", text, re.I))
    assert {one for one in named if one.partition(".")[0] in tops} <= values
    settings = {name for name, _ in fields()}
    assert set(re.findall(r"CONSTELLATION_[A-Z_]+", text)) <= settings


def test_every_metric_that_the_documentation_queries_exists() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    names = made_gateway().metrics.registry._names_to_collectors
    assert set(re.findall(r"constellation_[a-z_]+", text)) <= names.keys()
