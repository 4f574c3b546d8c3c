"""What the image holds and says of itself, and what it has left behind."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker

from tests.image.building import VERSION, Image, compressed_bytes
from tests.image.machine import ROOT

# The first test builds the image.
pytestmark = pytest.mark.timeout(400)

INSTALLERS = re.compile(r"(easy_install|ensurepip|pip3?(\.\d+)?|setuptools|wheel|uv|.*\.whl)(-.*)?")
COMPILERS = re.compile(r"(.*-)?(gcc|g\+\+|cc|c\+\+|cc1|clang|ld|as|make|cargo|rustc|go)(-\d+)?")


def test_it_runs_as_a_user_that_is_told_by_number_and_is_not_root(image: Image) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.config["User"])


def test_it_has_what_is_compiled(image: Image) -> None:
    assert list(image.root.glob("app/lib/python3*/site-packages/**/runtime/_sending.abi3.so"))


def test_it_starts_the_gateway_itself_and_leaves_probes_to_kubernetes(image: Image) -> None:
    assert image.config["Entrypoint"] == ["constellation-ws"]
    assert image.config["Cmd"] == ["serve"]
    assert "Healthcheck" not in image.config


def test_its_labels_say_what_it_was_built_from(image: Image) -> None:
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.revision"] == "0123abc"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_nothing_that_installs_is_left(image: Image) -> None:
    assert [path for path in files(image.root) if INSTALLERS.fullmatch(path.name)] == []


def test_nothing_that_compiles_is_in_it(image: Image) -> None:
    programs = (
        path for path in files(image.root) if path.parent.name in {"bin", "sbin", "libexec"}
    )
    assert [path for path in programs if COMPILERS.fullmatch(path.name)] == []


def test_nobody_but_root_can_change_the_program(image: Image) -> None:
    states = {path: path.lstat() for path in files(image.root / "app")}
    assert len(states) > 100
    assert [path for path, state in states.items() if state.st_uid or is_open(state.st_mode)] == []


def test_its_bytecode_was_written_when_it_was_built(image: Image) -> None:
    packages = site_packages(image)
    assert list(packages.glob("constellation_ws/delivery/__pycache__/relay.*.pyc"))
    assert list(packages.glob("uvicorn/__pycache__/main.*.pyc"))


def test_it_holds_what_is_locked_and_nothing_else(image: Image) -> None:
    held = {
        canonical(one.metadata["Name"]): one.version
        for one in metadata.distributions(path=[str(site_packages(image))])
    }
    assert held.pop("constellation-ws")
    assert held == locked(image)


def test_its_bill_of_materials_names_all_that_it_holds(image: Image) -> None:
    file = image.root / "usr/share/doc/constellation-ws/sbom.cdx.json"
    bill = json.loads(file.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "constellation-ws"
    named = {canonical(one["name"]): one["version"] for one in bill["components"]}
    assert named == locked(image)
    assert "file://" not in file.read_text()


def test_the_documentation_tells_its_size(image: Image) -> None:
    page = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    told = re.search(r"(\d+) MB on top of its base, (\d+) MB compressed", page)
    _base, *own = compressed_bytes(image.name)
    assert told is not None
    assert [int(told[1]), int(told[2])] == pytest.approx(
        [image.own_bytes / 1e6, sum(own) / 1e6], rel=0.1
    )


def files(folder: Path) -> Iterator[Path]:
    """Yield all that is in a folder; links are not followed."""
    return (path for path in folder.rglob("*") if not path.is_symlink())


def is_open(mode: int) -> bool:
    return bool(mode & (stat.S_IWGRP | stat.S_IWOTH))


def site_packages(image: Image) -> Path:
    (found,) = image.root.glob("app/lib/python3*/site-packages")
    return found


def locked(image: Image) -> dict[str, str]:
    """Give the locked versions of what is wanted on the image's Python."""
    python = site_packages(image).parent.name.removeprefix("python")
    world = {"python_version": python, "python_full_version": f"{python}.0"}
    lines = re.findall(
        r"^([a-z0-9-]+)==([^ ;\\]+)(?: ; (.+?))? \\$",
        (ROOT / "requirements" / "runtime.txt").read_text(),
        re.M,
    )
    return {
        name: version
        for name, version, marker in lines
        if not marker or Marker(marker).evaluate(world)
    }


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
