"""The release that most of these tests share, and the crowd that each has for itself."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio

from tests.cluster.load import BEGIN_POLLING, Load, loaded
from tests.cluster.manifests import values
from tests.cluster.release import Release, installed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show, where a test failed, how the release stands."""
    report = yield
    release = getattr(item, "funcargs", {}).get("release")
    if report.failed and release is not None:
        report.sections.append(("the release", release.namespace.state()))
    return report


@pytest.fixture(scope="session")
def cluster() -> None:
    """Skip what needs a cluster where there is none."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def release(cluster: None) -> AsyncIterator[Release]:
    """The chart with its own Valkey and three pods. Who changes it puts it back."""
    async with installed(values()) as release:
        yield release


@pytest_asyncio.fixture(loop_scope="session")
async def load(release: Release) -> AsyncIterator[Load]:
    """Clients that have connected through the Service."""
    async with loaded(release) as load:
        yield load


@pytest_asyncio.fixture(loop_scope="session")
async def default_load(release: Release) -> AsyncIterator[Load]:
    """Clients that begin with polling, each request of which the Service leads to some pod."""
    async with loaded(release, BEGIN_POLLING) as load:
        yield load
