"""How the image is built where no registry can be reached: on a base that is made here.

The base bears the name that the Dockerfile asks for. It is this machine's Debian with Debian's
Python and its headers, so that may be an older one than the real base's; the Dockerfile is carried
out as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.image.machine import KEPT, ROOT, podman, run

IMAGE = "localhost/constellation-ws:image-test"
VALKEY = "docker.io/valkey/valkey:image-test"
VERSION = "9.8.7"
"""What the image is told that it is."""

_PACKAGES = "python3,python3-venv,libpython3-dev,ca-certificates"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SOURCE = f"deb [signed-by={_KEYRING}] $(REPO_URI) $(RELEASE) $(COMPONENT)"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Image:
    """A built image, as `podman inspect` tells of it."""

    name: str
    config: dict[str, Any]
    bytes: int
    own_bytes: int
    """Without the base."""
    root: Path
    """Its files, mounted to look at."""


def build_base() -> str:
    """Make the base under the name that the Dockerfile asks for, and give it. Raises Failed."""
    name = base_name()
    sources = _sources()
    digest = hashlib.sha256("\n".join([*sources, _PACKAGES, _PATH]).encode()).hexdigest()[:16]
    kept = f"localhost/base:{digest}"
    if not podman("images", "--quiet", kept).strip():
        tree = KEPT / "base.tar"
        options = ["--quiet", "--mode=root", "--variant=minbase", f"--include={_PACKAGES}"]
        run("mmdebstrap", *options, "", tree, *sources, within_seconds=200)
        podman("import", "--quiet", "--change", f"ENV PATH={_PATH}", tree, kept)
        tree.unlink()
    podman("tag", kept, name)
    return name


def build() -> Image:
    """Build what the Dockerfile says. Raises Failed."""
    pip = KEPT / "pip.conf"
    pip.write_text(_pip_configuration())
    run(
        *("buildah", "build", "--pull-never", "--isolation=chroot", "--network=host", "--quiet"),
        f"--volume={pip}:/etc/pip.conf:ro",
        "--volume=/etc/ssl/certs:/etc/ssl/certs:ro",
        *(f"--build-arg=VERSION={VERSION}", "--build-arg=REVISION=0123abc", f"--tag={IMAGE}", "."),
        within_seconds=200,
    )
    return _look_at(IMAGE)


def build_valkey(server: Path) -> str:
    """Put a Valkey server on the base, under the name of the image that the chart installs."""
    recipe = KEPT / "valkey"
    recipe.mkdir(exist_ok=True)
    (recipe / "valkey-server").write_bytes(server.read_bytes())
    (recipe / "valkey-server").chmod(0o755)
    (recipe / "Dockerfile").write_text(
        f"FROM {base_name()}\nCOPY valkey-server /usr/local/bin/valkey-server\n"
    )
    run("buildah", "build", "--pull-never", "--quiet", f"--tag={VALKEY}", recipe)
    return VALKEY


def base_name() -> str:
    """Give the name of the base, as the Dockerfile has it unless told otherwise."""
    found = re.search(r"^ARG BASE_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert found is not None
    return found[1]


def compressed_bytes(name: str) -> list[int]:
    """Give the size of each layer as a registry keeps it, the base's first."""
    target = KEPT / "pushed"
    run("buildah", "push", "--quiet", name, f"oci:{target}")
    index = json.loads((target / "index.json").read_text())
    manifest = json.loads(_blob(target, index["manifests"][-1]["digest"]).read_text())
    return [layer["size"] for layer in manifest["layers"]]


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / Path(*digest.split(":"))


def _look_at(name: str) -> Image:
    (said,) = json.loads(podman("image", "inspect", name))
    (base,) = json.loads(podman("image", "inspect", base_name()))
    root = Path(podman("image", "mount", name).strip())
    return Image(name, said["Config"], said["Size"], said["Size"] - base["Size"], root)


def _sources() -> list[str]:
    """Give the package sources of this machine that are Debian's own."""
    options = ("--format", _SOURCE, "Created-By: Packages", "Origin: Debian")
    return sorted(set(run("apt-get", "indextargets", *options).splitlines()))


def _pip_configuration() -> str:
    """Let pip in the build fetch from where it does on this machine, and trust what that trusts."""
    lines = ["[global]", "cert = /etc/ssl/certs/ca-certificates.crt"]
    index = os.environ.get("PIP_INDEX_URL")
    return "\n".join([*lines, *([f"index-url = {index}"] if index else []), ""])
