"""An HTTP server in this process that does what a test tells it to."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from tests.processes import HOST, unused_port

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """Keeps what it is asked, with its body."""

    def __init__(self, answer: Handle, port: int) -> None:
        self.root = f"http://{HOST}:{port}"
        self.asked: list[web.Request] = []
        self.answer = answer

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Serve one request."""
        self.asked.append(request)
        await request.read()
        return await self.answer(request)


@asynccontextmanager
async def http_site(answer: Handle, port: int | None = None) -> AsyncIterator[Site]:
    """A listening one, for all paths and methods."""
    port = port or unused_port()
    site = Site(answer, port)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", site.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield site
    finally:
        await runner.cleanup()
