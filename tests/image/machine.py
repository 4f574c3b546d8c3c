"""What this machine has for building and running images, and how its tools are called.

Everything that podman and buildah keep lies below the checkout's build folder: neither sees what
else the machine has, nor leaves anything there. What is built and run is not known here.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "image-test"
TOOLS = ("mmdebstrap", "buildah", "podman", "runc", "catatonit", "unshare", "setpriv")
INSTALL = "apt-get install --no-install-recommends mmdebstrap buildah podman runc catatonit"


class Failed(Exception):
    """A tool did not do what it had to; `str()` is what it said."""


def obstacle() -> str | None:
    """Say why no image can be built here; None where one can."""
    if not Path("/etc/debian_version").exists():
        return "images are built on Debian, from its packages"
    if os.geteuid() != 0:
        return "images are built as root"
    lacking = [name for name in TOOLS if shutil.which(name) is None]
    if lacking:
        return f"this machine lacks {', '.join(lacking)}: {INSTALL}"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return "this root may not mount (CAP_SYS_ADMIN), as in an unprivileged container"
    return None


def run(*command: str | Path, within_seconds: float = 60) -> str:
    """Run a tool that must succeed and give its output. Raises Failed."""
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | _environment(),
            capture_output=True,
            text=True,
            timeout=within_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{command[0]} took longer than {within_seconds:.0f} s") from error
    if done.returncode:
        raise Failed(f"{command[0]}: {done.stderr[-4000:]}")
    return done.stdout


def podman(*arguments: str | Path, within_seconds: float = 60) -> str:
    """Call podman on the images and containers of these tests. Raises Failed."""
    return run("podman", *arguments, within_seconds=within_seconds)


def configure() -> None:
    """Write what podman and buildah go by, before either is called for the first time."""
    KEPT.mkdir(parents=True, exist_ok=True)
    _storage_file().write_text(
        f'[storage]\ndriver = "{_driver()}"\n'
        f'graphroot = "{KEPT / "storage"}"\nrunroot = "{KEPT / "run"}"\n'
    )
    # Podman's own limits are higher than what a root without CAP_SYS_RESOURCE may grant, and
    # there may be no systemd to keep cgroups and a journal.
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    _engine_file().write_text(
        f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]\n'
        'log_driver = "k8s-file"\n'
        '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )


def release() -> None:
    """Let go of the storage: `make clean` could not remove what podman leaves mounted."""
    subprocess.run(["umount", KEPT / "storage" / "overlay"], capture_output=True, check=False)


def _driver() -> str:
    """Take the slow driver where the checkout lies on an overlay, which takes no second one."""
    kind = subprocess.run(
        ["stat", "--file-system", "--format=%T", KEPT], capture_output=True, text=True, check=True
    ).stdout.strip()
    return "vfs" if kind in {"overlayfs", "tmpfs"} else "overlay"


def _environment() -> dict[str, str]:
    return {
        "CONTAINERS_STORAGE_CONF": str(_storage_file()),
        "CONTAINERS_CONF": str(_engine_file()),
        "BUILDAH_ISOLATION": "chroot",
    }


def _storage_file() -> Path:
    return KEPT / "storage.conf"


def _engine_file() -> Path:
    return KEPT / "containers.conf"
