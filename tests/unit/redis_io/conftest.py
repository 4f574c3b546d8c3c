"""A real Cluster, one for all tests of a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from constellation_ws.redis_io.link import make_client
from tests.processes import HOST
from tests.valkeys import RedisCluster, redis_cluster

LOG = "constellation:events"


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        asyncio.run(cluster.is_whole())
        yield cluster


@pytest.fixture
async def cluster(shared_cluster: RedisCluster) -> AsyncIterator[RedisCluster]:
    """With no key in our slot."""
    url = f"redis+cluster://{HOST}:{shared_cluster.third.port}"
    async with make_client(url, retries=0) as client:
        await client.delete(LOG, *(f"{{{LOG}}}:{name}" for name in ("one", "two", "absent")))
        yield shared_cluster
