"""kubectl and Helm 4 against the cluster of KUBECONFIG."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.chart.rendering import Object, tool
from tests.cluster.manifests import INSTANCE

_PATIENCE_SECONDS = 20 * 60.0
"""For one command. Those that wait have a limit of their own, which is shorter."""
_LEAVE_SECONDS = 10.0
_LINE_BYTES = 1 << 28


class CommandFailed(Exception):
    """The cluster, or Helm, did not do as told; `str()` is what it said."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace of the cluster, and how to speak to it."""

    name: str

    async def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl in this namespace and give its output. Raises CommandFailed."""
        return await _run(*self._kubectl(*arguments), stdin=stdin)

    def _kubectl(self, *arguments: str) -> list[str]:
        return [str(tool("kubectl-newest")), f"--namespace={self.name}", *arguments]

    @asynccontextmanager
    async def talking_to(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run kubectl and speak with it; at the end of its input it is expected to leave."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self._kubectl(*arguments), stdin=pipe, stdout=pipe, limit=_LINE_BYTES
        )
        assert process.stdin is not None
        try:
            yield process
        finally:
            process.stdin.close()
            await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=_LEAVE_SECONDS)
            if process.returncode is None:
                process.kill()
                await process.wait()

    def state(self) -> str:
        """Give what a person would look at first when something is wrong."""
        looks = (
            ("get", "pods,poddisruptionbudgets,horizontalpodautoscalers", "--output=wide"),
            ("get", "events", "--sort-by=.metadata.creationTimestamp"),
            ("logs", f"--selector={INSTANCE}", "--all-containers", "--tail=20", "--prefix"),
        )
        seen = (
            subprocess.run(
                self._kubectl(*look), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
            )
            for look in looks
        )
        return "\n".join(one.stdout.decode(errors="replace") for one in seen)

    async def helm(self, *arguments: str, stdin: str = "") -> str:
        """Run Helm in this namespace and give its output. Raises CommandFailed."""
        return await _run(str(tool("helm4")), f"--namespace={self.name}", *arguments, stdin=stdin)

    async def get(self, *arguments: str) -> Any:
        """Give an object, or the list of them, as kubectl finds it."""
        found = json.loads(await self.kubectl("get", *arguments, "--output=json"))
        return found["items"] if found["kind"] == "List" else found

    async def create(self, *objects: Object) -> None:
        """Create objects. Raises CommandFailed."""
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        await self.kubectl("create", "--filename=-", stdin=json.dumps(listed))

    async def evict(self, pod: str) -> None:
        """Ask for a pod's eviction, as a drain does. Raises CommandFailed when it is refused."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        path = f"/api/v1/namespaces/{self.name}/pods/{pod}/eviction"
        await self.kubectl("create", f"--raw={path}", "--filename=-", stdin=json.dumps(eviction))


@asynccontextmanager
async def new_namespace() -> AsyncIterator[Namespace]:
    """A namespace that goes at the end with all that is in it; nobody waits for that."""
    namespace = Namespace(f"constellation-test-{secrets.token_hex(3)}")
    await namespace.kubectl("create", "namespace", namespace.name)
    try:
        yield namespace
    finally:
        await namespace.kubectl("delete", "namespace", namespace.name, "--wait=false")


async def schedulable_nodes() -> list[str]:
    """Name the nodes that are ready and take pods."""
    listed = await _run(str(tool("kubectl-newest")), "get", "nodes", "--output=json")
    return [one["metadata"]["name"] for one in json.loads(listed)["items"] if _takes_pods(one)]


def _takes_pods(node: Object) -> bool:
    taints = {taint["effect"] for taint in node["spec"].get("taints", [])}
    conditions = {one["type"]: one["status"] for one in node["status"]["conditions"]}
    return conditions["Ready"] == "True" and not taints & {"NoSchedule", "NoExecute"}


async def _run(*command: str, stdin: str = "") -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, env=dict(os.environ)
    )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            output, errors = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise CommandFailed(f"{' '.join(command)}\n{output.decode()}{errors.decode()}")
    return output.decode()
