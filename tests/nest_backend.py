"""A NestJS microservice under Node.js that answers clients' requests: tests/js/nest/backend.mjs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.processes import HOST, REPOSITORY, node_executable
from tests.waiting import PATIENCE_SECONDS

SCRIPT = REPOSITORY / "tests" / "js" / "nest" / "backend.mjs"


@asynccontextmanager
async def nest_backend(major: int, port: int) -> AsyncIterator[None]:
    """A listening one, of a major version of NestJS; at the end it is killed."""
    process = await asyncio.create_subprocess_exec(
        *(node_executable(), str(SCRIPT), str(major), HOST, str(port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await process.stdout.readline() == b'{"ready":true}\n'
        yield
    finally:
        process.kill()
        await process.wait()
