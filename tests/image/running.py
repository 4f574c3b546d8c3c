"""Containers of the image: started as Kubernetes would start them, asked, and told to end.

runc runs them where it can. Where it cannot, a stand-in does: the image's files mounted read-only
under a chroot, as process 1 of a process namespace, by the image's user without any capability.
Either shares the network of this machine.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.image.building import Image
from tests.image.machine import KEPT, Failed, podman
from tests.processes import HOST, unused_port

_SANDBOX = r"""
set -eu
mount --bind "$ROOT" "$ROOT"
mount --options remount,bind,ro "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --bind /dev "$ROOT/dev"
cd "$ROOT"
exec chroot . setpriv --reuid="${OWNER%:*}" --regid="${OWNER#*:}" --clear-groups --no-new-privs \
    --inh-caps=-all --bounding-set=-all -- "$@"
"""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Container(Protocol):
    """A container that was started."""

    def say(self, signal: str) -> None:
        """Send its process 1 a signal, such as TERM."""

    def exit_code(self) -> int | None:
        """None while it runs."""

    def lines(self) -> list[str]:
        """All that it has written."""

    def process(self) -> int:
        """Its process 1, by the number that this machine has for it."""

    def remove(self) -> None:
        """End it, if need be by force."""


@dataclass(frozen=True, slots=True)
class Runc:
    """A container of runc, with a read-only root, no capability and no way to any."""

    name: str

    @classmethod
    def start(cls, image: Image, environment: Mapping[str, str]) -> Runc:
        hardened = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=all")
        return cls(
            podman(
                *("run", "--detach", "--network=host", "--security-opt=no-new-privileges"),
                *hardened,
                *(f"--env={name}={value}" for name, value in environment.items()),
                image.name,
            ).strip()
        )

    def say(self, signal: str) -> None:
        podman("kill", f"--signal={signal}", self.name)

    def exit_code(self) -> int | None:
        state = self._state()
        return None if state["Running"] else state["ExitCode"]

    def lines(self) -> list[str]:
        done = Path(self._inspect()["HostConfig"]["LogConfig"]["Path"]).read_text()
        # The k8s-file form: time, stream, F or P, and the line.
        return [line.split(" ", 3)[3] for line in done.splitlines()]

    def process(self) -> int:
        return int(self._state()["Pid"])

    def remove(self) -> None:
        podman("rm", "--force", "--time=0", self.name)

    def _state(self) -> Any:
        return self._inspect()["State"]

    def _inspect(self) -> Any:
        return json.loads(podman("container", "inspect", self.name))[0]


@dataclass(frozen=True, slots=True)
class StandIn:
    """The image's files under a chroot, for machines on which runc cannot start a container."""

    running: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, image: Image, environment: Mapping[str, str]) -> StandIn:
        log = KEPT / f"stand-in-{unused_port()}.log"
        own = dict(entry.split("=", 1) for entry in image.config["Env"])
        command = [*image.config["Entrypoint"], *image.config["Cmd"]]
        with log.open("wb") as output:
            running = subprocess.Popen(
                [
                    "unshare",
                    "--mount",
                    "--pid",
                    "--fork",
                    "/bin/sh",
                    "-c",
                    _SANDBOX,
                    "sh",
                    *command,
                ],
                env={
                    **own,
                    **environment,
                    "ROOT": str(image.root),
                    "OWNER": image.config["User"],
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return cls(running, log)

    def say(self, signal: str) -> None:
        subprocess.run(["kill", f"-{signal}", str(self.process())], check=True)

    def exit_code(self) -> int | None:
        return self.running.poll()

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def process(self) -> int:
        pid = self.running.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())

    def remove(self) -> None:
        # Its --kill-child does not outlive the child's change of user.
        if self.exit_code() is None:
            self.say("KILL")
        self.running.wait()
        self.log.unlink()


Runner = type[Runc] | type[StandIn]


def choose_runner(image: Image) -> tuple[Runner, str]:
    """Choose what runs containers here, and say why in words."""
    try:
        podman("run", "--rm", "--network=host", image.name, "--version")
    except Failed as error:
        return StandIn, f"the stand-in: runc cannot run here ({error})"
    return Runc, "podman and runc"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway in a container, by its ports on this machine."""

    container: Container
    ws_port: int
    tcp_port: int


def get(port: int, path: str) -> Answer:
    """Ask a port of this machine over HTTP. Raises OSError while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=5) as answer:
            return Answer(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode())


def probe(port: int, path: str) -> bool:
    """Tell whether a probe succeeds, as the kubelet judges it."""
    try:
        return get(port, path).status in range(200, 400)
    except OSError:
        return False


@contextmanager
def running_gateway(
    run_by: Runner, image: Image, redis_url: str, **settings: object
) -> Iterator[Gateway]:
    """A gateway that was started, on free ports of this machine; ready or not."""
    ws_port, tcp_port = unused_port(), unused_port()
    pod = {
        "WS_PORT": ws_port,
        "CONSTELLATION_WS_HOST": HOST,
        "TCP_PORT": tcp_port,
        "TCP_HOST": HOST,
        "REDIS_URL": redis_url,
        "CONSTELLATION_DRAIN_DELAY_SECONDS": 1,
        "CONSTELLATION_DRAIN_WINDOW_SECONDS": 1,
    }
    environment = {name: str(value) for name, value in (pod | settings).items()}
    container = run_by.start(image, environment)
    try:
        yield Gateway(container, ws_port, tcp_port)
    finally:
        container.remove()
