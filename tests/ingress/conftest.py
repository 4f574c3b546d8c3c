"""Pods that the tests of a file share, and the Valkey between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.ingress.trial import PEER_SETTINGS
from tests.journey.rollout import PodSpec, Rollout
from tests.processes import Gateway, Valkey

LOG_LINES_SHOWN = 60


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show, where a test failed, what its pods have logged."""
    report = yield
    pods: list[Gateway] = getattr(item, "funcargs", {}).get("pods", [])
    if report.failed:
        for pod in pods:
            title = f"log of the pod on port {pod.ws_port}"
            report.sections.append((title, "\n".join(pod.lines()[-LOG_LINES_SHOWN:])))
    return report


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pods(
    request: pytest.FixtureRequest, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[Gateway]]:
    """As many pods as `POD_COUNT` of the file. They must leave cleanly."""
    folder = tmp_path_factory.mktemp("pods")
    async with rolled_out(folder, valkey.url, request.module.POD_COUNT) as rollout:
        yield rollout.endpoints
        codes = await asyncio.gather(*(pod.terminate() for pod in rollout.endpoints))
        assert codes == [0] * len(codes)
        assert [line for pod in rollout.endpoints for line in pod.stray_lines()] == []


@asynccontextmanager
async def rolled_out(folder: Path, redis_url: str, count: int) -> AsyncIterator[Rollout]:
    """Pods that find each other, without a proxy."""
    spec = PodSpec(PEER_SETTINGS, "/readyz", pre_stop_seconds=1, grace_seconds=60)
    rollout = Rollout(folder, spec, redis_url, [])
    try:
        await rollout.start(count)
        yield rollout
    finally:
        await rollout.stop()
