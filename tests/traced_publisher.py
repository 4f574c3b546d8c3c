"""A publisher under Node.js that traces what it publishes, as an API would be."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.processes import REPOSITORY, node_executable

PATIENCE_SECONDS = 30.0
FOLDER = REPOSITORY / "tests" / "js" / "tracing"


class TracedPublisher:
    """The Node process; one event at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    async def publish(self, way: str, channel: str, event: dict[str, object]) -> str:
        """Publish an event and give the id of its trace; the publisher's span is exported then."""
        command = {"way": way, "channel": channel, "event": event}
        self._stdin.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            carried = json.loads(await self._stdout.readline())
        return str(carried["traceparent"]).split("-")[1]


@asynccontextmanager
async def traced_publisher(
    redis_url: str, tcp_port: int, collector_url: str
) -> AsyncIterator[TracedPublisher]:
    """A publisher whose spans go to this collector; it ends at the end of its input."""
    process = await asyncio.create_subprocess_exec(
        node_executable(),
        str(FOLDER / "publisher.mjs"),
        redis_url,
        str(tcp_port),
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector_url},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield TracedPublisher(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
