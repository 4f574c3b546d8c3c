"""What holds for every test, and the Valkey that the tests of one file share."""

import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings
from redis.asyncio import Redis

from constellation_ws.redis_io.link import make_client
from tests.processes import Valkey, running_valkey

# A deadline per example measures the machine: a busy one is no fault of the code. Nor is what lands
# to be held up by what chance finds in what was there before: to look for that is another run,
# `make test PYTEST_ARGS=--hypothesis-profile=exploring`, or `make fuzz`.
settings.register_profile("exploring", deadline=None)
settings.register_profile("any machine", deadline=None, derandomize=True)
settings.load_profile("any machine")


def pytest_configure() -> None:
    """Let the processes that tests start be interrupted, as those of a terminal are.

    A shell without job control starts what runs in its background with SIGINT ignored, and a child
    inherits that; a handler it does not inherit.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """A Valkey for the tests of one file, which may do to it what they want but stop it."""
    with running_valkey() as valkey:
        yield valkey


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    """A client of the shared Valkey, in which nothing is yet."""
    async with make_client(valkey.url, retries=5) as redis:
        await redis.flushall()
        yield redis
