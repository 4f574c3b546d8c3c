"""What the pods of `helm test` run works, and fails where it should, with a real gateway."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import of_kind, render_values
from tests.journey.conftest import Pods
from tests.processes import HOST, Valkey, unused_port

pytestmark = pytest.mark.asyncio(loop_scope="session")

BIN = Path(sys.executable).parent


WITH_TOKENS = {"auth.mode": "jwt", "auth.existingSecret": "jwt"}


async def run(
    pod: str, values: dict[str, Any] | None = None, **environment: str
) -> tuple[int | None, str]:
    """Run a test pod's command on this machine; give its exit code and its output."""
    container = of_kind(render_values(values or {}), "Pod", pod)["spec"]["containers"][0]
    program = {"/bin/sh": "/bin/sh", "/app/bin/python": sys.executable}[container["command"][0]]
    process = await asyncio.create_subprocess_exec(
        *(program, container["command"][1], *container["args"]),
        env={"PATH": f"{BIN}:/usr/bin:/bin", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_a_client_gets_the_event_that_the_pod_publishes(pods: Pods, valkey: Valkey) -> None:
    code, output = await run("-test-event", GATEWAY=pods.a.http_url, REDIS_URL=valkey.url)
    assert code == 0, output
    assert '"helm"' in output


async def test_where_tokens_are_asked_for_nobody_gets_in_without_one(
    jwt_pods: Pods,
) -> None:
    code, output = await run("-test-event", WITH_TOKENS, GATEWAY=jwt_pods.a.http_url)
    assert code == 0, output
    code, _ = await run("-test-event", WITH_TOKENS, GATEWAY=f"http://{HOST}:{unused_port()}")
    assert code == 1


async def test_the_nestjs_port_answers_the_pod(pods: Pods) -> None:
    code, output = await run(
        "-test-nestjs", TCP_SERVICE=HOST, TCP_SERVICE_PORT=str(pods.a.tcp_port)
    )
    assert code == 0, output


async def test_the_pod_fails_where_nobody_answers() -> None:
    code, _ = await run("-test-nestjs", TCP_SERVICE=HOST, TCP_SERVICE_PORT=str(unused_port()))
    assert code == 1
